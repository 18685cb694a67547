//! The standard library's sources from Debian, for machines where rustup reaches nothing.
//!
//! Debian's backports carry `rust-src` in several versions, and only the compiler's own will
//! do. The suite is read through a private list of sources, so that nothing about the
//! machine's packages changes, and no root is needed. The mirror is the one apt already uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command;

/// The suite with several versions side by side.
const SUITE: &str = "trixie-backports";
const PACKAGE: &str = "rust-src";
/// Where the package keeps what rustup calls `rust-src`.
const LIBRARY: &str = "usr/lib/rustlib/src/rust/library";

/// Puts the sources of the standard library of `rustc_version` into the folder `library`.
/// `scratch` is worked in, and removed after a success.
pub(super) fn install(scratch: &Path, rustc_version: &str, library: &Path) -> Result<()> {
    let apt = Apt::prepare(scratch)?;
    command::run(apt.command("apt-get").args(["-q", "update"]))?;
    let listing = command::capture(apt.command("apt-cache").args(["madison", PACKAGE]))?;
    let version = matching_version(&listing, rustc_version).with_context(|| {
        format!(
            "{SUITE} has no {PACKAGE} {rustc_version}; it offers:\n{}",
            listing.trim_end()
        )
    })?;
    let archive_spec = format!("{PACKAGE}={version}");
    command::run(
        apt.command("apt-get")
            .args(["-q", "download", &archive_spec]),
    )?;
    let archive = downloaded(scratch)?;
    let unpacked = scratch.join("unpacked");
    command::run(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(archive)
            .arg(&unpacked),
    )?;
    let parent = library
        .parent()
        .context("the sources' folder has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    // The package links to a folder elsewhere in itself.
    command::run(
        Command::new("cp")
            .arg("-rL")
            .arg(unpacked.join(LIBRARY))
            .arg(library),
    )?;
    fs::remove_dir_all(scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

/// apt on a list of sources and a state of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn prepare(folder: &Path) -> Result<Self> {
        let targets = [
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
        ];
        let mirrors = command::capture(Command::new("apt-get").args(targets))?;
        let mirror = mirrors
            .lines()
            .next()
            .context("apt has no source of packages")?;
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        let lists = folder.join("lists/partial");
        fs::create_dir_all(&lists).with_context(|| format!("cannot create {}", lists.display()))?;
        let sources = folder.join("sources.list");
        fs::write(&sources, format!("deb {mirror} {SUITE} main\n"))
            .with_context(|| format!("cannot write {}", sources.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let option =
            |name: &str, path: &str| format!("{name}={}", self.folder.join(path).display());
        let mut apt = Command::new(program);
        apt.current_dir(&self.folder)
            .args(["-o", &option("Dir::Etc::sourcelist", "sources.list")])
            .args(["-o", "Dir::Etc::sourceparts=-"])
            .args(["-o", &option("Dir::State::lists", "lists")]);
        apt
    }
}

/// The package's version for that compiler, out of apt-cache's `package | version | source`.
fn matching_version<'a>(listing: &'a str, rustc_version: &str) -> Option<&'a str> {
    let versions = listing
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim));
    versions.into_iter().find(|version| {
        version
            .strip_prefix(rustc_version)
            .is_some_and(|rest| rest.starts_with(['+', '-', '~']))
    })
}

fn downloaded(scratch: &Path) -> Result<PathBuf> {
    let mut archives = crate::stamp::files_below(scratch, &["lists"])?;
    archives.retain(|file| file.extension().is_some_and(|extension| extension == "deb"));
    ensure!(
        archives.len() == 1,
        "apt-get left {} archives in {}",
        archives.len(),
        scratch.display()
    );
    Ok(archives.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_compilers_own_version_will_do() {
        let listing = "  rust-src | 1.96.1+dfsg1-2 | http://x suite/main\n\
                       \x20 rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://x suite/main\n";
        assert_eq!(
            matching_version(listing, "1.95.0"),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(matching_version(listing, "1.96.0"), None);
        assert_eq!(matching_version(listing, "1.9"), None);
    }
}

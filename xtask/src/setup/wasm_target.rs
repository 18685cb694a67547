//! The standard library for `wasm32-unknown-unknown`.
//!
//! Three ways, in this order: it is there; rustup fetches it; its sources are there and
//! cargo builds it along with our code (Debian ships them as `rust-src`).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

/// The target triple of everything that runs in a browser.
pub(crate) const TRIPLE: &str = "wasm32-unknown-unknown";

/// Where the target's standard library comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandardLibrary {
    /// Compiled, in the toolchain.
    Installed,
    /// Compiled by cargo from the toolchain's `rust-src`.
    FromSource,
}

impl StandardLibrary {
    /// Makes a cargo command use it.
    pub(crate) fn apply(self, cargo: &mut Command) {
        if self == Self::FromSource {
            // Building the standard library is a nightly feature; the bootstrap switch opens
            // it for this one command.
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
    }
}

/// Finds the standard library; says how to get one when there is none.
pub(crate) fn find() -> Result<StandardLibrary> {
    let sysroot = sysroot()?;
    if sysroot
        .join("lib/rustlib")
        .join(TRIPLE)
        .join("lib")
        .is_dir()
    {
        return Ok(StandardLibrary::Installed);
    }
    if sources(&sysroot).is_dir() {
        return Ok(StandardLibrary::FromSource);
    }
    let sources = sources(&sysroot);
    bail!(
        "the toolchain in {} has neither {TRIPLE} nor the standard library's sources.\n\
         With rustup:   rustup target add {TRIPLE}\n\
         Without:       install the sources of exactly this compiler's version; on Debian\n\
         \x20              apt-get download rust-src=VERSION   (several versions stand in backports)\n\
         \x20              dpkg-deb -x rust-src_*.deb rust-src\n\
         \x20              mkdir -p {parent}\n\
         \x20              cp -rL rust-src/usr/lib/rustlib/src/rust/library {parent}/\n\
         then run `cargo xtask setup` again",
        sysroot.display(),
        parent = sources.parent().unwrap_or(&sources).display(),
    )
}

/// Makes sure that there is one.
pub(crate) fn install() -> Result<()> {
    if sysroot()?
        .join("lib/rustlib")
        .join(TRIPLE)
        .join("lib")
        .is_dir()
    {
        return Ok(());
    }
    // Asked for by name: a toolchain file installs nothing where automatic installation is off.
    let mut rustup = Command::new("rustup");
    if let Err(error) = command::run(rustup.args(["target", "add", TRIPLE])) {
        eprintln!("rustup cannot help: {error:#}");
    }
    if find()? == StandardLibrary::FromSource {
        eprintln!("no compiled standard library for {TRIPLE}: cargo will build it from rust-src");
    }
    Ok(())
}

fn sysroot() -> Result<PathBuf> {
    let printed = command::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(printed.trim_end()))
}

fn sources(sysroot: &std::path::Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

//! The standard library for `wasm32-unknown-unknown`.
//!
//! In this order: it is there; rustup fetches it; its sources are there, from rustup's or
//! from Debian's `rust-src`, and cargo builds it along with our code.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::workspace::Workspace;

use super::rust_src;

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

/// Finds the standard library.
pub(crate) fn find() -> Result<StandardLibrary> {
    let toolchain = Toolchain::locate()?;
    toolchain.standard_library().with_context(|| {
        format!(
            "the toolchain in {} has no standard library for {TRIPLE}; run `cargo xtask setup`",
            toolchain.sysroot.display()
        )
    })
}

/// Makes sure that there is one.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let toolchain = Toolchain::locate()?;
    if toolchain.standard_library().is_some() {
        return Ok(());
    }
    // Asked for by name: a toolchain file installs nothing where automatic installation is off.
    let by_rustup = command::run(Command::new("rustup").args(["target", "add", TRIPLE]));
    let Err(rustup_failed) = by_rustup else {
        return Ok(());
    };
    eprintln!("rustup cannot help ({rustup_failed:#}): trying Debian's sources of the library");
    let version = toolchain.version()?;
    let sources = toolchain.sources();
    let scratch = workspace.scratch().join("rust-src");
    if let Err(debian_failed) = rust_src::install(&scratch, &version, &sources) {
        bail!(
            "neither rustup nor Debian had it ({debian_failed:#}). By hand, one of:\n\
             \x20 rustup target add {TRIPLE}\n\
             \x20 put the folder `library` of the sources of Rust {version} at {}",
            sources.display(),
        );
    }
    eprintln!(
        "cargo will build the standard library for {TRIPLE} from {}",
        sources.display()
    );
    Ok(())
}

/// The compiler in use.
struct Toolchain {
    sysroot: PathBuf,
}

impl Toolchain {
    fn locate() -> Result<Self> {
        let printed = command::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
        Ok(Self {
            sysroot: PathBuf::from(printed.trim_end()),
        })
    }

    fn standard_library(&self) -> Option<StandardLibrary> {
        let compiled = self.sysroot.join("lib/rustlib").join(TRIPLE).join("lib");
        if compiled.is_dir() {
            Some(StandardLibrary::Installed)
        } else if self.sources().is_dir() {
            Some(StandardLibrary::FromSource)
        } else {
            None
        }
    }

    /// Where rustup keeps the sources, and where cargo looks for them.
    fn sources(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    /// `1.95.0` out of `rustc 1.95.0 (hash date)`.
    fn version(&self) -> Result<String> {
        let printed =
            command::capture(Command::new(self.sysroot.join("bin/rustc")).arg("--version"))?;
        let version = printed.split(' ').nth(1);
        Ok(version
            .context("rustc does not say its version")?
            .to_owned())
    }
}

//! One wasm module: compiled, given its JavaScript and its types, and looked over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use wasm_bindgen_cli_support::Bindgen;
use wasmparser::{Parser, Payload};

use crate::command;
use crate::setup::wasm_target::{self, TRIPLE};
use crate::stamp::{Inputs, Stamp};
use crate::workspace::Workspace;

const PACKAGE: &str = "tabswarm-client-wasm";
/// The package's name as a Rust crate, hence as a file.
const STEM: &str = "tabswarm_client_wasm";
/// The profile in Cargo.toml made for downloads.
const PROFILE: &str = "wasm";
/// Written into stamps: another version writes other glue for the same module.
const BINDGEN_VERSION: &str = "0.2.130";

/// The instruction sets that browsers are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// What every current browser has.
    Simd128,
    /// Adds fused multiply-add; the page loads it where the browser accepts it.
    Relaxed,
    /// Like `Relaxed`, and computes on the GPU; lanes that may use one load it.
    Gpu,
}

impl Flavor {
    /// Each flavor once.
    pub(crate) const ALL: [Self; 3] = [Self::Simd128, Self::Relaxed, Self::Gpu];
    /// Of these a browser loads one, before everything else.
    pub(crate) const FIRST: [Self; 2] = [Self::Simd128, Self::Relaxed];

    /// The name in paths and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simd128 => "simd128",
            Self::Relaxed => "relaxed",
            Self::Gpu => "gpu",
        }
    }

    fn target_features(self) -> &'static str {
        match self {
            Self::Simd128 => "+simd128",
            Self::Relaxed | Self::Gpu => "+simd128,+relaxed-simd",
        }
    }

    /// Where the page imports the module from.
    pub(crate) fn output(self, workspace: &Workspace) -> PathBuf {
        workspace.www().join("src/wasm").join(self.name())
    }

    /// The module as the browser downloads it.
    pub(crate) fn wasm_file(self, workspace: &Workspace) -> PathBuf {
        self.output(workspace).join(format!("{STEM}_bg.wasm"))
    }

    /// A `cargo VERB` on the browser's worker with this flavor's flags.
    ///
    /// The flags are configuration and not `RUSTFLAGS`: they add to what a developer has
    /// configured, and each flavor's own target folder keeps the two from rebuilding the
    /// other's dependencies. `RUSTFLAGS` would override them, so it is dropped here.
    pub(crate) fn cargo(self, workspace: &Workspace, verb: &str) -> Result<Command> {
        let flags = format!(
            "target.{TRIPLE}.rustflags=[\"-C\",\"target-feature={}\"]",
            self.target_features()
        );
        let mut cargo = workspace.cargo();
        cargo
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args([verb, "--package", PACKAGE, "--lib", "--target", TRIPLE])
            .args(["--config", &flags])
            .arg("--target-dir")
            .arg(self.target_dir(workspace));
        if self == Self::Gpu {
            cargo.args(["--features", "gpu"]);
        }
        wasm_target::find()?.apply(&mut cargo);
        Ok(cargo)
    }

    fn target_dir(self, workspace: &Workspace) -> PathBuf {
        // With the same flags the two share their dependencies.
        let name = match self {
            Self::Simd128 => "simd128",
            Self::Relaxed | Self::Gpu => "relaxed",
        };
        workspace.target().join(format!("wasm-{name}"))
    }
}

/// Builds the module into the page's sources; cheap when nothing changed.
pub(crate) fn build(workspace: &Workspace, flavor: Flavor) -> Result<()> {
    command::run(
        flavor
            .cargo(workspace, "build")?
            .args(["--profile", PROFILE]),
    )?;
    let compiled = flavor
        .target_dir(workspace)
        .join(TRIPLE)
        .join(PROFILE)
        .join(format!("{STEM}.wasm"));
    let inputs = Inputs::default()
        .value(BINDGEN_VERSION)
        .files(&compiled, &[])?;
    let stamp_name = format!("stamps/bindgen-{}", flavor.name());
    let stamp = Stamp::new(workspace.scratch().join(stamp_name), &inputs);
    let wasm_file = flavor.wasm_file(workspace);
    if stamp.is_current() && wasm_file.is_file() {
        return Ok(());
    }
    bind(&compiled, &flavor.output(workspace))?;
    check_imports(&wasm_file)?;
    stamp.save()
}

/// Writes the module, its glue and its types. The glue is told where the module is instead of
/// guessing from its own address: the bundler renames both.
pub(crate) fn bind(compiled: &Path, output: &Path) -> Result<()> {
    if output.exists() {
        fs::remove_dir_all(output).with_context(|| format!("cannot empty {}", output.display()))?;
    }
    Bindgen::new()
        .input_path(compiled)
        .web(true)
        .and_then(|bindgen| {
            bindgen
                .typescript(true)
                .omit_default_module_path(true)
                .remove_name_section(true)
                .remove_producers_section(true)
                .generate(output)
        })
        .map_err(|error| anyhow!("wasm-bindgen on {}: {error:#}", compiled.display()))
}

/// No browser provides a module `env`: an import from it is C or system code that crept in,
/// and the module would not even load.
fn check_imports(wasm: &Path) -> Result<()> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let strangers = imports_from_env(&bytes)
        .with_context(|| format!("{} is not a wasm module", wasm.display()))?;
    ensure!(
        strangers.is_empty(),
        "{} imports from \"env\", which browsers lack: {}. Look for the dependency that needs an \
         operating system: cargo tree --package {PACKAGE} --target {TRIPLE}",
        wasm.display(),
        strangers.join(", "),
    );
    Ok(())
}

fn imports_from_env(bytes: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                if import.module == "env" {
                    names.push(import.name.to_owned());
                }
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that imports one function type () -> () from `module`.
    fn importing(module: &str) -> Vec<u8> {
        let length = u8::try_from(module.len()).unwrap();
        let mut import = vec![1, length];
        import.extend(module.as_bytes());
        import.extend([1, b'f', 0, 0]);
        let mut wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
        wasm.push(u8::try_from(import.len()).unwrap());
        wasm.extend(import);
        wasm
    }

    #[test]
    fn imports_from_env_are_found() {
        assert_eq!(imports_from_env(&importing("env")).unwrap(), ["f"]);
        assert!(
            imports_from_env(&importing("./glue.js"))
                .unwrap()
                .is_empty()
        );
        assert!(imports_from_env(b"not wasm").is_err());
    }

    #[test]
    fn the_stamped_version_is_the_one_in_use() {
        assert_eq!(BINDGEN_VERSION, wasm_bindgen_version());
    }

    fn wasm_bindgen_version() -> String {
        let lock = include_str!("../../../Cargo.lock");
        let lock: toml::Table = toml::from_str(lock).unwrap();
        let packages = lock["package"].as_array().unwrap();
        let package = packages
            .iter()
            .find(|package| package["name"].as_str() == Some("wasm-bindgen-cli-support"))
            .unwrap();
        package["version"].as_str().unwrap().to_owned()
    }
}

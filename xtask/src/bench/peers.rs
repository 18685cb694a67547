//! Others that compute the same: built and installed here and nowhere else.
//!
//! Each has a folder of its own below `bench/`, with its own lock file.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::host::Host;
use crate::command;
use crate::setup::wasm_target::TRIPLE;
use crate::setup::{browser, npm};
use crate::web::module::{self, Flavor};
use crate::workspace::Workspace;

/// Others to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// None at all.
    None,
    /// Every one of them.
    All,
    /// TensorFlow.js, its wasm backend on one thread.
    Tfjs,
    /// Burn's flex backend, in the browser and natively.
    Burn,
}

/// As bench/peers/burn/Cargo.toml pins it.
pub(super) const BURN_VERSION: &str = "Burn 0.22.1";
/// As bench/peers/tfjs/package.json pins it.
pub(super) const TFJS_VERSION: &str = "TensorFlow.js 4.22.0";
/// Burn's crate, as a file.
const BURN_STEM: &str = "bench_burn";
/// The C library gives large blocks back to the system at once by default, which halves Burn's speed: it
/// allocates every tensor anew. The comparison is with Burn as it is set up by people who know that.
const KEEP_MEMORY: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
];

/// Where Burn's module and its JavaScript are put.
fn burn_page(workspace: &Workspace) -> PathBuf {
    workspace.scratch().join("bench/burn")
}

fn burn_folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("bench/peers/burn")
}

fn burn_cargo(workspace: &Workspace) -> (Command, PathBuf) {
    let target = workspace.target().join("bench-burn");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(burn_folder(workspace))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    (cargo, target)
}

/// Builds Burn for the browser, with the instructions that our slower module has.
pub(super) fn build_burn_wasm(workspace: &Workspace) -> Result<()> {
    let (mut cargo, target) = burn_cargo(workspace);
    let flags = format!(r#"target.{TRIPLE}.rustflags=["-C","target-feature=+simd128"]"#);
    cargo.args(["--lib", "--target", TRIPLE, "--config", &flags]);
    crate::setup::wasm_target::find()?.apply(&mut cargo);
    command::run(&mut cargo)?;
    let compiled = target.join(TRIPLE).join("release");
    let compiled = compiled.join(format!("{BURN_STEM}.wasm"));
    module::bind(&compiled, &burn_page(workspace))
}

/// Builds Burn natively for this very CPU and starts it.
pub(super) fn start_burn_native(workspace: &Workspace) -> Result<Host> {
    let (mut cargo, target) = burn_cargo(workspace);
    command::run(cargo.args(["--bin", "bench-burn"]))?;
    let mut program = Command::new(target.join("release/bench-burn"));
    Host::start("Burn", program.envs(KEEP_MEMORY))
}

/// Starts PyTorch.
pub(super) fn start_pytorch(workspace: &Workspace) -> Result<Host> {
    let script = workspace.root().join("bench/pytorch/host.py");
    let mut python = Command::new("python3");
    python.args(["-W", "ignore"]).arg(script);
    Host::start("PyTorch", &mut python).context("is it installed? `python3 -m pip install torch`")
}

/// Starts a browser with our modules and those of the peers.
pub(super) fn start_browser(workspace: &Workspace, has_tfjs: bool) -> Result<Host> {
    let chromium = browser::find_chromium()
        .context("no Chromium; run `cargo xtask setup --tests`, or leave out with --no-browser")?;
    let folder = workspace.root().join("bench/browser");
    npm::install(workspace, &folder)?;
    let tfjs = workspace.root().join("bench/peers/tfjs");
    if has_tfjs {
        npm::install(workspace, &tfjs)?;
    }
    for flavor in Flavor::ALL {
        module::build(workspace, flavor)?;
    }
    let configuration = serde_json::json!({
        "chromium": chromium,
        "folders": {
            "simd128": Flavor::Simd128.output(workspace),
            "relaxed": Flavor::Relaxed.output(workspace),
            "gpu": Flavor::Gpu.output(workspace),
            "tfjs": tfjs,
            "burn": burn_page(workspace),
        },
    });
    let mut node = Command::new("node");
    node.arg("host.mjs")
        .arg(configuration.to_string())
        .current_dir(folder);
    Host::start("the browser", &mut node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_in_the_manifests() {
        let burn = include_str!("../../../bench/peers/burn/Cargo.toml");
        let pinned = BURN_VERSION.replace("Burn ", "=");
        assert!(burn.contains(&format!("burn = {{ version = \"{pinned}\"")));
        let tfjs = include_str!("../../../bench/peers/tfjs/package.json");
        let pinned = TFJS_VERSION.replace("TensorFlow.js ", "");
        for package in ["tfjs", "tfjs-backend-wasm", "tfjs-backend-webgpu"] {
            let line = format!("\"@tensorflow/{package}\": \"{pinned}\"");
            assert!(tfjs.contains(&line), "{line}");
        }
    }
}

//! `test`: every check that a change must pass, in one command, here as in CI.
//!
//! Cheap checks come first. The page is built before anything compiles the server, which
//! embeds it, and before the page's own checks, which read the generated types. Every step
//! runs even when one before it failed: one round trip should show all that is wrong.

use std::path::{self, Path};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::binaries::{Binaries, Profile};
use crate::chaos;
use crate::command;
use crate::load;
use crate::setup::{self, browser};
use crate::tidy;
use crate::web::{self, module::Flavor};
use crate::workspace::Workspace;

type Check = fn(&Workspace) -> Result<()>;

/// What is left out unless somebody asks for it: checked here, while the other steps build what most people do.
const OPTIONAL: [&str; 2] = ["--features", "tabswarm-server/traces"];

/// Name, check, and whether `--quick` includes it.
const STEPS: [(&str, Check, bool); 15] = [
    ("set-up", |workspace| setup::setup(workspace, true), true),
    ("tidy", |workspace| tidy::tidy(workspace, false), true),
    ("format", format, true),
    ("page and wasm, with size", web::build, true),
    ("page: types", |workspace| npm(workspace, "check"), true),
    ("page: tests", |workspace| npm(workspace, "test"), true),
    ("clippy, native", clippy_native, true),
    ("clippy, browser", clippy_wasm, true),
    ("Rust tests", rust_tests, true),
    ("exported models in ONNX Runtime", exported_models, false),
    ("kills of a real server", chaos::short, false),
    ("a small swarm on real sockets", load::short, false),
    ("Rust tests in documentation", doc_tests, false),
    ("documentation", documentation, false),
    ("browser tests", browser_tests, false),
];

struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// Runs the steps and prints what each came to; true if all passed.
pub(crate) fn run(workspace: &Workspace, quick: bool) -> bool {
    let start = Instant::now();
    let outcomes: Vec<Outcome> = STEPS
        .iter()
        .filter(|(_, _, in_quick)| *in_quick || !quick)
        .map(|(name, check, _)| perform(workspace, name, *check))
        .collect();
    println!();
    for outcome in &outcomes {
        let word = if outcome.passed { "ok" } else { "FAILED" };
        println!(
            "{:<32}{:>9.1} s  {word}",
            outcome.name,
            outcome.took.as_secs_f64()
        );
    }
    println!("{:<32}{:>9.1} s", "all", start.elapsed().as_secs_f64());
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    failed == 0
}

fn perform(workspace: &Workspace, name: &'static str, check: Check) -> Outcome {
    println!("\n── {name} ──");
    let start = Instant::now();
    let result = check(workspace);
    if let Err(error) = &result {
        eprintln!("{name}: {error:#}");
    }
    Outcome {
        name,
        passed: result.is_ok(),
        took: start.elapsed(),
    }
}

fn format(workspace: &Workspace) -> Result<()> {
    command::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy_native(workspace: &Workspace) -> Result<()> {
    command::run(
        workspace
            .cargo()
            .args(["clippy", "--workspace", "--all-targets"])
            .args(OPTIONAL)
            .args(["--", "--deny", "warnings"]),
    )
}

/// With the fuller of the two instruction sets, so that all kernels are looked at, with lanes on GPUs and with all the
/// rest, and with a configuration of its own that bans what compiles for a browser but fails there.
fn clippy_wasm(workspace: &Workspace) -> Result<()> {
    let configuration = workspace.root().join("ci/clippy-wasm");
    for flavor in [Flavor::Relaxed, Flavor::Gpu] {
        command::run(
            flavor
                .cargo(workspace, "clippy")?
                .env("CLIPPY_CONF_DIR", &configuration)
                .args(["--", "--deny", "warnings"]),
        )?;
    }
    Ok(())
}

fn rust_tests(workspace: &Workspace) -> Result<()> {
    let has_nextest = command::succeeds(workspace.cargo().args(["nextest", "--version"]));
    let runner: &[&str] = if has_nextest {
        &["nextest", "run"]
    } else {
        &["test", "--all-targets"]
    };
    command::run(
        workspace
            .cargo()
            .args(runner)
            .args(["--workspace", "--no-fail-fast"])
            .args(OPTIONAL),
    )
}

/// What is exported computes what the engine computes, in the program that most others use.
fn exported_models(workspace: &Workspace) -> Result<()> {
    let cases = workspace.scratch().join("onnx-cases");
    let binaries = Binaries::build(workspace, Profile::Debug)?;
    command::run(
        Command::new(binaries.test_program("onnx-cases")).args([&cases, &workspace.datasets()]),
    )?;
    command::run(
        Command::new("node")
            .args(["--test-reporter=spec", "run.mjs"])
            .current_dir(workspace.onnx_tests())
            .env("TABSWARM_ONNX_CASES", cases),
    )
}

/// Apart from the other tests: nextest does not run them.
fn doc_tests(workspace: &Workspace) -> Result<()> {
    command::run(workspace.cargo().args(["test", "--doc", "--workspace"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    command::run(
        workspace
            .cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

fn npm(workspace: &Workspace, script: &str) -> Result<()> {
    command::run(
        Command::new("npm")
            .args(["run", script])
            .current_dir(workspace.www()),
    )
}

/// Debug binaries, of which the Rust tests have already compiled nearly all: a release build
/// would compile every dependency a second time, minutes on two cores, to save seconds here.
/// The arithmetic is optimized in both profiles.
fn browser_tests(workspace: &Workspace) -> Result<()> {
    in_browser(workspace, &["--test-reporter=spec", "run.mjs"])
}

/// Takes pictures of every page from a real server, into a folder.
pub(crate) fn screens(workspace: &Workspace, folder: &Path) -> Result<()> {
    let folder = path::absolute(folder)?;
    let folder = folder.to_str().context("the folder's name is not UTF-8")?;
    web::build(workspace)?;
    in_browser(workspace, &["--test-reporter=spec", "screens.mjs", folder])
}

/// Runs a script of the browser tests with what it needs.
fn in_browser(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let chromium =
        browser::find_chromium().context("no Chromium; run `cargo xtask setup --tests`")?;
    let binaries = Binaries::build(workspace, Profile::Debug)?;
    command::run(
        Command::new("node")
            .args(args)
            .current_dir(workspace.browser_tests())
            .env("TABSWARM_CHROMIUM", chromium)
            .env("TABSWARM_SERVER_BIN", binaries.server())
            .env("TABSWARM_WORKER_BIN", binaries.worker())
            .env(
                "TABSWARM_DIGESTS_BIN",
                binaries.test_program("gradient-digests"),
            )
            .env("TABSWARM_WASM_DIR", workspace.www().join("src/wasm"))
            .env("TABSWARM_DATASETS_DIR", workspace.datasets())
            .env(
                "TABSWARM_FIXTURES_DIR",
                workspace.root().join("tests/fixtures"),
            ),
    )
}

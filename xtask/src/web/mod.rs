//! `web`: both wasm modules, the page that loads one of them, and what they weigh.

pub(crate) mod module;
mod sizes;

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::stamp::{Inputs, Stamp};
use crate::workspace::Workspace;

use self::module::Flavor;

/// Folders of `www` that no build reads.
const WWW_SKIPPED: [&str; 6] = [
    "node_modules",
    "dist",
    "dist-mock",
    "build-test",
    "screens",
    "test",
];

/// Builds what changed, prints the sizes and fails when a browser would load too much.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    for flavor in Flavor::ALL {
        module::build(workspace, flavor)
            .with_context(|| format!("the {} module was not built", flavor.name()))?;
    }
    build_page(workspace).context("the page was not built")?;
    sizes::check(workspace)
}

fn build_page(workspace: &Workspace) -> Result<()> {
    let www = workspace.www();
    // The console writes run files by the templates of the command line.
    let templates = workspace.root().join("server/src/cli/templates");
    let inputs = Inputs::default()
        .files(&www, &WWW_SKIPPED)?
        .files(&templates, &[])?;
    let stamp = Stamp::new(workspace.scratch().join("stamps/page"), &inputs);
    if stamp.is_current() && www.join("dist/index.html").is_file() {
        return Ok(());
    }
    command::run(Command::new("npm").args(["run", "build"]).current_dir(&www))?;
    stamp.save()
}

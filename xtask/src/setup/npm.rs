//! npm packages, exactly as a folder's lock file names them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::stamp::{Inputs, Stamp};
use crate::workspace::Workspace;

/// Older clients resolve some packages' platform binaries wrongly; npm can run a newer self.
const NPM_MAJOR_MIN: u32 = 11;

/// Makes `folder/node_modules` equal to the lock file. The stamp lies inside, so that
/// deleting the folder also forgets it.
pub(crate) fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let inputs = Inputs::default().files(&lock, &[])?;
    let stamp = Stamp::new(folder.join("node_modules/.xtask-stamp"), &inputs);
    if stamp.is_current() {
        return Ok(());
    }
    let mut npm = client()?;
    npm.args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder);
    command::run(&mut npm).with_context(|| {
        let shown = workspace.relative(folder).display();
        format!("by hand: cd {shown} && {}", command::shown(&npm))
    })?;
    stamp.save()
}

/// npm itself, or npm as a package of npm where the installed one is too old.
fn client() -> Result<Command> {
    let version = command::capture(Command::new("npm").arg("--version"))
        .context("Node.js 20.19 or newer with npm is needed")?;
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.trim().parse().ok());
    if major.is_some_and(|major: u32| major >= NPM_MAJOR_MIN) {
        return Ok(Command::new("npm"));
    }
    let mut newer = Command::new("npx");
    newer.args(["--yes", &format!("npm@{NPM_MAJOR_MIN}")]);
    Ok(newer)
}

//! npm packages, exactly as a folder's lock file names them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::stamp::{Inputs, Stamp};
use crate::workspace::Workspace;

/// Makes `folder/node_modules` equal to the lock file. The stamp lies inside, so that
/// deleting the folder also forgets it.
pub(crate) fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let inputs = Inputs::default().files(&lock, &[])?;
    let stamp = Stamp::new(folder.join("node_modules/.xtask-stamp"), &inputs);
    if stamp.is_current() {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"])
        .current_dir(folder);
    command::run(&mut npm).with_context(|| {
        let shown = workspace.relative(folder).display();
        let by_hand = command::shown(&npm);
        format!("Node.js 20.19 or newer with npm is needed; by hand: cd {shown} && {by_hand}")
    })?;
    stamp.save()
}

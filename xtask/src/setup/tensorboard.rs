//! `TensorBoard`'s reader of event files, in an environment of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::stamp::{Inputs, Stamp};
use crate::workspace::Workspace;

/// Makes `tests/tensorboard/.venv` what `requirements.txt` says.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join("tests/tensorboard");
    let requirements = folder.join("requirements.txt");
    let environment = folder.join(".venv");
    let inputs = Inputs::default().files(&requirements, &[])?;
    let stamp = Stamp::new(environment.join(".xtask-stamp"), &inputs);
    if stamp.is_current() {
        return Ok(());
    }
    // An unfinished one may be there.
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    run(&mut make)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(&requirements);
    run(&mut pip)?;
    stamp.save()
}

fn run(command: &mut Command) -> Result<()> {
    let by_hand = command::shown(command);
    command::run(command).with_context(|| {
        let program = Path::new(command.get_program()).display();
        format!(
            "{program} failed; Python 3.9 or newer with venv and pip is needed; by hand: {by_hand}"
        )
    })
}

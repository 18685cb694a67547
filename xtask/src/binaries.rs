//! The programs of this workspace, built.

use std::path::PathBuf;

use anyhow::Result;

use crate::command;
use crate::workspace::Workspace;

/// How programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As the Rust tests compile them.
    Debug,
    /// As they are measured.
    Release,
}

/// A folder of programs.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Builds all of them.
    ///
    /// All, though each caller needs few: cargo unites the features of what it builds together, and other sets would
    /// compile the same dependencies again with other features. So built, the Rust tests have left nothing to compile.
    ///
    /// # Errors
    /// If one does not compile.
    pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<Self> {
        let mut build = workspace.cargo();
        build.args(["build", "--workspace", "--bins", "--examples"]);
        let folder = match profile {
            Profile::Debug => "debug",
            Profile::Release => {
                build.arg("--release");
                "release"
            }
        };
        command::run(&mut build)?;
        Ok(Self {
            folder: workspace.target().join(folder),
        })
    }

    /// The server and the operator's commands.
    pub(crate) fn server(&self) -> PathBuf {
        self.folder.join("tabswarm")
    }

    /// The native worker.
    pub(crate) fn worker(&self) -> PathBuf {
        self.folder.join("tabswarm-worker")
    }

    /// A program that only tests use.
    pub(crate) fn test_program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// An example, which is a program that has what tests have.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }
}

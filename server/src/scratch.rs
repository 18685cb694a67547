//! Folders for unit tests, removed afterwards.

use std::path::{Path, PathBuf};

/// A fresh folder below the build directory.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` is unique among the tests.
    pub(crate) fn new(name: &str) -> Self {
        let exe = std::env::current_exe().unwrap();
        let folder = exe
            .parent()
            .unwrap()
            .join(format!("scratch-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

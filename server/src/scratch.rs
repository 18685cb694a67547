//! Folders for unit tests, removed afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tabswarm_model::digest::Digest;

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

/// All that lies below a folder: every path, with the digest of its content where it is a file.
///
/// Two of them are equal exactly where nothing was made, changed or removed in between.
pub(crate) fn listing(folder: &Path) -> BTreeMap<PathBuf, Option<Digest>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.append(&mut listing(&path));
            all.insert(path, None);
        } else {
            let content = std::fs::read(&path).unwrap();
            all.insert(path, Some(Digest::of(&content)));
        }
    }
    all
}

//! The data directory: who owns it, and where everything in it lies.
//!
//! ```text
//! lock                        held while a server uses the directory
//! admin-token                 only where the environment gives none
//! chunks/DIGEST[.br]          training data, served as it lies here
//! datasets/DIGEST.json        manifests of training sets
//! test-sets/…                 the same two for test sets, which are never served
//! ledger.db                   credits, identities and events, see the module `ledger`
//! snapshots.json              only where snapshots are kept in a bucket: which one
//! uploads/NAME/               data sets that came through the admin listener
//! archive/NAME/               runs that were put away, as they lay in runs/
//! runs/NAME/                  one folder a run, see the crate `tabswarm_store`
//! ```
//! Every file is written under another name, made durable and renamed, so that a crash leaves the old one or
//! the new one.

pub(crate) mod atomic;
pub(crate) mod chunks;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use chunks::ChunkStore;

use crate::ledger::LEDGER_FILE;

/// Why a data directory can't be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It can't be made, read or written.
    #[error(
        "the data directory {} can't be used: {source}; choose another one with --data-dir or change its permissions",
        path.display()
    )]
    Unusable {
        /// The path that failed.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// Another server has it.
    #[error(
        "the data directory {} is in use by another server; stop that one or choose another directory with --data-dir",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
}

/// An open data directory. The lock ends with it.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    /// Training data.
    pub(crate) training: ChunkStore,
    /// Test data.
    pub(crate) test: ChunkStore,
    /// See [`Self::ingestion`].
    ingestion: Mutex<()>,
    _lock: DirLock,
}

/// A data directory that nobody else uses as long as this lives.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of a directory.
    pub(crate) fn take(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { _file: lock(root)? })
    }
}

/// The folders of a data directory's runs, sorted.
pub(crate) fn run_folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let runs = root.join("runs");
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&runs)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && !name.to_str().is_none_or(atomic::is_unfinished) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

impl Store {
    /// Opens a data directory, made if missing, and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let test_sets = root.join("test-sets");
        let training = ChunkStore::new(root.join("datasets"), root.join("chunks"));
        let test = ChunkStore::new(test_sets.join("manifests"), test_sets.join("chunks"));
        for folder in training.folders().into_iter().chain(test.folders()) {
            std::fs::create_dir_all(folder).map_err(|source| unusable(folder, source))?;
        }
        // At once, so that an upload that is refused does not leave it behind.
        let uploads = root.join(UPLOADS_FOLDER);
        std::fs::create_dir_all(&uploads).map_err(|source| unusable(&uploads, source))?;
        let lock = DirLock::take(root)?;
        let store = Self {
            root: root.to_owned(),
            training,
            test,
            ingestion: Mutex::new(()),
            _lock: lock,
        };
        store
            .remove_leftovers()
            .map_err(|source| unusable(root, source))?;
        Ok(store)
    }

    /// One data set is written at a time: where one fails, what it wrote is removed, which must not be what
    /// another one has just found there.
    pub(crate) fn ingestion(&self) -> MutexGuard<'_, ()> {
        // Nothing is kept under the lock that a panic could leave half done.
        self.ingestion
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that holds the admin token.
    pub(crate) fn admin_token_path(&self) -> PathBuf {
        self.root.join(ADMIN_TOKEN_FILE)
    }

    /// The ledger's file.
    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.root.join(LEDGER_FILE)
    }

    /// The folder of the runs' event files.
    pub(crate) fn event_files_path(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// The folder of all runs' folders.
    pub(crate) fn runs_path(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of the folders of runs that were put away.
    pub(crate) fn archive_path(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// The folder of data sets that came through the admin listener, one folder each.
    pub(crate) fn uploads_path(&self) -> PathBuf {
        self.root.join(UPLOADS_FOLDER)
    }

    /// A run's folder; the name is a validated run name.
    pub(crate) fn run_dir(&self, name: &str) -> PathBuf {
        self.runs_path().join(name)
    }

    /// Removes what a crash left half written.
    fn remove_leftovers(&self) -> io::Result<()> {
        for folder in self
            .training
            .folders()
            .into_iter()
            .chain(self.test.folders())
        {
            atomic::remove_unfinished(folder)?;
        }
        atomic::remove_unfinished(&self.uploads_path())
    }
}

/// Name of the folder of uploaded data sets within a data directory.
const UPLOADS_FOLDER: &str = "uploads";

/// Name of the admin token's file within a data directory.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin-token";

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| unusable(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: root.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unusable(&path, source)),
    }
}

fn unusable(path: &Path, source: io::Error) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_directory_has_one_owner() {
        let scratch = Scratch::new("one-owner");
        let first = Store::open(scratch.path()).unwrap();
        assert!(matches!(
            Store::open(scratch.path()),
            Err(StoreError::Locked { .. })
        ));
        drop(first);
        Store::open(scratch.path()).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let scratch = Scratch::new("in-the-way");
        let path = scratch.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let message = Store::open(&path).unwrap_err().to_string();
        assert!(
            message.contains("file") && message.contains("--data-dir"),
            "{message}"
        );
    }

    #[test]
    fn unfinished_files_are_removed() {
        let scratch = Scratch::new("unfinished");
        drop(Store::open(scratch.path()).unwrap());
        let leftover = scratch.path().join("chunks/.tmp-1-2-abc");
        std::fs::write(&leftover, b"half").unwrap();
        Store::open(scratch.path()).unwrap();
        assert!(!leftover.exists());
    }
}

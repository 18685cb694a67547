//! Whole objects under flat names: all that snapshots need, so that they can lie in a folder or elsewhere.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{self, Disk, UNFINISHED};

/// A place for objects.
pub trait Objects: Send + Sync + fmt::Debug {
    /// Stores an object durably, replacing one that has the name: readers find the old one or the new one, whole.
    ///
    /// # Errors
    /// The system's.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// An object.
    ///
    /// # Errors
    /// The system's; `NotFound`.
    fn get(&self, name: &str) -> io::Result<Vec<u8>>;

    /// All names, sorted.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes an object; no error where there is none.
    ///
    /// # Errors
    /// The system's.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Where an object is, for messages.
    fn place(&self, name: &str) -> PathBuf;
}

/// Objects whose names begin alike, under what follows.
#[derive(Debug, Clone)]
pub(crate) struct Prefixed {
    pub(crate) all: Arc<dyn Objects>,
    pub(crate) prefix: &'static str,
}

impl Prefixed {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Objects for Prefixed {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.all.put(&self.name(name), bytes)
    }

    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.all.get(&self.name(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.all.list()?;
        let own = names
            .iter()
            .filter_map(|name| name.strip_prefix(self.prefix));
        Ok(own.map(ToOwned::to_owned).collect())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.all.delete(&self.name(name))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.all.place(&self.name(name))
    }
}

/// Objects as files of a folder.
#[derive(Debug, Clone)]
pub struct DiskObjects {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl DiskObjects {
    /// The files of a folder, which must exist when something is put.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }
}

impl Objects for DiskObjects {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        disk::replace(&*self.disk, &self.dir.join(name), bytes)
    }

    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(&self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        if !self.disk.exists(&self.dir)? {
            return Ok(Vec::new());
        }
        let mut names = self.disk.list(&self.dir)?;
        names.retain(|name| !name.starts_with(UNFINISHED));
        Ok(names)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match self.disk.remove_file(&self.dir.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.and_then(|()| self.disk.sync_dir(&self.dir)),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

//! A disk in memory that fails on demand: the same seed and plan give the same failures.
//!
//! It keeps apart what programs see and what is on stable storage. A power cut leaves of everything that was
//! not synced whatever a real machine may leave: writes whole, torn at a sector or dropped, in any combination;
//! changes of names in an order that no name contradicts. A killed process loses nothing that it wrote.
//! Operations are numbered, so that a test can fail each of them in turn.

mod file;
mod names;
mod random;
mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};
use state::State;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power fails: nothing works until [`FaultyDisk::restart`].
    PowerCut,
    /// The process is killed: nothing works until [`FaultyDisk::restart`], and nothing that was written is lost.
    Kill,
    /// What needs space finds none; a write may have got part of it.
    NoSpace,
    /// A sync fails. As on Linux the pages count as clean after that: they are still seen, a second sync
    /// succeeds, and whether they reached the disk is anyone's guess.
    SyncError,
    /// Any operation fails.
    IoError,
}

/// Faults for a range of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// The first operation that fails, counted as [`FaultyDisk::operations`] does.
    pub first: u64,
    /// So many in a row.
    pub count: u64,
    /// How.
    pub fault: Fault,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
    boot: u64,
    path: PathBuf,
}

impl FaultyDisk {
    /// An empty disk with no plan.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(seed))),
        }
    }

    /// Another disk with the same content, the same un-synced writes and the same plan, which from now on
    /// follows another seed.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let mut state = self.lock().clone();
        state.reseed(seed);
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What goes wrong from now on; nothing for none.
    pub fn plan(&self, plan: Option<FaultPlan>) {
        self.lock().plan = plan;
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether a planned crash has happened and nobody has restarted the disk.
    pub fn has_crashed(&self) -> bool {
        self.lock().crashed.is_some()
    }

    /// Starts the machine again: after a crash with what it left; otherwise as if the process had been killed.
    /// The plan is forgotten, and files that were open are not any more.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// The power fails now, and comes back.
    pub fn power_cut(&self) {
        let mut state = self.lock();
        state.crashed = Some(Fault::PowerCut);
        state.restart();
    }

    /// Uses of a file after its sync had failed: there must be none.
    pub fn misuses(&self) -> u64 {
        self.lock().misuses
    }

    /// All files with their length in bytes, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        self.lock().files()
    }

    /// Flips a bit of a file, on stable storage and in what is seen of it.
    ///
    /// # Panics
    /// Where there is no such file or bit.
    pub fn flip_bit(&self, path: &Path, bit: usize) {
        self.lock().flip_bit(path, bit);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no operation panics while it has the lock")
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.lock().change_names(|state| state.create_dir_all(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.lock().look(|state| state.list(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.lock().look(|state| Ok(state.find(path).is_some()))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.lock()
            .look(|state| Ok(state.file(path)?.seen().to_vec()))
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.lock().look(|state| {
            let bytes = state.file(path)?.seen();
            let range = usize::try_from(offset)
                .ok()
                .and_then(|start| bytes.get(start..start.checked_add(len)?));
            range
                .map(<[u8]>::to_vec)
                .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter"))
        })
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        let inode = state.change_names(|state| state.create_file(path))?;
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            inode,
            boot: state.boot,
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.lock().change_names(|state| state.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.lock().change_names(|state| {
            state.file(path)?;
            state.unlink(path)
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.lock().change_names(|state| {
            state.list(path)?;
            state.unlink(path)
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.lock().sync_dir(dir)
    }
}

impl DiskFile for FaultyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk
            .lock()
            .write(self.inode, self.boot, &self.path, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk
            .lock()
            .sync_file(self.inode, self.boot, &self.path)
    }
}

#[cfg(test)]
mod tests;

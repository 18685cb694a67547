//! A file system whose logs are written nowhere: what is left is a server without a log.

use std::io;
use std::path::Path;

use tabswarm_store::{Disk, DiskFile, RealDisk};

/// The system's files, but for the content of logs.
#[derive(Debug)]
pub(crate) struct LogNowhere(pub(crate) RealDisk);

#[derive(Debug)]
struct Nowhere;

fn is_log(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "log")
}

impl Disk for LogNowhere {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read_range(path, offset, len)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.create_new(path)?;
        if is_log(path) {
            return Ok(Box::new(Nowhere));
        }
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if is_log(dir) {
            return Ok(());
        }
        self.0.sync_dir(dir)
    }
}

impl DiskFile for Nowhere {
    fn write_all(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

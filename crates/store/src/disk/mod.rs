//! The few operations that the store needs of a file system.
//!
//! All of them block. What is durable is said here and nowhere assumed: bytes after [`DiskFile::sync`], names
//! after [`Disk::sync_dir`] of the folder that holds them. Files are never overwritten in place: they are
//! created, appended to, renamed and removed.

mod real;

use std::fmt;
use std::io;
use std::path::Path;

pub use real::RealDisk;

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a folder and those above it, unless they exist. Their names are not durable yet.
    ///
    /// # Errors
    /// The system's.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// The system's; `NotFound` where there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is a file or folder.
    ///
    /// # Errors
    /// The system's.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// So many bytes of a file from an offset.
    ///
    /// # Errors
    /// The system's; `UnexpectedEof` where the file is shorter.
    fn read_range(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Creates a file that must not exist yet, to be appended to. Its name is not durable yet.
    ///
    /// # Errors
    /// The system's; `AlreadyExists`.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Renames a file or folder, replacing a file that has the name: after a crash either name holds, never
    /// both or none.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it.
    ///
    /// # Errors
    /// The system's.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is open for appending.
pub trait DiskFile: Send + fmt::Debug {
    /// Appends bytes. They are not durable yet, and after an error some of them may be there.
    ///
    /// # Errors
    /// The system's.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// The system's. The file must not be used after that: a second call may succeed without having written
    /// what the first one lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// Prefix of names that are being written; whoever finds one after a restart may remove it.
pub const UNFINISHED: &str = ".tmp-";

/// Puts a file in place durably: after a crash the old one or the new one is there, whole.
///
/// # Errors
/// The system's; the old file is in place, or the new one is but its name may not be durable.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let unfinished = unfinished(disk, path)?;
    let mut file = disk.create_new(&unfinished)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&unfinished, path)?;
    disk.sync_dir(dir)
}

/// The name under which a file is written before it gets its own; one that an earlier attempt left is removed.
pub(crate) fn unfinished(disk: &dyn Disk, path: &Path) -> io::Result<std::path::PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = path.with_file_name(format!("{UNFINISHED}{name}"));
    if disk.exists(&unfinished)? {
        disk.remove_file(&unfinished)?;
    }
    Ok(unfinished)
}

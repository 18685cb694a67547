//! Durable writes: a file is there whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const UNFINISHED: &str = ".tmp-";

/// Whether a name is that of something half written.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

/// A name beside `path` that no other write uses.
pub(crate) fn unfinished_path(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(
        "{UNFINISHED}{}-{unique}-{name}",
        std::process::id()
    ))
}

/// Writes a file durably. Its name is durable after [`sync_folder`].
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished_path(path);
    let written =
        write_synced(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        // Nothing more can be done if this fails too: the next start removes it.
        drop(std::fs::remove_file(&unfinished));
    }
    written
}

/// Writes a file in place and waits until it is on stable storage.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Removes half-written files of a folder.
pub(crate) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_unfinished) && entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let scratch = Scratch::new("atomic");
        let path = scratch.path().join("state.json");
        write_file(&path, b"a longer text").unwrap();
        write_file(&path, b"short").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let scratch = Scratch::new("atomic-failed");
        let folder = scratch.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("kept"), b"x").unwrap();
        assert!(write_file(&folder, b"a file can't replace a folder").is_err());
        assert!(folder.join("kept").exists());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}

//! Files of data sets on their way into the data directory, and what lies there.
//!
//! A file is written under another name and renamed when it is whole and durable: one that breaks off leaves nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tabswarm_model::digest::Digest;
use tabswarm_model::path_part::is_path_part;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use crate::store::atomic;

/// An upload that sends nothing for so long is given up.
pub(crate) const UPLOAD_IDLE: Duration = Duration::from_mins(1);
/// Most files of a data set that are listed or uploaded.
pub(crate) const MAX_FILES: usize = 1_000;
/// Most data sets.
const MAX_DATASETS: usize = 1_000;
/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 8;
/// Longest name.
pub(crate) const MAX_NAME_BYTES: usize = 100;
/// Chunks that wait for the disk: the network is read no faster than it writes.
const QUEUE_CHUNKS: usize = 8;

/// Where a data set comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The operator's own folder.
    Folder,
    /// The admin listener.
    Upload,
}

/// A data set's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFolder {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) n_files: usize,
    pub(crate) bytes: u64,
    /// The first [`MAX_FILES`] with their sizes, sorted.
    pub(crate) files: Vec<(String, u64)>,
}

/// Why a file can't be stored.
#[derive(Debug, Error)]
pub(crate) enum UploadError {
    /// It is there.
    #[error(
        "the data set {dataset:?} has a file {file:?} already; delete the data set to upload it anew"
    )]
    Exists {
        /// The data set.
        dataset: String,
        /// The file.
        file: String,
    },
    /// There is no room in the lists.
    #[error(
        "there are {MAX_DATASETS} data sets, or {MAX_FILES} files in this one, which is the most"
    )]
    TooMany,
    /// The disk.
    #[error("{}: {source}; check the data directory's permissions and free space", path.display())]
    Io {
        /// The path that failed.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
}

/// Whether a data set or a file of one can be called so: then it is one part of a path below the folder.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES && is_path_part(name)
}

/// What the writing thread is told.
#[derive(Debug)]
enum Piece {
    Chunk(Bytes),
    End,
}

/// A file on its way. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Incoming {
    pieces: mpsc::Sender<Piece>,
    written: JoinHandle<Result<Digest, UploadError>>,
}

impl Incoming {
    /// Begins to store a file of a data set; both names are [`is_name`].
    pub(crate) fn begin(uploads: &Path, dataset: &str, file: &str) -> Result<Self, UploadError> {
        let folder = uploads.join(dataset);
        let path = folder.join(file);
        check_room(uploads, &folder, &path)?;
        let (pieces, queue) = mpsc::channel(QUEUE_CHUNKS);
        let uploads = uploads.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&uploads, &path, queue));
        Ok(Self { pieces, written })
    }

    /// The next bytes.
    pub(crate) async fn push(&mut self, chunk: Bytes) -> Result<(), UploadError> {
        if self.pieces.send(Piece::Chunk(chunk)).await.is_ok() {
            return Ok(());
        }
        // The thread has ended, and says why.
        joined((&mut self.written).await).map(drop)
    }

    /// All bytes came; its digest.
    pub(crate) async fn finish(self) -> Result<Digest, UploadError> {
        // Where the thread has ended already, it says why below.
        self.pieces.send(Piece::End).await.ok();
        joined(self.written.await)
    }
}

fn joined(
    outcome: Result<Result<Digest, UploadError>, tokio::task::JoinError>,
) -> Result<Digest, UploadError> {
    outcome.unwrap_or_else(|panic| {
        let (path, source) = (PathBuf::new(), io::Error::other(panic));
        Err(UploadError::Io { path, source })
    })
}

fn check_room(uploads: &Path, folder: &Path, path: &Path) -> Result<(), UploadError> {
    if path.exists() {
        return Err(exists(path));
    }
    let count = |folder: &Path| match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => {
            let path = folder.to_owned();
            Err(UploadError::Io { path, source })
        }
    };
    let is_full =
        count(folder)? >= MAX_FILES || (!folder.exists() && count(uploads)? >= MAX_DATASETS);
    if is_full {
        Err(UploadError::TooMany)
    } else {
        Ok(())
    }
}

fn exists(path: &Path) -> UploadError {
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_name).unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    UploadError::Exists {
        dataset: name(path.parent()),
        file: name(Some(path)),
    }
}

/// Writes what comes, and gives it its name at the end.
fn write(
    uploads: &Path,
    path: &Path,
    mut queue: mpsc::Receiver<Piece>,
) -> Result<Digest, UploadError> {
    let unfinished = atomic::unfinished_path(&uploads.join("upload"));
    let io = |source| UploadError::Io {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(uploads).map_err(io)?;
    let stored = receive(&unfinished, &mut queue)
        .map_err(io)
        .and_then(|digest| {
            if path.exists() {
                return Err(exists(path));
            }
            place(uploads, &unfinished, path).map_err(io)?;
            Ok(digest)
        });
    if stored.is_err() {
        // Nothing more can be done if this fails too: the next start removes it.
        drop(std::fs::remove_file(&unfinished));
    }
    stored
}

fn receive(unfinished: &Path, queue: &mut mpsc::Receiver<Piece>) -> io::Result<Digest> {
    let mut file = File::create(unfinished)?;
    let mut hasher = blake3::Hasher::new();
    loop {
        match queue.blocking_recv() {
            Some(Piece::Chunk(bytes)) => {
                hasher.update(&bytes);
                file.write_all(&bytes)?;
            }
            Some(Piece::End) => break,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    file.sync_all()?;
    Ok(Digest(hasher.finalize().into()))
}

fn place(uploads: &Path, unfinished: &Path, path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(uploads);
    std::fs::create_dir_all(folder)?;
    std::fs::rename(unfinished, path)?;
    atomic::sync_folder(folder)?;
    atomic::sync_folder(uploads)
}

impl DataFolder {
    /// All data sets of the operator's folder and of uploads, by name. One that is in both is the operator's.
    pub(crate) fn all(given: &Path, uploads: &Path) -> io::Result<Vec<Self>> {
        let mut all = BTreeMap::new();
        for (root, source) in [(uploads, Source::Upload), (given, Source::Folder)] {
            for name in folders_of(root)? {
                let mut folder = Self {
                    name: name.clone(),
                    source,
                    n_files: 0,
                    bytes: 0,
                    files: Vec::new(),
                };
                folder.walk(&root.join(&name), "", MAX_DEPTH)?;
                folder.files.sort_unstable();
                all.insert(name, folder);
            }
        }
        Ok(all.into_values().collect())
    }

    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && depth > 0 {
                self.walk(&entry.path(), &format!("{prefix}{name}/"), depth - 1)?;
            } else if !kind.is_dir() {
                let bytes = entry.metadata()?.len();
                self.n_files += 1;
                self.bytes += bytes;
                if self.files.len() < MAX_FILES {
                    self.files.push((format!("{prefix}{name}"), bytes));
                }
            }
        }
        Ok(())
    }
}

/// Names of the folders in a folder that a run file could name.
fn folders_of(root: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries.take(MAX_DATASETS) {
        let entry = entry?;
        // Links, too: large data sets often lie elsewhere.
        if let Ok(name) = entry.file_name().into_string()
            && is_name(&name)
            && entry.path().is_dir()
        {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn names_are_one_part_of_a_path() {
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in ["train-images-idx3-ubyte", "iris.csv", &long[1..]] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", "a/b", &long] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_file_comes_whole_or_not_at_all() {
        let scratch = Scratch::new("uploads");
        let uploads = scratch.path().join("uploads");
        let mut incoming = Incoming::begin(&uploads, "iris", "iris.csv").unwrap();
        for part in ["a,b\n", "1,2\n"] {
            incoming
                .push(Bytes::from_static(part.as_bytes()))
                .await
                .unwrap();
        }
        assert_eq!(incoming.finish().await.unwrap(), Digest::of(b"a,b\n1,2\n"));
        assert!(matches!(
            Incoming::begin(&uploads, "iris", "iris.csv"),
            Err(UploadError::Exists { .. })
        ));

        let mut broken = Incoming::begin(&uploads, "other", "x").unwrap();
        broken.push(Bytes::from_static(b"half")).await.unwrap();
        let Incoming { pieces, written } = broken;
        drop(pieces);
        assert!(written.await.unwrap().is_err());
        let all = DataFolder::all(&scratch.path().join("none"), &uploads).unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].files, [("iris.csv".to_owned(), 8)]);
        assert_eq!(
            std::fs::read_dir(&uploads).unwrap().count(),
            1,
            "nothing half written"
        );
    }
}

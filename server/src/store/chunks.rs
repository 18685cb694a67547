//! Content-addressed data sets: manifests and chunks named by their digests.

use std::io;
use std::path::{Path, PathBuf};

use tabswarm_model::dataset::{Chunk, DatasetError, Manifest};
use tabswarm_model::digest::Digest;
use thiserror::Error;

use super::atomic;

/// Why a stored data set can't be used.
#[derive(Debug, Error)]
pub(crate) enum StoredSetError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// A file's content is not what its name promises.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: DatasetError,
    },
    /// A manifest's bytes do not have its digest.
    #[error("{} does not have the digest that it is named by", path.display())]
    WrongName {
        /// Which.
        path: PathBuf,
    },
}

/// Two folders: one of manifests, one of chunks.
#[derive(Debug, Clone)]
pub(crate) struct ChunkStore {
    manifests: PathBuf,
    chunks: PathBuf,
    /// Whether anything is written at all.
    is_kept: bool,
}

impl ChunkStore {
    /// The store in these folders.
    pub(crate) fn new(manifests: PathBuf, chunks: PathBuf) -> Self {
        Self {
            manifests,
            chunks,
            is_kept: true,
        }
    }

    /// A store that forgets what it is given: for looking at a data set without keeping it.
    pub(crate) fn forgetful() -> Self {
        Self {
            manifests: PathBuf::new(),
            chunks: PathBuf::new(),
            is_kept: false,
        }
    }

    /// Whether what is put into it stays there.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Both folders.
    pub(crate) fn folders(&self) -> [&Path; 2] {
        [&self.manifests, &self.chunks]
    }

    /// Where a chunk lies.
    pub(crate) fn chunk_path(&self, digest: Digest) -> PathBuf {
        self.chunks.join(digest.to_string())
    }

    /// Where a chunk lies in brotli form.
    pub(crate) fn brotli_path(&self, digest: Digest) -> PathBuf {
        self.chunks.join(format!("{digest}.br"))
    }

    /// Where a manifest lies.
    pub(crate) fn manifest_path(&self, digest: Digest) -> PathBuf {
        self.manifests.join(format!("{digest}.json"))
    }

    /// Writes a file unless it is there and whole. Call [`Self::sync`] after the last one.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), StoredSetError> {
        if !self.is_kept || std::fs::read(path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        atomic::write_file(path, bytes).map_err(|source| io_error(path, source))
    }

    /// Makes what was put durable.
    pub(crate) fn sync(&self) -> Result<(), StoredSetError> {
        if !self.is_kept {
            return Ok(());
        }
        for folder in self.folders() {
            atomic::sync_folder(folder).map_err(|source| io_error(folder, source))?;
        }
        Ok(())
    }

    /// Reads and checks a manifest.
    pub(crate) fn manifest(&self, digest: Digest) -> Result<Manifest, StoredSetError> {
        let path = self.manifest_path(digest);
        let text = std::fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
        if Digest::of(text.as_bytes()) != digest {
            return Err(StoredSetError::WrongName { path });
        }
        Manifest::from_json(&text).map_err(|source| StoredSetError::Damaged { path, source })
    }

    /// Reads and checks one chunk.
    pub(crate) fn chunk(
        &self,
        manifest: &Manifest,
        chunk_idx: usize,
    ) -> Result<Chunk, StoredSetError> {
        let path = self.chunk_path(manifest.chunks[chunk_idx]);
        let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
        manifest
            .parse_chunk(chunk_idx, &bytes)
            .map_err(|source| StoredSetError::Damaged { path, source })
    }

    /// Reads and checks everything that a manifest names.
    pub(crate) fn verify(&self, digest: Digest) -> Result<Manifest, StoredSetError> {
        let manifest = self.manifest(digest)?;
        for chunk_idx in 0..manifest.chunks.len() {
            self.chunk(&manifest, chunk_idx)?;
        }
        Ok(manifest)
    }
}

fn io_error(path: &Path, source: io::Error) -> StoredSetError {
    StoredSetError::Io {
        path: path.to_owned(),
        source,
    }
}

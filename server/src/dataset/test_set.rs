//! The test set in memory, for evaluations.

use std::ops::Range;

use bytes::Bytes;
use tabswarm_model::dataset::{Chunk, Manifest};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::Normalization;
use tabswarm_model::samples::{MicroBatch, SampleReader};

use crate::store::Store;
use crate::store::chunks::StoredSetError;

/// Samples that no worker gets to see, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TestSet {
    manifest: Manifest,
    chunks: Vec<Chunk>,
}

impl TestSet {
    /// Reads a stored test set.
    pub(crate) fn load(store: &Store, digest: Digest) -> Result<Self, StoredSetError> {
        let manifest = store.test.manifest(digest)?;
        let chunks = (0..manifest.chunks.len())
            .map(|chunk_idx| store.test.chunk(&manifest, chunk_idx))
            .collect::<Result<_, _>>()?;
        Ok(Self { manifest, chunks })
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> u32 {
        self.manifest.samples
    }

    /// The first chunk as workers would get it, for "Try the model"; none where inputs are no bytes
    /// or targets are soft.
    pub(crate) fn examples(&self) -> Option<Bytes> {
        match self.chunks.first() {
            Some(chunk @ Chunk::Labeled { .. }) => Some(Bytes::from(chunk.to_bytes())),
            Some(Chunk::Soft { .. } | Chunk::Values { .. } | Chunk::Text(_)) | None => None,
        }
    }

    /// What reads these samples.
    pub(crate) fn reader(&self, normalization: Normalization) -> SampleReader {
        SampleReader::new(&self.manifest, normalization)
    }

    /// Replaces a batch's samples by some of these.
    pub(crate) fn read(&self, samples: Range<u32>, reader: &SampleReader, batch: &mut MicroBatch) {
        batch.clear();
        for sample in samples {
            let (chunk_idx, row) = self.manifest.locate(sample);
            reader.push(&self.chunks[chunk_idx], row, batch);
        }
    }
}

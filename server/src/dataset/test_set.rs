//! The test set in memory, for evaluations.

use tabswarm_model::digest::Digest;

use crate::store::Store;
use crate::store::chunks::StoredSetError;

/// Images as bytes and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestSet {
    inputs: Vec<u8>,
    labels: Vec<u16>,
    features: usize,
}

impl TestSet {
    /// Reads a stored test set.
    pub(crate) fn load(store: &Store, digest: Digest) -> Result<Self, StoredSetError> {
        let manifest = store.test.manifest(digest)?;
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for chunk_idx in 0..manifest.chunks.len() {
            let chunk = store.test.chunk(&manifest, chunk_idx)?;
            inputs.extend(chunk.inputs);
            labels.extend(chunk.labels);
        }
        Ok(Self {
            inputs,
            labels,
            features: manifest.features(),
        })
    }

    /// Batches of up to `samples` images with their labels.
    pub(crate) fn batches(&self, samples: usize) -> impl Iterator<Item = (&[u8], &[u16])> {
        self.inputs
            .chunks(samples * self.features)
            .zip(self.labels.chunks(samples))
    }
}

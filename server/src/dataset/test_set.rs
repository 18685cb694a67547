//! The test set, for evaluations: its beginning in memory, the rest read when it is needed.

use std::ops::Range;

use bytes::Bytes;
use tabswarm_model::dataset::{Chunk, Manifest};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::Normalization;
use tabswarm_model::samples::{MicroBatch, SampleReader};

use crate::limits::RESIDENT_TEST_SET_BYTES;
use crate::store::Store;
use crate::store::chunks::{ChunkStore, StoredSetError};

/// Samples that no worker gets to see, as they are stored.
#[derive(Debug)]
pub(crate) struct TestSet {
    manifest: Manifest,
    store: ChunkStore,
    /// The first chunks, as many as there is memory for.
    resident: Vec<Chunk>,
}

/// Reads samples of a test set one after the other; holds at most one chunk.
#[derive(Debug)]
pub(crate) struct TestReader {
    samples: SampleReader,
    loaded: Option<(usize, Chunk)>,
}

impl TestSet {
    /// Opens a stored test set, every chunk of which is checked.
    pub(crate) fn load(store: &Store, digest: Digest) -> Result<Self, StoredSetError> {
        Self::load_within(store, digest, RESIDENT_TEST_SET_BYTES)
    }

    fn load_within(
        store: &Store,
        digest: Digest,
        mut bytes_left: usize,
    ) -> Result<Self, StoredSetError> {
        let manifest = store.test.manifest(digest)?;
        let mut resident = Vec::new();
        for chunk_idx in 0..manifest.chunks.len() {
            let chunk = store.test.chunk(&manifest, chunk_idx)?;
            match bytes_left.checked_sub(memory(&chunk)) {
                Some(left) if resident.len() == chunk_idx => {
                    bytes_left = left;
                    resident.push(chunk);
                }
                _ => {}
            }
        }
        Ok(Self {
            manifest,
            store: store.test.clone(),
            resident,
        })
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> u32 {
        self.manifest.samples
    }

    /// The first chunk as workers would get it, for "Try the model"; none where inputs are no bytes
    /// or targets are soft.
    pub(crate) fn examples(&self) -> Option<Bytes> {
        match self.resident.first() {
            Some(chunk @ Chunk::Labeled { .. }) => Some(Bytes::from(chunk.to_bytes())),
            Some(Chunk::Soft { .. } | Chunk::Values { .. } | Chunk::Text(_)) | None => None,
        }
    }

    /// What reads these samples.
    pub(crate) fn reader(&self, normalization: Normalization) -> TestReader {
        TestReader {
            samples: SampleReader::new(&self.manifest, normalization),
            loaded: None,
        }
    }
}

impl TestReader {
    /// Replaces a batch's samples by some of the set that this reader was made for.
    ///
    /// # Errors
    /// Where a chunk can't be read, or is damaged.
    pub(crate) fn read(
        &mut self,
        set: &TestSet,
        range: Range<u32>,
        batch: &mut MicroBatch,
    ) -> Result<(), StoredSetError> {
        batch.clear();
        for sample in range {
            let (chunk_idx, row) = set.manifest.locate(sample);
            let chunk = match set.resident.get(chunk_idx) {
                Some(chunk) => chunk,
                None => load(&mut self.loaded, set, chunk_idx)?,
            };
            self.samples.push(chunk, row, batch);
        }
        Ok(())
    }

    /// Gives the memory of the last chunk back.
    pub(crate) fn rest(&mut self) {
        self.loaded = None;
    }
}

/// The chunk from its place, or else from the disk.
fn load<'a>(
    place: &'a mut Option<(usize, Chunk)>,
    set: &TestSet,
    chunk_idx: usize,
) -> Result<&'a Chunk, StoredSetError> {
    let loaded = match place.take() {
        Some(loaded) if loaded.0 == chunk_idx => loaded,
        // Dropped before the next one is read.
        _ => (chunk_idx, set.store.chunk(&set.manifest, chunk_idx)?),
    };
    Ok(&place.insert(loaded).1)
}

/// Bytes that a chunk takes in memory.
fn memory(chunk: &Chunk) -> usize {
    match chunk {
        Chunk::Labeled { inputs, labels } => inputs.len() + size_of_val(&**labels),
        Chunk::Soft { inputs, targets } => inputs.len() + size_of_val(&**targets),
        Chunk::Values { inputs, labels } => size_of_val(&**inputs) + size_of_val(&**labels),
        // At most: tokens of one byte take half of it.
        Chunk::Text(tokens) => tokens.len() * size_of::<u16>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ingest;
    use crate::fixture;
    use crate::scratch::Scratch;

    #[test]
    fn what_does_not_fit_into_memory_is_read_from_the_disk() {
        let scratch = Scratch::new("test-set");
        let datasets = scratch.path().join("datasets");
        fixture::write_dataset(&datasets.join("tiny"), 10, 5_000);
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let run = fixture::run();
        let digest = ingest(&run, &datasets, &store).unwrap().test_set;
        let whole = TestSet::load(&store, digest).unwrap();
        assert_eq!((whole.resident.len(), whole.manifest.chunks.len()), (5, 5));
        let bytes = memory(&whole.resident[0]);
        // Also a smaller chunk behind one without room stays on the disk.
        let part = TestSet::load_within(&store, digest, 3 * bytes - 1).unwrap();
        assert_eq!(part.resident.len(), 2);
        assert_eq!(part.examples(), whole.examples());

        let [mut all, mut some] = [&whole, &part].map(|set| set.reader(run.data.normalization));
        let (mut expected, mut got) = (MicroBatch::default(), MicroBatch::default());
        for first in (0..5_000).step_by(500) {
            let range = first..first + 500;
            all.read(&whole, range.clone(), &mut expected).unwrap();
            some.read(&part, range, &mut got).unwrap();
            assert_eq!(got, expected);
            assert!(all.loaded.is_none());
        }
        assert!(matches!(some.loaded, Some((4, _))));
        some.rest();
        let last = store.test.chunk_path(part.manifest.chunks[4]);
        std::fs::write(&last, b"damaged").unwrap();
        let message = some.read(&part, 4_999..5_000, &mut got).unwrap_err();
        let name = last.display().to_string();
        assert!(message.to_string().contains(&name), "{message}");
    }
}

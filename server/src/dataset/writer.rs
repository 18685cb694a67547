//! Samples on their way to the store, one chunk in memory at a time.

use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{
    CHUNK_SAMPLES, Chunk, InputKind, MAX_CHUNK_BYTES, Manifest, Preparation, TargetKind,
};
use tabswarm_model::digest::Digest;

use super::fault::Fault;
use super::ingest::{IngestError, Ingested, put_chunk};
use super::split::Part;
use crate::store::Store;
use crate::store::chunks::{ChunkStore, StoredSetError};

/// Most bytes of a data set's inputs: a file that unpacks to more is taken for a bomb or a mistake.
pub(super) const MAX_INPUT_BYTES: u64 = 64 << 30;

/// A sample's inputs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs<'a> {
    /// As stored.
    Bytes(&'a [u8]),
    /// As the model takes them.
    Values(&'a [f32]),
}

/// The three parts of a data set. What was written is removed again unless [`Self::finish`] succeeds.
pub(super) struct Writer<'a> {
    path: &'a Path,
    store: &'a Store,
    preparation: Preparation,
    parts: [SetWriter<'a>; 3],
    written: Written,
}

/// Files that were not there before.
#[derive(Default)]
struct Written(Vec<PathBuf>);

impl Drop for Written {
    fn drop(&mut self) {
        for path in self.0.drain(..) {
            // What can't be removed is found by its digest when the same data comes again.
            drop(std::fs::remove_file(path));
        }
    }
}

struct SetWriter<'a> {
    store: &'a ChunkStore,
    is_public: bool,
    manifest: Manifest,
    bytes: Vec<u8>,
    values: Vec<f32>,
    labels: Vec<u16>,
}

impl<'a> Writer<'a> {
    /// For the samples of a run.
    pub(super) fn new(
        run: &Run,
        path: &'a Path,
        inputs: InputKind,
        preparation: Preparation,
        store: &'a Store,
    ) -> Self {
        let classes = run.graph().classes;
        let features: usize = run.model.input.iter().product();
        let sample_bytes = 2 + features
            * match inputs {
                InputKind::Bytes => 1,
                InputKind::Values => size_of::<f32>(),
            };
        let fitting = u32::try_from(MAX_CHUNK_BYTES / sample_bytes).unwrap_or(CHUNK_SAMPLES);
        let manifest = Manifest {
            sample_shape: run.model.input.clone(),
            classes: u32::try_from(classes).unwrap_or(u32::MAX),
            samples: 0,
            chunk_samples: fitting.clamp(1, CHUNK_SAMPLES),
            chunks: Vec::new(),
            vocabulary: None,
            targets: TargetKind::Labels,
            inputs,
            preparation: None,
        };
        let part = |store, is_public| SetWriter {
            store,
            is_public,
            manifest: manifest.clone(),
            bytes: Vec::new(),
            values: Vec::new(),
            labels: Vec::new(),
        };
        let parts = [
            part(&store.training, true),
            part(&store.test, false),
            part(&store.test, false),
        ];
        let written = Written::default();
        Self {
            path,
            store,
            preparation,
            parts,
            written,
        }
    }

    /// Adds a sample to a part.
    pub(super) fn push(
        &mut self,
        part: Part,
        inputs: Inputs<'_>,
        label: u16,
    ) -> Result<(), IngestError> {
        let set = &mut self.parts[part as usize];
        match inputs {
            Inputs::Bytes(bytes) => set.bytes.extend_from_slice(bytes),
            Inputs::Values(values) => {
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    let problem = format!("input {at} of a sample becomes {}", values[at]);
                    let remedy = "use numbers of a size that 32 bits can hold";
                    return Err(Fault::new(self.path.display(), problem, remedy).into());
                }
                set.values.extend_from_slice(values);
            }
        }
        set.labels.push(label);
        if set.labels.len() == set.manifest.chunk_samples as usize {
            set.flush(&mut self.written)?;
        }
        Ok(())
    }

    /// Stores what is left, and the manifests.
    pub(super) fn finish(mut self) -> Result<Ingested, IngestError> {
        for set in &mut self.parts {
            set.flush(&mut self.written)?;
        }
        let [mut training, validation, test] = self.parts;
        for (set, purpose) in [(&training, "training"), (&validation, "validation")] {
            if set.manifest.samples == 0 {
                let problem = format!("there are no samples for {purpose}");
                return Err(
                    Fault::new(self.path.display(), problem, "use a larger data set").into(),
                );
            }
        }
        if test.manifest.samples > 0 {
            self.preparation.held_out = Some(test.finish(self.path, &mut self.written)?.0);
        }
        training.manifest.preparation = Some(self.preparation);
        let (dataset, manifest) = training.finish(self.path, &mut self.written)?;
        let (test_set, _) = validation.finish(self.path, &mut self.written)?;
        self.store.training.sync()?;
        self.store.test.sync()?;
        self.written.0.clear();
        Ok(Ingested {
            dataset,
            manifest,
            test_set,
        })
    }
}

impl SetWriter<'_> {
    fn flush(&mut self, written: &mut Written) -> Result<(), StoredSetError> {
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels = std::mem::take(&mut self.labels);
        self.manifest.samples += u32::try_from(labels.len()).unwrap_or(u32::MAX);
        let chunk = match self.manifest.inputs {
            InputKind::Bytes => Chunk::Labeled {
                inputs: std::mem::take(&mut self.bytes),
                labels,
            },
            InputKind::Values => Chunk::Values {
                inputs: std::mem::take(&mut self.values),
                labels,
            },
        };
        let bytes = chunk.to_bytes();
        let digest = Digest::of(&bytes);
        for path in [
            self.store.chunk_path(digest),
            self.store.brotli_path(digest),
        ] {
            if !path.exists() {
                written.0.push(path);
            }
        }
        self.manifest
            .chunks
            .push(put_chunk(&bytes, self.store, self.is_public)?);
        Ok(())
    }

    fn finish(self, path: &Path, written: &mut Written) -> Result<(Digest, Manifest), IngestError> {
        let json = self.manifest.to_json();
        let manifest = Manifest::from_json(&json).map_err(|source| IngestError::Limits {
            path: path.to_owned(),
            source,
        })?;
        let digest = Digest::of(json.as_bytes());
        let path = self.store.manifest_path(digest);
        if !path.exists() {
            written.0.push(path.clone());
        }
        ChunkStore::put(&path, json.as_bytes())?;
        Ok((digest, manifest))
    }
}

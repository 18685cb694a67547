//! Samples on their way to the store, one chunk in memory at a time.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use tabswarm_model::Run;
use tabswarm_model::dataset::{
    CHUNK_SAMPLES, Chunk, InputKind, MAX_CHUNK_BYTES, Manifest, Preparation, TargetKind,
};
use tabswarm_model::digest::Digest;

use super::fault::Fault;
use super::ingest::{Counts, IngestError, Ingested, Sets, put_chunk};
use super::split::Part;
use crate::store::chunks::{ChunkStore, StoredSetError};

/// Most bytes of a data set's inputs: a file that unpacks to more is taken for a bomb or a mistake.
pub(super) const MAX_INPUT_BYTES: u64 = 64 << 30;

/// Most threads that compress chunks; each has one in memory.
const MAX_THREADS: usize = 8;

/// What a sample is to be told apart by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    /// Its class.
    Class(u16),
    /// A probability for each class.
    Soft(&'a [f32]),
}

/// A sample's inputs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs<'a> {
    /// As stored.
    Bytes(&'a [u8]),
    /// As the model takes them.
    Values(&'a [f32]),
}

/// Where the files of a data set go. What was written is removed again unless [`Self::keep`] is called.
///
/// Chunks wait until there is one for each thread, and are compressed together.
pub(super) struct Shelf<'a> {
    sets: Sets<'a>,
    waiting: Vec<Waiting<'a>>,
    threads: usize,
    written: Written,
}

/// A chunk that is not stored yet.
struct Waiting<'a> {
    store: &'a ChunkStore,
    is_public: bool,
    digest: Digest,
    bytes: Vec<u8>,
}

impl Waiting<'_> {
    fn put(&self) -> Result<(), StoredSetError> {
        put_chunk(&self.bytes, self.digest, self.store, self.is_public)
    }
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

impl<'a> Shelf<'a> {
    /// An empty one.
    pub(super) fn new(sets: Sets<'a>) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            sets,
            waiting: Vec::new(),
            threads: cores.min(MAX_THREADS),
            written: Written::default(),
        }
    }

    fn store(&self, part: Part) -> &'a ChunkStore {
        match part {
            Part::Training => self.sets.training,
            Part::Validation | Part::Test => self.sets.test,
        }
    }

    fn note(&mut self, path: PathBuf, store: &ChunkStore) {
        if store.is_kept() && !path.exists() {
            self.written.0.push(path);
        }
    }

    /// Stores a chunk of a part.
    pub(super) fn chunk(&mut self, part: Part, chunk: &Chunk) -> Result<Digest, StoredSetError> {
        let (store, bytes) = (self.store(part), chunk.to_bytes());
        let digest = Digest::of(&bytes);
        let is_public = part == Part::Training;
        let is_there = |chunk: &Waiting<'_>| (chunk.digest, chunk.is_public) == (digest, is_public);
        if !self.waiting.iter().any(is_there) {
            self.note(store.chunk_path(digest), store);
            self.note(store.brotli_path(digest), store);
            self.waiting.push(Waiting {
                store,
                is_public,
                digest,
                bytes,
            });
        }
        if self.waiting.len() >= self.threads {
            self.flush()?;
        }
        Ok(digest)
    }

    /// Stores the chunks that wait.
    fn flush(&mut self) -> Result<(), StoredSetError> {
        let Some(last) = self.waiting.pop() else {
            return Ok(());
        };
        let others = std::mem::take(&mut self.waiting);
        thread::scope(|scope| {
            let spawn = |chunk| {
                let thread = thread::Builder::new().name("ingest".to_owned());
                thread.spawn_scoped(scope, move || Waiting::put(chunk))
            };
            // Where the system has no more threads, this one does the work.
            let helpers: Vec<_> = others
                .iter()
                .map(|chunk| (chunk, spawn(chunk).ok()))
                .collect();
            let mut outcome = last.put();
            for (chunk, helper) in helpers {
                let stored = match helper {
                    Some(helper) => helper.join().expect("storing a chunk does not panic"),
                    None => chunk.put(),
                };
                outcome = outcome.and(stored);
            }
            outcome
        })
    }

    /// Stores a part's manifest, when all of its chunks are there; `path` is for messages.
    pub(super) fn manifest(
        &mut self,
        part: Part,
        manifest: &Manifest,
        path: &Path,
    ) -> Result<(Digest, Manifest), IngestError> {
        self.flush()?;
        let json = manifest.to_json();
        let manifest = Manifest::from_json(&json).map_err(|source| IngestError::Limits {
            path: path.to_owned(),
            source,
        })?;
        let (store, digest) = (self.store(part), Digest::of(json.as_bytes()));
        let path = store.manifest_path(digest);
        self.note(path.clone(), store);
        store.put(&path, json.as_bytes())?;
        Ok((digest, manifest))
    }

    /// Makes everything durable.
    pub(super) fn keep(mut self) -> Result<(), StoredSetError> {
        self.sets.training.sync()?;
        self.sets.test.sync()?;
        self.written.0.clear();
        Ok(())
    }
}

/// The three parts of a data set that is no text.
pub(super) struct Writer<'a> {
    path: &'a Path,
    shelf: Shelf<'a>,
    preparation: Option<Preparation>,
    parts: [PartWriter; 3],
    counts: Counts,
}

struct PartWriter {
    part: Part,
    manifest: Manifest,
    /// Samples of the chunk that is being filled.
    waiting: u32,
    bytes: Vec<u8>,
    values: Vec<f32>,
    labels: Vec<u16>,
    targets: Vec<f32>,
}

impl<'a> Writer<'a> {
    /// For the samples of a run.
    pub(super) fn new(
        run: &Run,
        path: &'a Path,
        inputs: InputKind,
        preparation: Option<Preparation>,
        sets: Sets<'a>,
    ) -> Self {
        let graph = run.graph();
        let (classes, targets) = (graph.classes, TargetKind::of(&graph));
        let features: usize = run.model.input.iter().product();
        let input_bytes = match inputs {
            InputKind::Bytes => 1,
            InputKind::Values => size_of::<f32>(),
        };
        let target_bytes = match targets {
            TargetKind::Labels => size_of::<u16>(),
            TargetKind::Soft => classes * size_of::<f32>(),
        };
        let sample_bytes = features * input_bytes + target_bytes;
        let fitting = u32::try_from(MAX_CHUNK_BYTES / sample_bytes).unwrap_or(CHUNK_SAMPLES);
        let manifest = Manifest {
            sample_shape: run.model.input.clone(),
            classes: u32::try_from(classes).unwrap_or(u32::MAX),
            samples: 0,
            chunk_samples: fitting.clamp(1, CHUNK_SAMPLES),
            chunks: Vec::new(),
            vocabulary: None,
            targets,
            inputs,
            preparation: None,
        };
        let parts = [Part::Training, Part::Validation, Part::Test].map(|part| PartWriter {
            part,
            manifest: manifest.clone(),
            waiting: 0,
            bytes: Vec::new(),
            values: Vec::new(),
            labels: Vec::new(),
            targets: Vec::new(),
        });
        Self {
            path,
            shelf: Shelf::new(sets),
            preparation,
            parts,
            counts: Counts::new(match targets {
                TargetKind::Labels => classes,
                TargetKind::Soft => 0,
            }),
        }
    }

    /// Adds a sample to a part.
    pub(super) fn push(
        &mut self,
        part: Part,
        inputs: Inputs<'_>,
        target: Target<'_>,
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
        match target {
            Target::Class(label) => set.labels.push(label),
            Target::Soft(targets) => set.targets.extend_from_slice(targets),
        }
        self.counts.add(part, target);
        set.waiting += 1;
        if set.waiting == set.manifest.chunk_samples {
            set.flush(&mut self.shelf)?;
        }
        Ok(())
    }

    /// Stores what is left, and the manifests.
    pub(super) fn finish(mut self) -> Result<Ingested, IngestError> {
        for set in &mut self.parts {
            set.flush(&mut self.shelf)?;
        }
        let [mut training, validation, test] = self.parts;
        for (set, purpose) in [(&training, "training"), (&validation, "validation")] {
            if set.manifest.samples == 0 {
                let problem = format!("there are no samples for {purpose}");
                let remedy = "use a larger data set";
                return Err(Fault::new(self.path.display(), problem, remedy).into());
            }
        }
        let (path, shelf) = (self.path, &mut self.shelf);
        if test.manifest.samples > 0 {
            let held_out = shelf.manifest(Part::Test, &test.manifest, path)?;
            self.preparation.get_or_insert_default().held_out = Some(held_out.0);
        }
        training.manifest.preparation = self.preparation;
        let (dataset, manifest) = shelf.manifest(Part::Training, &training.manifest, path)?;
        let (test_set, _) = shelf.manifest(Part::Validation, &validation.manifest, path)?;
        self.shelf.keep()?;
        Ok(Ingested {
            dataset,
            manifest,
            test_set,
            counts: self.counts,
        })
    }
}

impl PartWriter {
    fn flush(&mut self, shelf: &mut Shelf<'_>) -> Result<(), StoredSetError> {
        if self.waiting == 0 {
            return Ok(());
        }
        self.manifest.samples = self.manifest.samples.saturating_add(self.waiting);
        self.waiting = 0;
        let labels = std::mem::take(&mut self.labels);
        let chunk = match (self.manifest.inputs, self.manifest.targets) {
            (InputKind::Bytes, TargetKind::Labels) => Chunk::Labeled {
                inputs: std::mem::take(&mut self.bytes),
                labels,
            },
            (InputKind::Bytes, TargetKind::Soft) => Chunk::Soft {
                inputs: std::mem::take(&mut self.bytes),
                targets: std::mem::take(&mut self.targets),
            },
            (InputKind::Values, _) => Chunk::Values {
                inputs: std::mem::take(&mut self.values),
                labels,
            },
        };
        let digest = shelf.chunk(self.part, &chunk)?;
        self.manifest.chunks.push(digest);
        Ok(())
    }
}

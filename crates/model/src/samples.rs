//! A worker's store of training samples: chunks as they arrive, micro-batches as they are needed.

use crate::batches::{BatchPlan, StepShape};
use crate::dataset::{Chunk, DatasetError, Manifest};
use crate::graph::Graph;
use crate::run_file::{Normalization, Run};

/// The chunks of a training set that are here, and the order of the epoch in progress.
#[derive(Debug)]
pub struct SampleStore {
    manifest: Manifest,
    plan: BatchPlan,
    reader: SampleReader,
    chunks: Vec<Option<Chunk>>,
    order: Option<(u32, Vec<u32>)>,
}

/// The samples of one micro-batch, ready for an engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MicroBatch {
    /// Number of samples.
    pub samples: u32,
    /// (samples, features): normalized values, or tokens as whole numbers.
    pub inputs: Vec<f32>,
    /// One per sample, or one for each token: the one that follows it; none where targets are soft.
    pub labels: Vec<u16>,
    /// (samples, classes): soft targets; none where there are labels.
    pub soft_targets: Vec<f32>,
}

impl MicroBatch {
    /// Takes all samples out.
    pub fn clear(&mut self) {
        self.samples = 0;
        self.inputs.clear();
        self.labels.clear();
        self.soft_targets.clear();
    }
}

/// Turns stored samples into what an engine takes.
#[derive(Debug)]
pub struct SampleReader {
    values: Box<[f32; 256]>,
    features: usize,
    classes: usize,
}

impl SampleReader {
    /// A reader of a data set's chunks; the normalization is for labeled samples.
    pub fn new(manifest: &Manifest, normalization: Normalization) -> Self {
        Self {
            values: Box::new(normalization.table()),
            features: manifest.features(),
            classes: manifest.classes as usize,
        }
    }

    /// Appends a chunk's sample to a batch.
    pub fn push(&self, chunk: &Chunk, row: usize, batch: &mut MicroBatch) {
        let first = row * self.features;
        match chunk {
            Chunk::Labeled { inputs, labels } => {
                self.push_inputs(&inputs[first..first + self.features], batch);
                batch.labels.push(labels[row]);
            }
            Chunk::Values { inputs, labels } => {
                let inputs = &inputs[first..first + self.features];
                batch.inputs.extend_from_slice(inputs);
                batch.labels.push(labels[row]);
            }
            Chunk::Soft { inputs, targets } => {
                self.push_inputs(&inputs[first..first + self.features], batch);
                let targets = &targets[row * self.classes..(row + 1) * self.classes];
                batch.soft_targets.extend_from_slice(targets);
            }
            Chunk::Text(tokens) => {
                tokens.push_window(first, self.features, &mut batch.inputs, &mut batch.labels);
            }
        }
        batch.samples += 1;
    }

    fn push_inputs(&self, bytes: &[u8], batch: &mut MicroBatch) {
        let values = bytes.iter().map(|&byte| self.values[usize::from(byte)]);
        batch.inputs.extend(values);
    }
}

impl SampleStore {
    /// An empty store of a run's training set, which must fit the run's graph.
    ///
    /// # Errors
    /// [`DatasetError::Unfit`] where it does not.
    pub fn of_run(run: &Run, graph: &Graph, manifest: Manifest) -> Result<Self, DatasetError> {
        manifest.check_fit(graph)?;
        let plan = BatchPlan::new(run, manifest.samples);
        Ok(Self::new(manifest, plan, run.data.normalization))
    }

    /// An empty store.
    pub fn new(manifest: Manifest, plan: BatchPlan, normalization: Normalization) -> Self {
        Self {
            chunks: vec![None; manifest.chunks.len()],
            reader: SampleReader::new(&manifest, normalization),
            manifest,
            plan,
            order: None,
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The division into steps and micro-batches.
    pub fn plan(&self) -> &BatchPlan {
        &self.plan
    }

    /// Number of chunks that are here.
    pub fn chunks_present(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.is_some()).count()
    }

    /// Chunks that micro-batches `first..first + count` of a step need and that are not here, ascending.
    pub fn missing_chunks(&mut self, step: StepShape, first: u32, count: u32) -> Vec<usize> {
        let positions = self.positions(step, first, count);
        let order = self.order(step.epoch);
        let mut needed: Vec<u32> = order[positions].to_vec();
        needed
            .iter_mut()
            .for_each(|sample| *sample /= self.manifest.chunk_samples);
        needed.sort_unstable();
        needed.dedup();
        let missing = needed.into_iter().map(|chunk| chunk as usize);
        missing
            .filter(|&chunk| self.chunks[chunk].is_none())
            .collect()
    }

    /// Chunks in the order in which the epoch of `step` goes on to need them, those not here only.
    pub fn upcoming_chunks(&mut self, step: StepShape) -> Vec<usize> {
        let chunk_samples = self.manifest.chunk_samples;
        let mut seen: Vec<bool> = self.chunks.iter().map(Option::is_some).collect();
        let start = step.first_sample as usize;
        let mut upcoming = Vec::new();
        for &sample in &self.order(step.epoch)[start..] {
            let chunk = (sample / chunk_samples) as usize;
            if !seen[chunk] {
                seen[chunk] = true;
                upcoming.push(chunk);
            }
        }
        upcoming
    }

    /// Checks a chunk's bytes and keeps it.
    ///
    /// # Errors
    /// Where the bytes are not those that the manifest names.
    pub fn insert(&mut self, chunk_idx: usize, bytes: &[u8]) -> Result<(), DatasetError> {
        let chunk = self.manifest.parse_chunk(chunk_idx, bytes)?;
        self.chunks[chunk_idx] = Some(chunk);
        Ok(())
    }

    /// Fills `batch` with one micro-batch of a step; false where a chunk is missing.
    pub fn gather(
        &mut self,
        step: StepShape,
        micro_batch_idx: u32,
        batch: &mut MicroBatch,
    ) -> bool {
        batch.clear();
        self.order(step.epoch);
        let Some((_, order)) = &self.order else {
            return false;
        };
        for &sample in &order[self.plan.positions(step, micro_batch_idx)] {
            let (chunk_idx, row) = self.manifest.locate(sample);
            let Some(chunk) = &self.chunks[chunk_idx] else {
                return false;
            };
            self.reader.push(chunk, row, batch);
        }
        true
    }

    fn positions(&self, step: StepShape, first: u32, count: u32) -> std::ops::Range<usize> {
        let start = self.plan.positions(step, first).start;
        start..start + self.plan.samples_of(step, first, count) as usize
    }

    fn order(&mut self, epoch: u32) -> &[u32] {
        if self.order.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.order = Some((epoch, self.plan.epoch_order(epoch)));
        }
        self.order.as_ref().map_or(&[], |(_, order)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{InputKind, TargetKind};
    use crate::digest::Digest;

    fn chunk(first: u32, samples: u32) -> Chunk {
        let low_byte = |sample: u32| sample.to_le_bytes()[0];
        Chunk::Labeled {
            inputs: (first..first + samples).map(low_byte).collect(),
            labels: (first..first + samples)
                .map(|s| (s % 10).try_into().unwrap())
                .collect(),
        }
    }

    fn store() -> (SampleStore, Vec<Vec<u8>>) {
        let chunks: Vec<Vec<u8>> = [(0, 1_024), (1_024, 1_024), (2_048, 52)]
            .map(|(first, samples)| chunk(first, samples).to_bytes())
            .to_vec();
        let manifest = Manifest {
            sample_shape: vec![1],
            classes: 10,
            samples: 2_100,
            chunk_samples: 1_024,
            chunks: chunks.iter().map(|bytes| Digest::of(bytes)).collect(),
            vocabulary: None,
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let plan = BatchPlan::synthetic(2_100, 32, 128, 2);
        let normalization = Normalization {
            mean: 0.0,
            std: 1.0,
        };
        (SampleStore::new(manifest, plan, normalization), chunks)
    }

    #[test]
    fn an_epoch_gives_every_sample_once() {
        let (mut store, chunks) = store();
        let plan = *store.plan();
        let step = plan.step(3);
        assert_eq!(store.missing_chunks(step, 0, 4), [0, 1, 2]);
        let mut batch = MicroBatch::default();
        assert!(!store.gather(step, 0, &mut batch));
        for (idx, bytes) in chunks.iter().enumerate() {
            store.insert(idx, bytes).unwrap();
        }
        assert_eq!(store.missing_chunks(step, 0, 4), [] as [usize; 0]);
        let mut labels = [0; 10];
        let mut samples = 0;
        for version in 0..u64::from(plan.steps_per_epoch()) {
            let step = plan.step(version);
            for idx in 0..step.micro_batches {
                assert!(store.gather(step, idx, &mut batch));
                assert_eq!(batch.inputs.len(), batch.labels.len());
                samples += batch.labels.len();
                batch
                    .labels
                    .iter()
                    .for_each(|&label| labels[usize::from(label)] += 1);
            }
        }
        assert_eq!(samples, 2_100);
        assert_eq!(labels, [210; 10]);
    }

    #[test]
    fn upcoming_chunks_leave_out_what_is_here() {
        let (mut store, chunks) = store();
        let step = store.plan().step(0);
        assert_eq!(store.upcoming_chunks(step).len(), 3);
        store.insert(1, &chunks[1]).unwrap();
        let upcoming = store.upcoming_chunks(step);
        assert_eq!(upcoming.len(), 2);
        assert!(!upcoming.contains(&1));
    }

    #[test]
    fn sequences_of_a_text_continue_each_other() {
        // Each character stands for its own place: 0, 1, 2, ...
        let text: String = (0..61).filter_map(|n| char::from_u32(0x41 + n)).collect();
        let vocabulary = crate::dataset::Vocabulary::of(&text).unwrap();
        let tokens = vocabulary.encode(&text).unwrap();
        let chunks = [0..41, 40..61].map(|range| Chunk::Text(tokens.slice(range)).to_bytes());
        let manifest = Manifest {
            sample_shape: vec![5],
            classes: 61,
            samples: 12,
            chunk_samples: 8,
            chunks: chunks.iter().map(|bytes| Digest::of(bytes)).collect(),
            vocabulary: Some(vocabulary),
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let plan = BatchPlan::synthetic(12, 3, 12, 1);
        // Tokens are not normalized.
        let normalization = Normalization {
            mean: 0.5,
            std: 0.1,
        };
        let mut store = SampleStore::new(manifest, plan, normalization);
        for (idx, bytes) in chunks.iter().enumerate() {
            store.insert(idx, bytes).unwrap();
        }
        let mut batch = MicroBatch::default();
        let mut seen = Vec::new();
        for idx in 0..4 {
            assert!(store.gather(plan.step(0), idx, &mut batch));
            assert_eq!((batch.samples, batch.labels.len()), (3, 15));
            let next: Vec<f32> = batch.inputs.iter().map(|input| input + 1.0).collect();
            let labels: Vec<f32> = batch.labels.iter().map(|&label| label.into()).collect();
            assert_eq!(labels, next);
            seen.extend_from_slice(&batch.labels);
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=60).collect::<Vec<u16>>());
    }
}

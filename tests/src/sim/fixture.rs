//! A small training job: three classes in five dimensions, 28 steps.

use std::sync::Arc;

use tabswarm_model::batches::{BatchPlan, StepShape};
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, Manifest, TargetKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::StepLog;
use tabswarm_model::samples::{MicroBatch, SampleStore};
use tabswarm_model::{Layout, Run};

use super::chance::Chance;
use crate::reference;

/// Without `[durability]`, which is the scenario's.
const RUN_FILE: &str = r#"
name = "sim"
seed = 7

[data]
format = "idx"
path = "sim"

[model]
input = [5]
layers = [
    { kind = "dense", units = 4 },
    { kind = "relu" },
    { kind = "dense", units = 3 },
]
loss = "softmax_cross_entropy"

[train]
epochs = 4
micro_batch = 4
global_batch = 24

[optimizer]
kind = "adam"
learning_rate = 0.01

[evaluation]
every_steps = 10

[snapshot]
every_steps = 5
keep = 2
"#;

const SAMPLES: u32 = 150;

/// The run and its data, shared by all of the simulation.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) run: Arc<Run>,
    /// As the operator wrote it.
    pub(super) run_file: String,
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
    pub(super) plan: BatchPlan,
    store: SampleStore,
}

impl Job {
    pub(super) fn new(step_log: StepLog) -> Self {
        let word = match step_log {
            StepLog::Updates => "updates",
            StepLog::Decisions => "decisions",
        };
        let run_file = format!("{RUN_FILE}\n[durability]\nlog = \"{word}\"\n");
        let run = Arc::new(Run::from_toml(&run_file).expect("the run file is valid"));
        let bytes = chunk().to_bytes();
        let manifest = Manifest {
            sample_shape: vec![5],
            classes: 3,
            samples: SAMPLES,
            chunk_samples: CHUNK_SAMPLES,
            chunks: vec![Digest::of(&bytes)],
            vocabulary: None,
            targets: TargetKind::Labels,
        };
        let plan = BatchPlan::new(&run, SAMPLES);
        let mut store = SampleStore::new(manifest.clone(), plan, run.data.normalization);
        store
            .insert(0, &bytes)
            .expect("the chunk is the manifest's");
        Self {
            layout: run.graph().layout,
            run,
            run_file,
            manifest,
            plan,
            store,
        }
    }

    pub(super) fn samples(&self) -> u32 {
        self.manifest.samples
    }

    pub(super) fn dataset(&self) -> Digest {
        Digest::of(self.manifest.to_json().as_bytes())
    }

    /// Samples in the steps up to a version.
    pub(super) fn samples_up_to(&self, version: u64) -> u64 {
        (0..version)
            .map(|step| u64::from(self.plan.step(step).samples))
            .sum()
    }

    /// The digest of every version.
    pub(super) fn reference(&mut self) -> Vec<Digest> {
        reference::digests(&self.run, &mut self.store)
    }

    pub(super) fn gather(&mut self, step: StepShape, micro_batch_idx: u32, batch: &mut MicroBatch) {
        assert!(
            self.store.gather(step, micro_batch_idx, batch),
            "the only chunk is here"
        );
    }
}

/// Samples around three centers.
fn chunk() -> Chunk {
    let mut chance = Chance::new(42);
    let mut inputs = Vec::new();
    let mut labels = Vec::new();
    for sample in 0..SAMPLES {
        let label = u16::try_from(sample % 3).expect("below 3");
        let center = [60, 130, 200][usize::from(label)];
        inputs.extend((0..5).map(|_| {
            let value = center + chance.below(80) - 40;
            u8::try_from(value).expect("between 20 and 240")
        }));
        labels.push(label);
    }
    Chunk::Labeled { inputs, labels }
}

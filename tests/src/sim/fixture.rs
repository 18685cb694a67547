//! A small training job: three classes in five dimensions, 28 steps.

use std::sync::Arc;

use tabswarm_coordinator::RunState;
use tabswarm_model::batches::StepShape;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, Manifest, TargetKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::{Mode, StepLog};
use tabswarm_model::samples::{MicroBatch, SampleStore};
use tabswarm_model::{Layout, Run};

use super::chance::Chance;
use crate::reference;

/// Without `[durability]` and `[sync]`, which are the scenario's.
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

/// How the simulated run makes its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimMode {
    /// A batch at a time.
    Sync,
    /// Batches as they arrive, at most four versions late.
    Async,
    /// Rounds of two shards of two inner steps.
    Local,
}

impl SimMode {
    fn sections(self) -> &'static str {
        match self {
            Self::Sync => "",
            Self::Async => {
                "\n[sync]\nmode = \"async\"\nstaleness_max = 4\n\n[numeric]\nreproducible = false\nclass = \"portable\"\ncodec = \"exact\"\n"
            }
            Self::Local => "\n[sync]\nmode = \"local\"\ninner_steps = 2\nshards = 2\n",
        }
    }
}

/// The run and its data, shared by all of the simulation.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) run: Arc<Run>,
    /// As the operator wrote it.
    pub(super) run_file: String,
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
    pub(super) plan: RoundPlan,
    store: SampleStore,
}

impl Job {
    pub(super) fn new(mode: SimMode, step_log: StepLog) -> Self {
        let word = match step_log {
            StepLog::Updates => "updates",
            StepLog::Decisions => "decisions",
        };
        let sync = mode.sections();
        let run_file = format!("{RUN_FILE}\n[durability]\nlog = \"{word}\"\n{sync}");
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
        let plan = RoundPlan::new(&run, SAMPLES);
        let normalization = run.data.normalization;
        let mut store = SampleStore::new(manifest.clone(), *plan.batches(), normalization);
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

    /// Samples in the batches that a state has.
    pub(super) fn samples_in(&self, state: &RunState) -> u64 {
        let missing = &state.missing_batches;
        let applied = self.plan.progress(state.version.0) + missing.len() as u64;
        (0..applied)
            .filter(|batch| !missing.contains(batch))
            .map(|batch| u64::from(self.plan.batches().step(batch).samples))
            .sum()
    }

    /// Largest number of versions that an update may be behind.
    pub(super) fn staleness_max(&self) -> u64 {
        match self.run.mode {
            Mode::Async { staleness_max } => staleness_max.into(),
            Mode::Sync | Mode::Local(_) => 0,
        }
    }

    /// The digest of every version; none where it depends on who takes part.
    pub(super) fn reference(&mut self) -> Option<Vec<Digest>> {
        match self.run.mode {
            Mode::Async { .. } => None,
            Mode::Sync | Mode::Local(_) => Some(reference::digests(&self.run, &mut self.store)),
        }
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

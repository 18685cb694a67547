//! A small training job: three classes in five dimensions, 28 steps.

use std::sync::Arc;

use tabswarm_coordinator::{RunState, Settings};
use tabswarm_model::batches::StepShape;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, InputKind, Manifest, TargetKind};
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
    /// A batch at a time, in half precision.
    Half,
}

impl SimMode {
    /// One of them.
    pub(super) fn draw(chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Async,
            1 => Self::Local,
            2 => Self::Half,
            _ => Self::Sync,
        }
    }

    fn sections(self) -> &'static str {
        match self {
            Self::Sync => "",
            Self::Async => {
                "\n[sync]\nmode = \"async\"\nstaleness_max = 4\n\n[numeric]\nreproducible = false\nclass = \"portable\"\ncodec = \"exact\"\n"
            }
            Self::Half => {
                "\n[numeric]\nreproducible = false\nclass = \"portable\"\ncodec = \"f32\"\nprecision = \"half\"\n"
            }
            Self::Local => "\n[sync]\nmode = \"local\"\ninner_steps = 2\nshards = 2\n",
        }
    }
}

/// The run and its data, shared by all of the simulation.
#[derive(Debug)]
pub(super) struct Job {
    /// The run of the run file.
    pub(super) base: Arc<Run>,
    /// With the settings that hold now.
    pub(super) run: Arc<Run>,
    /// As the operator wrote it.
    pub(super) run_file: String,
    settings: Vec<Settings>,
    /// Digests of versions as far as they do not depend on who takes part.
    pub(super) reference: Vec<Digest>,
    step_log: StepLog,
    pub(super) layout: Layout,
    pub(super) manifest: Manifest,
    pub(super) plan: RoundPlan,
    store: SampleStore,
}

impl Job {
    pub(super) fn new(mode: SimMode, step_log: StepLog) -> Self {
        let run_file = run_file(mode, step_log, RUN_FILE);
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
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let plan = RoundPlan::new(&run, SAMPLES);
        let normalization = run.data.normalization;
        let mut store = SampleStore::new(manifest.clone(), *plan.batches(), normalization);
        store
            .insert(0, &bytes)
            .expect("the chunk is the manifest's");
        let reference = reference::digests_of_changed(&run, &[], &mut store);
        Self {
            layout: run.graph().layout,
            base: Arc::clone(&run),
            run,
            settings: Vec::new(),
            reference,
            step_log,
            run_file,
            manifest,
            plan,
            store,
        }
    }

    /// The settings of a state hold from now on.
    pub(super) fn use_settings(&mut self, state: &RunState) {
        if self.settings != state.settings {
            self.settings.clone_from(&state.settings);
            self.run = Arc::new(state.run(&self.base).clone());
            self.plan = RoundPlan::new(&self.run, SAMPLES);
            let (base, store) = (&self.base, &mut self.store);
            self.reference = reference::digests_of_changed(base, &self.settings, store);
        }
    }

    /// Other settings, of a random mode: another schedule, another optimizer, or an epoch more.
    pub(super) fn other_settings(&self, chance: &mut Chance) -> Run {
        let text = match chance.below(4) {
            0 => RUN_FILE.replace("kind = \"adam\"", "kind = \"momentum\""),
            1 => RUN_FILE.replace("epochs = 4", "epochs = 5"),
            2 => format!("{RUN_FILE}\n[schedule]\ndecay = {{ kind = \"cosine\" }}\n"),
            _ => RUN_FILE.to_owned(),
        };
        let mut mode = SimMode::draw(chance);
        // What depended on who took part never becomes reproducible again.
        let was_free = !self.run.reproducible;
        let free = "\n[numeric]\nreproducible = false\n";
        if was_free && mode == SimMode::Local {
            mode = SimMode::Async;
        }
        let mut text = run_file(mode, self.step_log, &text);
        if was_free && mode == SimMode::Sync {
            text += free;
        }
        Run::from_toml(&text).expect("the run file is valid")
    }

    pub(super) fn samples(&self) -> u32 {
        self.manifest.samples
    }

    pub(super) fn dataset(&self) -> Digest {
        Digest::of(self.manifest.to_json().as_bytes())
    }

    /// Samples in the batches that a state has.
    pub(super) fn samples_in(&self, state: &RunState) -> u64 {
        let plan = RoundPlan::new(state.run(&self.base), SAMPLES);
        let origin = &state.run(&self.base).origin;
        let samples_of = |batch: u64| u64::from(plan.batches().step(batch).samples);
        let before = 0..origin.batches + origin.missing.len() as u64;
        let before = before.filter(|batch| !origin.missing.contains(batch));
        let missing = &state.missing_batches;
        let applied = plan.progress(state.version.0) + missing.len() as u64;
        let since = origin.batches..applied;
        let since = since.filter(|position| !missing.contains(position));
        let since = since.map(|position| plan.batch_at(position));
        before.chain(since).map(samples_of).sum()
    }

    /// Largest number of versions that an update may be behind.
    pub(super) fn staleness_max(&self) -> u64 {
        match self.run.mode {
            Mode::Async { staleness_max } => staleness_max.into(),
            Mode::Sync | Mode::Local(_) => 0,
        }
    }

    pub(super) fn gather(&mut self, step: StepShape, micro_batch_idx: u32, batch: &mut MicroBatch) {
        assert!(
            self.store.gather(step, micro_batch_idx, batch),
            "the only chunk is here"
        );
    }
}

fn run_file(mode: SimMode, step_log: StepLog, text: &str) -> String {
    let word = match step_log {
        StepLog::Updates => "updates",
        StepLog::Decisions => "decisions",
    };
    let sync = mode.sections();
    format!("{text}\n[durability]\nlog = \"{word}\"\n{sync}")
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

//! Run files: what an operator writes, and the validated [`Run`] that the rest of the system uses.
//!
//! `raw` mirrors the file key by key; `validate` turns it into a [`Run`] or into a list of mistakes,
//! each with its place and a remedy. A run travels to workers as the canonical JSON of its raw form.

mod change;
mod data;
mod raw;
mod spec;
mod validate;

#[cfg(all(test, feature = "toml"))]
mod tests;

use std::fmt;

use thiserror::Error;

pub use change::{MAX_MISSING_BATCHES, Origin};
pub use data::{
    ArraySpec, DataFormat, DataSpec, ImageFit, Missing, Normalization, Scaling, Split, TableKind,
    TableSpec, TextSpec, TextUnit,
};
pub use spec::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

use crate::graph::{self, Graph};
use crate::optim::OptimizerSpec;
use crate::schedule::Schedule;

/// Largest number of parameters of a model.
pub const MAX_PARAMETERS: usize = 64 << 20;
/// Largest number of values of one sample and of one layer's output.
pub const MAX_FEATURES: usize = 1 << 20;
/// Largest number of layers of a model.
pub const MAX_LAYERS: usize = 1_000;
/// Largest number of residual blocks within each other.
pub const MAX_DEPTH: usize = 8;
/// Largest number of positions of a sequence.
pub const MAX_CONTEXT: usize = 4_096;
/// Largest height or width of a kernel or window, and of its stride.
pub const MAX_WINDOW: usize = 1_024;
/// Largest memory of one lane in bytes, as estimated: half of what a tab can have at all.
pub const MAX_LANE_BYTES: usize = 2_000_000_000;
/// Largest number of samples of a micro-batch.
pub const MAX_MICRO_BATCH: u32 = 4_096;
/// Largest number of micro-batches of a step.
pub const MAX_STEP_MICRO_BATCHES: u32 = 65_536;
/// Largest size of a run file in bytes.
pub const MAX_RUN_FILE_BYTES: usize = 64 << 10;
/// Largest size of a run's canonical JSON in bytes: defaults and the origin of changed settings are in it.
pub const MAX_RUN_JSON_BYTES: usize = 112 << 10;

/// How floating-point products are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArithmeticClass {
    /// Multiply, round, add, round: the same bits on every CPU and in every browser.
    Portable,
    /// Fused multiply-add: the same bits on every machine that fuses.
    Fused,
}

impl ArithmeticClass {
    /// The word used in run files, messages and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Fused => "fused",
        }
    }
}

/// Encoding of updates on their way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Exact fixed point: sums do not depend on order.
    Exact,
    /// Plain `f32`.
    F32,
}

impl Codec {
    /// The word used in run files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::F32 => "f32",
        }
    }
}

/// In what precision GPUs see the factors of products. Sums and all other values are in single precision, and so is
/// everything on CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    Single,
    /// Rounded to half precision, IEEE 754's binary16. The loss is scaled: see [`crate::loss_scale`].
    Half,
}

impl Precision {
    /// The word used in run files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Half => "half",
        }
    }
}

/// How versions are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Every version is one batch, and all of its micro-batches are waited for.
    Sync,
    /// A batch is applied when its gradient arrives, scaled by `1 / (1 + staleness)`, where staleness is the
    /// number of versions made since its parameters.
    Async {
        /// Staler gradients are refused.
        staleness_max: u32,
    },
    /// Rounds of shards (Douillard et al., "`DiLoCo`", 2023): each shard begins at the round's parameters and
    /// does its own optimizer steps; the mean of what they moved is the gradient of an outer step.
    Local(LocalMode),
}

impl Mode {
    /// The word used in run files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async { .. } => "async",
            Self::Local(_) => "local",
        }
    }
}

/// The rounds of a local run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalMode {
    /// Optimizer steps of a shard, one batch each, with the run's optimizer in its first state.
    pub inner_steps: u32,
    /// Shards of a round.
    pub shards: u32,
    /// So many shards make a round when its time is over; all of them make it at once.
    pub quorum: u32,
    /// A round with a quorum waits no longer for the rest.
    pub round_timeout_ms: u32,
    /// The step that a round makes.
    pub outer: OptimizerSpec,
}

/// What the log keeps of a committed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepLog {
    /// The accumulated update too: a crash costs nothing that was acknowledged.
    Updates,
    /// Everything but the update: a crash costs the steps since the newest snapshot, which are computed again.
    Decisions,
}

/// Which workers a run takes, and its share of those that may work for several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkersSpec {
    /// Runs share workers in proportion to their weights.
    pub weight: f64,
    /// Memory that a worker's device has at least, in MiB.
    pub memory_mib: u32,
    /// Whether a GPU has to compute.
    pub gpu: bool,
    /// Workers that turn out to be slower get no more leases; 0 takes all.
    pub min_samples_per_s: f64,
}

/// Who is behind a run, for volunteers; training does not depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// A person or an organization; may be empty.
    pub owner: String,
    /// A page with more, `https://…`; may be empty.
    pub link: String,
    /// What the trained model may be used for, such as `CC-BY-4.0`; may be empty.
    pub license: String,
    /// Whether everybody may download the trained model.
    pub download: bool,
}

/// A validated run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Short unique name: letters, digits and dashes.
    pub name: String,
    /// What volunteers read as heading.
    pub title: String,
    /// What the run is for, for volunteers.
    pub description: String,
    /// Who is behind it.
    pub about: About,
    /// Everything random follows from it.
    pub seed: u64,
    /// Data.
    pub data: DataSpec,
    /// Model.
    pub model: ModelSpec,
    /// The safetensors file below the data set directory that the first parameters come from; none where they follow
    /// from the seed.
    pub init: Option<String>,
    /// Passes over the training set.
    pub epochs: u32,
    /// Samples of a micro-batch.
    pub micro_batch: u32,
    /// Samples of a step; a multiple of `micro_batch`.
    pub global_batch: u32,
    /// Largest global norm of the mean gradient; longer ones are scaled down.
    pub clip_norm: Option<f32>,
    /// Optimizer.
    pub optimizer: OptimizerSpec,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Whether the final parameters must follow from the run file alone, bit by bit.
    pub reproducible: bool,
    /// Arithmetic of the workers.
    pub class: ArithmeticClass,
    /// Encoding of updates.
    pub codec: Codec,
    /// What GPUs compute with.
    pub precision: Precision,
    /// How versions are made.
    pub mode: Mode,
    /// A lease is sized to take about so long.
    pub lease_target_ms: u32,
    /// The model is evaluated on the test set every so many steps, and at the end.
    pub evaluate_every_steps: u32,
    /// A snapshot is taken every so many steps, at pause, at the end and at shutdown.
    pub snapshot_every_steps: u32,
    /// So many snapshots are kept.
    pub snapshots_kept: u32,
    /// What is logged of a step.
    pub step_log: StepLog,
    /// Who is wanted, and how much of the swarm.
    pub workers: WorkersSpec,
    /// Where these settings begin to hold: at the beginning, unless an operator changed them later.
    pub origin: Origin,
    raw: raw::RawRun,
}

/// One mistake in a run file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Key path such as `model.layers[2].units`.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}

/// Why a text is not a run file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunFileError {
    /// Longer than [`MAX_RUN_FILE_BYTES`], or than [`MAX_RUN_JSON_BYTES`] as canonical JSON.
    #[error("the run file has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Not TOML or JSON, an unknown key, a missing key or a value of the wrong type.
    #[error("{message}")]
    Syntax {
        /// With line and column where the parser knows them.
        message: String,
    },
    /// Well-formed, but impossible.
    #[error("{}", list(mistakes))]
    Invalid {
        /// All mistakes found, in the order of the file's sections.
        mistakes: Vec<Mistake>,
    },
}

fn list(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl Run {
    /// The optimizer of the master parameters: that of the outer step where workers do inner steps.
    pub fn master_optimizer(&self) -> OptimizerSpec {
        match self.mode {
            Mode::Sync | Mode::Async { .. } => self.optimizer,
            Mode::Local(local) => local.outer,
        }
    }

    /// The clipping of the master's step: where workers do inner steps, each of those is clipped instead.
    pub fn master_clip_norm(&self) -> Option<f32> {
        match self.mode {
            Mode::Sync | Mode::Async { .. } => self.clip_norm,
            Mode::Local(_) => None,
        }
    }

    /// Parses and validates a run file.
    ///
    /// # Errors
    /// [`RunFileError`] with every mistake that was found.
    #[cfg(feature = "toml")]
    pub fn from_toml(text: &str) -> Result<Self, RunFileError> {
        check_length(text, MAX_RUN_FILE_BYTES)?;
        let raw: raw::RawRun = toml::from_str(text).map_err(|error| RunFileError::Syntax {
            // Told among the keys that there are, though only the server may write it.
            message: error.to_string().trim_end().replace(", `origin`", ""),
        })?;
        if !raw.origin.is_beginning() {
            return Err(change::written_origin());
        }
        validate::validate(raw)
    }

    /// Parses and validates the canonical JSON of a run.
    ///
    /// # Errors
    /// [`RunFileError`] as for [`Run::from_toml`].
    pub fn from_json(text: &str) -> Result<Self, RunFileError> {
        check_length(text, MAX_RUN_JSON_BYTES)?;
        let raw = serde_json::from_str(text).map_err(|error| RunFileError::Syntax {
            message: error.to_string(),
        })?;
        validate::validate(raw)
    }

    /// The canonical JSON, defaults filled in.
    pub fn to_json(&self) -> String {
        json(&self.raw)
    }

    /// What of it everybody may see: without what is the server's business alone.
    pub fn to_public_json(&self) -> String {
        json(&raw::RawRun {
            workers: raw::RawWorkers::default(),
            ..self.raw.clone()
        })
    }

    /// What of it workers need: they refuse keys that they do not know, so an older one is not told of sections
    /// that are for people.
    pub fn to_worker_json(&self) -> String {
        json(&raw::RawRun {
            about: raw::RawAbout::default(),
            workers: raw::RawWorkers::default(),
            model: raw::RawModel {
                init: None,
                ..self.raw.model.clone()
            },
            ..self.raw.clone()
        })
    }

    /// The training graph.
    pub fn graph(&self) -> Graph {
        graph::build(&self.model)
    }
}

fn json(raw: &raw::RawRun) -> String {
    serde_json::to_string(raw).expect("a raw run has string keys and finite numbers only")
}

fn check_length(text: &str, limit: usize) -> Result<(), RunFileError> {
    let bytes = text.len();
    if bytes > limit {
        return Err(RunFileError::TooLong { bytes, limit });
    }
    Ok(())
}

//! The run file as written: serde types only, one field a key, unknown keys refused.

mod data;
mod loss;
mod model;

pub(super) use data::{
    RawArrays, RawData, RawFit, RawImages, RawMissing, RawNormalize, RawScaling, RawScalingWord,
    RawSplit, RawTable, RawVocabulary,
};
pub(super) use loss::{RawLoss, RawLossKind, RawTargets};
pub(super) use model::{RawLayer, RawModel, RawPadding, RawPair};

use serde::{Deserialize, Serialize};

use super::Origin;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawRun {
    pub(in crate::run_file) name: String,
    #[serde(default)]
    pub(in crate::run_file) title: String,
    #[serde(default)]
    pub(in crate::run_file) description: String,
    /// Left out where it says nothing: workers have no use for it.
    #[serde(default, skip_serializing_if = "RawAbout::is_default")]
    pub(in crate::run_file) about: RawAbout,
    pub(in crate::run_file) seed: u64,
    pub(in crate::run_file) data: RawData,
    pub(in crate::run_file) model: RawModel,
    pub(in crate::run_file) train: RawTrain,
    pub(in crate::run_file) optimizer: RawOptimizer,
    #[serde(default)]
    pub(in crate::run_file) schedule: RawSchedule,
    #[serde(default)]
    pub(in crate::run_file) sync: RawSync,
    #[serde(default)]
    pub(in crate::run_file) numeric: RawNumeric,
    #[serde(default)]
    pub(in crate::run_file) evaluation: RawEvaluation,
    #[serde(default)]
    pub(in crate::run_file) snapshot: RawSnapshot,
    /// Left out where it says nothing new: workers have no use for it.
    #[serde(default, skip_serializing_if = "RawDurability::is_default")]
    pub(in crate::run_file) durability: RawDurability,
    /// The server's business alone: left out of what workers and the page receive.
    #[serde(default, skip_serializing_if = "RawWorkers::is_default")]
    pub(in crate::run_file) workers: RawWorkers,
    /// Where these settings begin, for a run whose settings were changed; never written by people.
    #[serde(default, skip_serializing_if = "Origin::is_beginning")]
    pub(in crate::run_file) origin: Origin,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawAbout {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::run_file) owner: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::run_file) link: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::run_file) license: String,
    #[serde(default)]
    pub(in crate::run_file) download: bool,
}

impl RawAbout {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawTrain {
    pub(in crate::run_file) epochs: u32,
    pub(in crate::run_file) micro_batch: u32,
    pub(in crate::run_file) global_batch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) clip_norm: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::run_file) enum RawOptimizer {
    Sgd {
        learning_rate: f32,
        #[serde(default)]
        weight_decay: f32,
    },
    Momentum {
        learning_rate: f32,
        #[serde(default = "momentum")]
        momentum: f32,
        #[serde(default)]
        weight_decay: f32,
    },
    Nesterov {
        learning_rate: f32,
        #[serde(default = "momentum")]
        momentum: f32,
        #[serde(default)]
        weight_decay: f32,
    },
    Adam {
        learning_rate: f32,
        #[serde(default = "beta1")]
        beta1: f32,
        #[serde(default = "beta2")]
        beta2: f32,
        #[serde(default = "epsilon")]
        epsilon: f32,
        #[serde(default)]
        weight_decay: f32,
    },
    Adamw {
        learning_rate: f32,
        #[serde(default = "beta1")]
        beta1: f32,
        #[serde(default = "beta2")]
        beta2: f32,
        #[serde(default = "epsilon")]
        epsilon: f32,
        #[serde(default = "decoupled_decay")]
        weight_decay: f32,
    },
}

fn momentum() -> f32 {
    0.9
}
fn beta1() -> f32 {
    0.9
}
fn beta2() -> f32 {
    0.999
}
fn epsilon() -> f32 {
    1e-8
}
fn decoupled_decay() -> f32 {
    0.01
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawSchedule {
    #[serde(default)]
    pub(in crate::run_file) decay: RawDecay,
    #[serde(default)]
    pub(in crate::run_file) warmup_steps: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::run_file) enum RawDecay {
    #[default]
    Constant,
    Step {
        every_steps: u32,
        factor: f64,
    },
    Exponential {
        rate: f64,
    },
    Square {},
    Polynomial {
        power: f64,
    },
    Cosine {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawSync {
    #[serde(default)]
    pub(in crate::run_file) mode: RawMode,
    #[serde(default = "lease_target_ms")]
    pub(in crate::run_file) lease_target_ms: u32,
    /// For `mode = "async"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) staleness_max: Option<u32>,
    /// For `mode = "local"`, as are all that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) inner_steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) shards: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) quorum: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) round_timeout_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) outer: Option<RawOptimizer>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawMode {
    #[default]
    Sync,
    Async,
    Local,
}

fn lease_target_ms() -> u32 {
    1_000
}

impl Default for RawSync {
    fn default() -> Self {
        Self {
            mode: RawMode::default(),
            lease_target_ms: lease_target_ms(),
            staleness_max: None,
            inner_steps: None,
            shards: None,
            quorum: None,
            round_timeout_ms: None,
            outer: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawNumeric {
    #[serde(default = "reproducible")]
    pub(in crate::run_file) reproducible: bool,
    #[serde(default)]
    pub(in crate::run_file) class: RawClass,
    #[serde(default)]
    pub(in crate::run_file) codec: RawCodec,
    /// Written only where it is not the default: workers refuse keys that they do not know, and older ones know
    /// nothing of it.
    #[serde(default, skip_serializing_if = "RawPrecision::is_default")]
    pub(in crate::run_file) precision: RawPrecision,
}

fn reproducible() -> bool {
    true
}

impl Default for RawNumeric {
    fn default() -> Self {
        Self {
            reproducible: reproducible(),
            class: RawClass::default(),
            codec: RawCodec::default(),
            precision: RawPrecision::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawClass {
    #[default]
    Portable,
    Fused,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawCodec {
    #[default]
    Exact,
    F32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawPrecision {
    #[default]
    Single,
    Half,
}

impl RawPrecision {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "what skips fields passes references"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawEvaluation {
    pub(in crate::run_file) every_steps: u32,
}

impl Default for RawEvaluation {
    fn default() -> Self {
        Self { every_steps: 100 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawSnapshot {
    #[serde(default = "snapshot_every_steps")]
    pub(in crate::run_file) every_steps: u32,
    #[serde(default = "snapshots_kept")]
    pub(in crate::run_file) keep: u32,
}

fn snapshot_every_steps() -> u32 {
    500
}
fn snapshots_kept() -> u32 {
    3
}

impl Default for RawSnapshot {
    fn default() -> Self {
        Self {
            every_steps: snapshot_every_steps(),
            keep: snapshots_kept(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawWorkers {
    #[serde(default = "weight")]
    pub(in crate::run_file) weight: f64,
    #[serde(default)]
    pub(in crate::run_file) memory_mib: u32,
    #[serde(default)]
    pub(in crate::run_file) gpu: bool,
    #[serde(default)]
    pub(in crate::run_file) min_samples_per_s: f64,
}

impl RawWorkers {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn weight() -> f64 {
    1.0
}

impl Default for RawWorkers {
    fn default() -> Self {
        Self {
            weight: weight(),
            memory_mib: 0,
            gpu: false,
            min_samples_per_s: 0.0,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawDurability {
    #[serde(default)]
    pub(in crate::run_file) log: RawLog,
}

impl RawDurability {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawLog {
    #[default]
    Updates,
    Decisions,
}

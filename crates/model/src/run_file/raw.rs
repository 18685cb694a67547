//! The run file as written: serde types only, one field a key, unknown keys refused.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRun {
    pub(super) name: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) seed: u64,
    pub(super) data: RawData,
    pub(super) model: RawModel,
    pub(super) train: RawTrain,
    pub(super) optimizer: RawOptimizer,
    #[serde(default)]
    pub(super) schedule: RawSchedule,
    #[serde(default)]
    pub(super) sync: RawSync,
    #[serde(default)]
    pub(super) numeric: RawNumeric,
    #[serde(default)]
    pub(super) evaluation: RawEvaluation,
    #[serde(default)]
    pub(super) snapshot: RawSnapshot,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawData {
    pub(super) format: RawFormat,
    pub(super) path: String,
    #[serde(default)]
    pub(super) normalize: RawNormalize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shuffle_window: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawFormat {
    Idx,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNormalize {
    pub(super) mean: f32,
    pub(super) std: f32,
}

impl Default for RawNormalize {
    fn default() -> Self {
        Self {
            mean: 0.0,
            std: 1.0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) input: Vec<usize>,
    pub(super) layers: Vec<RawLayer>,
    pub(super) loss: RawLoss,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawLayer {
    Flatten {},
    Dense { units: usize },
    Relu {},
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawLoss {
    SoftmaxCrossEntropy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrain {
    pub(super) epochs: u32,
    pub(super) micro_batch: u32,
    pub(super) global_batch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clip_norm: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawOptimizer {
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
pub(super) struct RawSchedule {
    #[serde(default)]
    pub(super) decay: RawDecay,
    #[serde(default)]
    pub(super) warmup_steps: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum RawDecay {
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
pub(super) struct RawSync {
    #[serde(default)]
    pub(super) mode: RawMode,
    #[serde(default = "lease_target_ms")]
    pub(super) lease_target_ms: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMode {
    #[default]
    Sync,
}

fn lease_target_ms() -> u32 {
    1_000
}

impl Default for RawSync {
    fn default() -> Self {
        Self {
            mode: RawMode::default(),
            lease_target_ms: lease_target_ms(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNumeric {
    #[serde(default = "reproducible")]
    pub(super) reproducible: bool,
    #[serde(default)]
    pub(super) class: RawClass,
    #[serde(default)]
    pub(super) codec: RawCodec,
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
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawClass {
    #[default]
    Portable,
    Fused,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawCodec {
    #[default]
    Exact,
    F32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvaluation {
    pub(super) every_steps: u32,
}

impl Default for RawEvaluation {
    fn default() -> Self {
        Self { every_steps: 100 }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSnapshot {
    #[serde(default = "snapshot_every_steps")]
    pub(super) every_steps: u32,
    #[serde(default = "snapshots_kept")]
    pub(super) keep: u32,
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

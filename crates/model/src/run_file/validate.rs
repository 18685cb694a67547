//! From the written run file to a [`Run`]: every rule, one function a section.

use std::fmt;

use super::raw::{
    RawClass, RawCodec, RawData, RawDecay, RawFormat, RawLayer, RawLoss, RawMode, RawModel,
    RawOptimizer, RawRun, RawSchedule, RawTrain,
};
use super::{
    ArithmeticClass, Codec, DataSpec, LayerSpec, LossSpec, MAX_FEATURES, MAX_LAYERS,
    MAX_MICRO_BATCH, MAX_PARAMETERS, MAX_STEP_MICRO_BATCHES, Mistake, ModelSpec, Normalization,
    Run, RunFileError,
};
use crate::optim::OptimizerSpec;
use crate::schedule::{Decay, Schedule};

/// Validates a parsed run file; all mistakes are reported together.
pub(super) fn validate(raw: RawRun) -> Result<Run, RunFileError> {
    let mut check = Check::default();
    check.name(&raw);
    let data = check.data(&raw.data);
    let model = check.model(&raw.model);
    check.train(&raw.train);
    let optimizer = check.optimizer(&raw.optimizer);
    let schedule = check.schedule(&raw.schedule);
    check.operations(&raw);
    if !check.mistakes.is_empty() {
        return Err(RunFileError::Invalid {
            mistakes: check.mistakes,
        });
    }
    let RawMode::Sync = raw.sync.mode;
    let title = if raw.title.is_empty() {
        &raw.name
    } else {
        &raw.title
    };
    Ok(Run {
        name: raw.name.clone(),
        title: title.clone(),
        description: raw.description.clone(),
        seed: raw.seed,
        data,
        model,
        epochs: raw.train.epochs,
        micro_batch: raw.train.micro_batch,
        global_batch: raw.train.global_batch,
        clip_norm: raw.train.clip_norm,
        optimizer,
        schedule,
        reproducible: raw.numeric.reproducible,
        class: match raw.numeric.class {
            RawClass::Portable => ArithmeticClass::Portable,
            RawClass::Fused => ArithmeticClass::Fused,
        },
        codec: match raw.numeric.codec {
            RawCodec::Exact => Codec::Exact,
            RawCodec::F32 => Codec::F32,
        },
        lease_target_ms: raw.sync.lease_target_ms,
        evaluate_every_steps: raw.evaluation.every_steps,
        snapshot_every_steps: raw.snapshot.every_steps,
        snapshots_kept: raw.snapshot.keep,
        raw,
    })
}

#[derive(Default)]
struct Check {
    mistakes: Vec<Mistake>,
}

impl Check {
    fn require(&mut self, holds: bool, place: &str, problem: String, remedy: &str) {
        if !holds {
            self.mistakes.push(Mistake {
                place: place.to_owned(),
                problem,
                remedy: remedy.to_owned(),
            });
        }
    }

    fn within(&mut self, place: &str, value: u64, min: u64, max: u64) {
        let remedy = format!("write a whole number from {min} to {max}");
        let problem = format!("{value} is out of range");
        self.require((min..=max).contains(&value), place, problem, &remedy);
    }

    /// Shown as it was written: an `f32` with its own digits.
    fn real<N>(&mut self, place: &str, value: N, allowed: impl Fn(f64) -> bool, remedy: &str)
    where
        N: Copy + fmt::Display + Into<f64>,
    {
        let holds = value.into().is_finite() && allowed(value.into());
        self.require(holds, place, format!("{value} is out of range"), remedy);
    }

    fn text(&mut self, place: &str, text: &str, max_chars: usize) {
        let chars = text.chars().count();
        let problem = format!("{chars} characters are too many");
        let remedy = format!("write at most {max_chars} characters");
        self.require(chars <= max_chars, place, problem, &remedy);
        let control = text.chars().position(|c| c.is_control() && c != '\n');
        let problem = format!(
            "character {} is a control character",
            control.unwrap_or_default() + 1
        );
        let remedy = "write printable characters and line breaks only";
        self.require(control.is_none(), place, problem, remedy);
    }

    fn name(&mut self, raw: &RawRun) {
        let holds = is_name(&raw.name);
        let problem = format!("{:?} is not a run name", raw.name);
        let remedy = "write 1 to 64 lower-case letters, digits and dashes, a letter first";
        self.require(holds, "name", problem, remedy);
        self.text("title", &raw.title, 120);
        self.text("description", &raw.description, 2_000);
        // Beyond 2^53 a number changes on its way through JavaScript and TOML has no unsigned 64 bits.
        self.within("seed", raw.seed, 0, (1 << 53) - 1);
    }

    fn data(&mut self, raw: &RawData) -> DataSpec {
        let RawFormat::Idx = raw.format;
        let holds = !raw.path.is_empty() && raw.path.split('/').all(is_path_part);
        let problem = format!(
            "{:?} is not a folder below the data set directory",
            raw.path
        );
        let remedy = "write a relative path of letters, digits, dots, dashes and underscores";
        self.require(holds, "data.path", problem, remedy);
        let positive = "write a number above 0 and at most 1000";
        let std = raw.normalize.std;
        self.real(
            "data.normalize.std",
            std,
            |v| v > 1e-6 && v <= 1e3,
            positive,
        );
        let mean = raw.normalize.mean;
        let remedy = "write a number from -1000 to 1000";
        self.real("data.normalize.mean", mean, |v| v.abs() <= 1e3, remedy);
        if let Some(window) = raw.shuffle_window {
            self.within("data.shuffle_window", window.into(), 1, u32::MAX.into());
        }
        DataSpec {
            path: raw.path.clone(),
            normalization: Normalization {
                mean: raw.normalize.mean,
                std: raw.normalize.std,
            },
            shuffle_window: raw.shuffle_window,
        }
    }

    fn model(&mut self, raw: &RawModel) -> ModelSpec {
        let input_features = product(&raw.input);
        let holds = (1..=8).contains(&raw.input.len())
            && input_features.is_some_and(|n| (1..=MAX_FEATURES).contains(&n));
        let problem = format!("{:?} is not the shape of a sample", raw.input);
        let remedy = "write one to eight sizes, each at least 1, that multiply to at most 1048576";
        self.require(holds, "model.input", problem, remedy);
        let mut shape = Shape {
            axes: if holds { raw.input.clone() } else { vec![1] },
            parameters: 0,
        };
        let problem = format!("{} layers", raw.layers.len());
        let holds = (1..=MAX_LAYERS).contains(&raw.layers.len());
        self.require(holds, "model.layers", problem, "write 1 to 1000 layers");
        let layers: Vec<LayerSpec> = raw
            .layers
            .iter()
            .take(MAX_LAYERS)
            .enumerate()
            .map(|(idx, layer)| self.layer(idx, layer, &mut shape))
            .collect();
        let parameters = shape.parameters;
        let problem = format!("the model has {parameters} parameters");
        let remedy =
            format!("use smaller layers: at most {MAX_PARAMETERS} parameters are supported");
        self.require(
            parameters <= MAX_PARAMETERS,
            "model.layers",
            problem,
            &remedy,
        );
        let has_dense = layers.iter().any(|l| matches!(l, LayerSpec::Dense { .. }));
        let problem = "no layer has parameters".to_owned();
        let remedy = "add a layer such as { kind = \"dense\", units = 10 }";
        self.require(
            has_dense || layers.is_empty(),
            "model.layers",
            problem,
            remedy,
        );
        let classes = product(&shape.axes).unwrap_or(usize::MAX);
        let RawLoss::SoftmaxCrossEntropy = raw.loss;
        let holds = shape.axes.len() == 1 && (2..=65_536).contains(&classes);
        let problem = format!(
            "softmax cross-entropy needs one score per class, but the last layer gives shape {:?}",
            shape.axes
        );
        let remedy = "end with a dense layer of as many units as there are classes, 2 to 65536";
        self.require(holds, "model.loss", problem, remedy);
        ModelSpec {
            input: raw.input.clone(),
            layers,
            loss: LossSpec::SoftmaxCrossEntropy,
        }
    }

    fn layer(&mut self, idx: usize, raw: &RawLayer, shape: &mut Shape) -> LayerSpec {
        match raw {
            RawLayer::Flatten {} => {
                shape.axes = vec![product(&shape.axes).unwrap_or(usize::MAX)];
                LayerSpec::Flatten
            }
            RawLayer::Relu {} => LayerSpec::RELU,
            RawLayer::Dense { units } => {
                let place = format!("model.layers[{idx}]");
                let problem = format!("dense needs one axis, but gets shape {:?}", shape.axes);
                let remedy = "put { kind = \"flatten\" } before it";
                self.require(shape.axes.len() == 1, &place, problem, remedy);
                let unit_count = *units as u64;
                self.within(
                    &format!("{place}.units"),
                    unit_count,
                    1,
                    MAX_FEATURES as u64,
                );
                let inputs = shape.axes.iter().product::<usize>();
                let weights = inputs.saturating_add(1).saturating_mul(*units);
                shape.parameters = shape.parameters.saturating_add(weights);
                shape.axes = vec![(*units).clamp(1, MAX_FEATURES)];
                LayerSpec::dense(*units)
            }
        }
    }

    fn train(&mut self, raw: &RawTrain) {
        self.within("train.epochs", raw.epochs.into(), 1, 1_000_000);
        let micro_batch = raw.micro_batch;
        self.within(
            "train.micro_batch",
            micro_batch.into(),
            1,
            MAX_MICRO_BATCH.into(),
        );
        let per_step = raw.global_batch / micro_batch.max(1);
        let holds = raw.global_batch > 0
            && raw.global_batch.is_multiple_of(micro_batch.max(1))
            && per_step <= MAX_STEP_MICRO_BATCHES;
        let problem = format!(
            "{} samples can't be split into micro-batches of {micro_batch}",
            raw.global_batch
        );
        let remedy = format!(
            "write a multiple of train.micro_batch, at most {MAX_STEP_MICRO_BATCHES} times it"
        );
        self.require(holds, "train.global_batch", problem, &remedy);
        if let Some(norm) = raw.clip_norm {
            let remedy = "write a number above 0, or leave the key out";
            self.real("train.clip_norm", norm, |v| v > 0.0, remedy);
        }
    }

    fn optimizer(&mut self, raw: &RawOptimizer) -> OptimizerSpec {
        let spec = match *raw {
            RawOptimizer::Sgd {
                learning_rate,
                weight_decay,
            } => OptimizerSpec::sgd(learning_rate, weight_decay),
            RawOptimizer::Momentum {
                learning_rate,
                momentum,
                weight_decay,
            } => OptimizerSpec::momentum(learning_rate, momentum, weight_decay),
            RawOptimizer::Nesterov {
                learning_rate,
                momentum,
                weight_decay,
            } => OptimizerSpec::nesterov(learning_rate, momentum, weight_decay),
            RawOptimizer::Adam {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => OptimizerSpec::adam(learning_rate, [beta1, beta2], epsilon, weight_decay),
            RawOptimizer::Adamw {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => OptimizerSpec::adamw(learning_rate, [beta1, beta2], epsilon, weight_decay),
        };
        for (key, value) in spec.hyper_parameters() {
            let (allowed, remedy): (fn(f64) -> bool, &str) = match key {
                "learning_rate" => (
                    |v| v > 0.0 && v <= 100.0,
                    "write a number above 0 and at most 100",
                ),
                "epsilon" => (
                    |v| v > 0.0 && v <= 1.0,
                    "write a number above 0 and at most 1",
                ),
                "weight_decay" => (|v| (0.0..=1.0).contains(&v), "write a number from 0 to 1"),
                _ => (
                    |v| (0.0..1.0).contains(&v),
                    "write a number from 0 to below 1",
                ),
            };
            self.real(&format!("optimizer.{key}"), value, allowed, remedy);
        }
        spec
    }

    fn schedule(&mut self, raw: &RawSchedule) -> Schedule {
        let decay = match raw.decay {
            RawDecay::Constant => Decay::Constant,
            RawDecay::Step {
                every_steps,
                factor,
            } => {
                self.within(
                    "schedule.decay.every_steps",
                    every_steps.into(),
                    1,
                    u32::MAX.into(),
                );
                let remedy = "write a number above 0 and at most 1";
                self.real(
                    "schedule.decay.factor",
                    factor,
                    |v| v > 0.0 && v <= 1.0,
                    remedy,
                );
                Decay::Step {
                    every_steps,
                    factor,
                }
            }
            RawDecay::Exponential { rate } => {
                let remedy = "write a number above 0 and at most 1";
                self.real("schedule.decay.rate", rate, |v| v > 0.0 && v <= 1.0, remedy);
                Decay::Exponential { rate }
            }
            RawDecay::Square {} => Decay::Polynomial { power: 2.0 },
            RawDecay::Polynomial { power } => {
                let remedy = "write a number above 0 and at most 100";
                self.real(
                    "schedule.decay.power",
                    power,
                    |v| v > 0.0 && v <= 100.0,
                    remedy,
                );
                Decay::Polynomial { power }
            }
            RawDecay::Cosine {} => Decay::Cosine,
        };
        Schedule {
            decay,
            warmup_steps: raw.warmup_steps,
        }
    }

    fn operations(&mut self, raw: &RawRun) {
        let target = raw.sync.lease_target_ms;
        self.within("sync.lease_target_ms", target.into(), 10, 600_000);
        let holds = !raw.numeric.reproducible || raw.numeric.codec == RawCodec::Exact;
        let problem =
            "f32 sums depend on their order, so the run would not be reproducible".to_owned();
        let remedy = "write codec = \"exact\", or reproducible = false";
        self.require(holds, "numeric.codec", problem, remedy);
        let holds = !raw.numeric.reproducible || raw.numeric.class == RawClass::Portable;
        let problem =
            "not every machine fuses, so the run would not be reproducible everywhere".to_owned();
        let remedy = "write class = \"portable\", or reproducible = false";
        self.require(holds, "numeric.class", problem, remedy);
        let every = raw.evaluation.every_steps;
        self.within("evaluation.every_steps", every.into(), 1, u32::MAX.into());
        let every = raw.snapshot.every_steps;
        self.within("snapshot.every_steps", every.into(), 1, u32::MAX.into());
        self.within("snapshot.keep", raw.snapshot.keep.into(), 1, 1_000);
    }
}

/// What the layers checked so far make of a sample.
struct Shape {
    axes: Vec<usize>,
    parameters: usize,
}

fn product(axes: &[usize]) -> Option<usize> {
    axes.iter().try_fold(1_usize, |acc, &n| acc.checked_mul(n))
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_path_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

//! From the written run file to a [`Run`]: every rule, one function a section.

use std::fmt;

mod about;
mod data;
mod initial;
mod loss;
mod memory;
mod mode;
mod model;
mod workers;

use super::raw::{
    RawClass, RawCodec, RawDecay, RawLog, RawMode, RawOptimizer, RawPrecision, RawRun, RawSchedule,
    RawTrain,
};
use super::{
    About, ArithmeticClass, Codec, MAX_MICRO_BATCH, MAX_STEP_MICRO_BATCHES, Mistake, Precision,
    Run, RunFileError, StepLog,
};
use crate::optim::OptimizerSpec;
use crate::schedule::{Decay, Schedule};

/// Validates a parsed run file; all mistakes are reported together.
pub(super) fn validate(raw: RawRun) -> Result<Run, RunFileError> {
    let mut check = Check::default();
    check.name(&raw);
    check.about(&raw.about);
    let data = check.data(&raw.data);
    let model = check.model(&raw.model, &data);
    let init = check.initial(&raw.model);
    check.train(&raw.train);
    let optimizer = check.optimizer("optimizer", &raw.optimizer);
    let schedule = check.schedule(&raw.schedule);
    let mode = check.mode(&raw);
    check.operations(&raw);
    let precision = check.precision(&raw);
    let workers = check.workers(&raw);
    check.origin(&raw.origin);
    if check.mistakes.is_empty() {
        check.memory(&model, raw.train.micro_batch);
    }
    if !check.mistakes.is_empty() {
        return Err(RunFileError::Invalid {
            mistakes: check.mistakes,
        });
    }
    let title = if raw.title.is_empty() {
        &raw.name
    } else {
        &raw.title
    };
    Ok(Run {
        name: raw.name.clone(),
        title: title.clone(),
        description: raw.description.clone(),
        about: About {
            owner: raw.about.owner.clone(),
            link: raw.about.link.clone(),
            license: raw.about.license.clone(),
            download: raw.about.download,
        },
        seed: raw.seed,
        data,
        model,
        init,
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
        precision,
        mode,
        lease_target_ms: raw.sync.lease_target_ms,
        evaluate_every_steps: raw.evaluation.every_steps,
        snapshot_every_steps: raw.snapshot.every_steps,
        snapshots_kept: raw.snapshot.keep,
        step_log: match raw.durability.log {
            RawLog::Updates => StepLog::Updates,
            RawLog::Decisions => StepLog::Decisions,
        },
        workers,
        origin: raw.origin.clone(),
        raw,
    })
}

/// Collects mistakes.
#[derive(Default)]
pub(super) struct Check {
    mistakes: Vec<Mistake>,
}

impl Check {
    pub(super) fn require(&mut self, holds: bool, place: &str, problem: String, remedy: &str) {
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

    fn optimizer(&mut self, place: &str, raw: &RawOptimizer) -> OptimizerSpec {
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
            self.real(&format!("{place}.{key}"), value, allowed, remedy);
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

    /// Half precision is for runs that GPUs compute, and whose steps can be skipped.
    fn precision(&mut self, raw: &RawRun) -> Precision {
        let (numeric, key) = (&raw.numeric, "numeric.precision");
        if numeric.precision == RawPrecision::Single {
            return Precision::Single;
        }
        let allows_gpus = !numeric.reproducible && numeric.codec == RawCodec::F32;
        let problem = "half precision is a GPU's, and no GPU computes a run whose bits must be the same everywhere";
        let remedy = "leave it out, or write reproducible = false and codec = \"f32\"";
        self.require(allows_gpus, key, problem.to_owned(), remedy);
        let has_inner_steps = raw.sync.mode == RawMode::Local;
        let problem = "the inner steps of a shard can't be skipped where a gradient is too large for half precision";
        let remedy = "leave it out, or write mode = \"sync\" or \"async\" under [sync]";
        self.require(!has_inner_steps, key, problem.to_owned(), remedy);
        Precision::Half
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

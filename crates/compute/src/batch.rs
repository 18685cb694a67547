//! What goes into the engine and what comes out beside the gradient.

use std::ops::{AddAssign, Range};

use tabswarm_model::graph::Loss;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::samples::MicroBatch;

/// Samples and what their predictions are compared with, borrowed from the caller.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// (n, features), row-major; tokens are whole numbers.
    pub inputs: &'a [f32],
    /// As the model's loss wants them.
    pub targets: Targets<'a>,
    /// What dropout draws from while training; a model without dropout needs none.
    pub noise: Option<NoiseKey>,
}

/// What predictions are compared with.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// (n, rows): class indices.
    Classes(&'a [u16]),
    /// (n, rows, width): values.
    Values(&'a [f32]),
}

impl Targets<'_> {
    /// Those of some samples.
    pub(crate) fn part(&self, loss: &Loss, samples: &Range<usize>) -> Self {
        let range = |per_sample: usize| samples.start * per_sample..samples.end * per_sample;
        match *self {
            Self::Classes(labels) => Self::Classes(&labels[range(loss.rows)]),
            Self::Values(values) => Self::Values(&values[range(loss.rows * loss.width)]),
        }
    }
}

impl<'a> Batch<'a> {
    /// The samples of a data set, without noise.
    pub fn of(samples: &'a MicroBatch) -> Self {
        let targets = if samples.soft_targets.is_empty() {
            Targets::Classes(&samples.labels)
        } else {
            Targets::Values(&samples.soft_targets)
        };
        Self {
            inputs: &samples.inputs,
            targets,
            noise: None,
        }
    }

    /// Samples with class indices, without noise.
    pub fn labeled(inputs: &'a [f32], labels: &'a [u16]) -> Self {
        Self {
            inputs,
            targets: Targets::Classes(labels),
            noise: None,
        }
    }
}

/// Sums over the samples of a batch, in units whose sums do not depend on order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchStats {
    /// Number of samples.
    pub samples: u32,
    /// Sum of the losses, in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Number of rows (samples, where each has one label) whose largest prediction (the first, if several) is
    /// that of the label, or of the largest target. Zero where targets are values without classes.
    pub correct: u32,
}

impl AddAssign for BatchStats {
    fn add_assign(&mut self, more: Self) {
        self.samples += more.samples;
        self.loss_q20 += more.loss_q20;
        self.correct += more.correct;
    }
}

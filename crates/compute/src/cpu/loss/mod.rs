//! The losses: each sample's loss, whether its predictions are right, and the gradient of the predictions.

mod softmax;
mod squares;

use tabswarm_model::graph::{Loss, LossKind};

use super::gemm::Path;
use crate::batch::{BatchStats, Targets};
use crate::error::ComputeError;

pub(crate) use softmax::softmax;

/// The unit of loss sums, so that they do not depend on the order of addition.
const LOSS_UNITS_PER_NAT: f64 = 1_048_576.0;
/// A sample's loss counts at most this many nats; beyond it the run has diverged, and sums stay in range.
const LOSS_CAP_NATS: f64 = 1_048_576.0;

/// What to compute beside the losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Nothing; what is in the gradient's buffer then means nothing.
    Forward,
    /// The gradient of the predictions.
    Backward,
}

/// Adds the loss of some samples to that of the samples before. `prediction` is (n, rows, width), and `grad`
/// like it.
///
/// The targets must have the kind and the size that the loss wants.
pub(crate) fn run(
    path: Path,
    loss: &Loss,
    pass: Pass,
    prediction: &[f32],
    targets: Targets<'_>,
    (grad, before): (&mut [f32], BatchStats),
) -> Result<BatchStats, ComputeError> {
    let sums = Sums::new(loss, before);
    match (loss.kind, targets) {
        (LossKind::SoftmaxCrossEntropy, Targets::Classes(labels)) => {
            softmax::of_classes(path, (loss, sums), pass, prediction, labels, grad)
        }
        (LossKind::SoftTargets { temperature }, Targets::Values(values)) => {
            softmax::of_probabilities(path, (loss, sums), temperature, prediction, values, grad)
        }
        (LossKind::MeanSquaredError { .. }, targets) => {
            squares::run((loss, sums), prediction, targets, grad)
        }
        _ => unreachable!("the kind of targets was checked"),
    }
}

/// Adds up a batch's losses, row by row.
#[derive(Debug)]
struct Sums {
    rows: usize,
    stats: BatchStats,
    /// Rows of the current sample so far, and the sum of their losses.
    current: (usize, f64),
}

impl Sums {
    fn new(loss: &Loss, before: BatchStats) -> Self {
        Self {
            rows: loss.rows,
            stats: before,
            current: (0, 0.0),
        }
    }

    /// The next row's loss, and whether its largest prediction is the right one.
    fn add(&mut self, loss: f32, is_correct: bool) -> Result<(), ComputeError> {
        let (rows, sum) = (self.current.0 + 1, self.current.1 + f64::from(loss));
        self.stats.correct += u32::from(is_correct);
        self.current = (rows, sum);
        if rows == self.rows {
            let sample = self.stats.samples as usize;
            let units = units(sum / rows as f64).ok_or(ComputeError::NonFiniteLoss { sample })?;
            self.stats.loss_q20 += units;
            self.stats.samples += 1;
            self.current = (0, 0.0);
        }
        Ok(())
    }
}

/// A loss in units of 2^-20 nats, none if it is not finite.
fn units(nats: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "capped far below the range of i64"
    )]
    nats.is_finite()
        .then(|| (nats.min(LOSS_CAP_NATS) * LOSS_UNITS_PER_NAT).round_ties_even() as i64)
}

/// `1 / rows`, rounded once.
fn per_row(loss: &Loss) -> f32 {
    quotient(1.0, loss.rows)
}

/// `dividend / divisor`, rounded once.
fn quotient(dividend: f64, divisor: usize) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rounding that the loss's definition has"
    )]
    let quotient = (dividend / divisor as f64) as f32;
    quotient
}

/// Where the largest value is; the first if several are equal.
fn first_maximum(row: &[f32]) -> usize {
    let mut best = 0;
    for (idx, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = idx;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_values_wins() {
        assert_eq!(first_maximum(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(first_maximum(&[0.0, 0.0]), 0);
    }

    #[test]
    fn losses_are_capped_and_must_be_finite() {
        assert_eq!(units(1e30), Some(1 << 40));
        assert_eq!(units(0.5), Some(1 << 19));
        assert_eq!(units(f64::NAN), None);
        assert_eq!(units(f64::INFINITY), None);
    }
}

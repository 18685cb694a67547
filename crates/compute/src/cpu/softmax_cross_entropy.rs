//! Softmax and its cross-entropy against class indices.
//!
//! Fixed order: a row's maximum, the exponentials of the differences to it, their sum over increasing
//! class, then one division per element. The loss of a sample is `ln(sum) - (logit - max)`.

use super::exponential::exp_nonpositive;
use crate::batch::BatchStats;
use crate::error::ComputeError;

/// The unit of loss sums, so that they do not depend on the order of addition.
const LOSS_UNITS_PER_NAT: f64 = 1_048_576.0;
/// A sample's loss counts at most this many nats; beyond it the run has diverged, and sums stay in range.
const LOSS_CAP_NATS: f64 = 1_048_576.0;

/// [`forward`] or [`forward_backward`]: logits, labels, a buffer like the logits, number of classes.
pub(crate) type Kernel = fn(&[f32], &[u16], &mut [f32], usize) -> Result<BatchStats, ComputeError>;

/// `probabilities (n, classes) = softmax(logits)`, row by row.
pub(crate) fn softmax(logits: &[f32], probabilities: &mut [f32], classes: usize) {
    exponentials(logits, probabilities, classes);
    for row in probabilities.chunks_exact_mut(classes) {
        let sum = sum(row);
        for p in row.iter_mut() {
            *p /= sum;
        }
    }
}

/// Sums loss and correct answers. Leaves exponentials in `scratch (n, classes)`.
pub(crate) fn forward(
    logits: &[f32],
    labels: &[u16],
    scratch: &mut [f32],
    classes: usize,
) -> Result<BatchStats, ComputeError> {
    exponentials(logits, scratch, classes);
    let mut stats = BatchStats::default();
    let rows = logits
        .chunks_exact(classes)
        .zip(scratch.chunks_exact(classes));
    for (sample, ((logits, exps), &label)) in rows.zip(labels).enumerate() {
        stats.samples += 1;
        stats.loss_q20 +=
            loss_units(logits, sum(exps), label).ok_or(ComputeError::NonFiniteLoss { sample })?;
        stats.correct += u32::from(first_maximum(logits) == usize::from(label));
    }
    Ok(stats)
}

/// [`forward`], and `grad_logits (n, classes) = softmax(logits) - onehot(labels)`.
pub(crate) fn forward_backward(
    logits: &[f32],
    labels: &[u16],
    grad_logits: &mut [f32],
    classes: usize,
) -> Result<BatchStats, ComputeError> {
    let stats = forward(logits, labels, grad_logits, classes)?;
    for (row, &label) in grad_logits.chunks_exact_mut(classes).zip(labels) {
        let sum = sum(row);
        for p in row.iter_mut() {
            *p /= sum;
        }
        row[usize::from(label)] -= 1.0;
    }
    Ok(stats)
}

fn exponentials(logits: &[f32], exps: &mut [f32], classes: usize) {
    for (to, from) in exps
        .chunks_exact_mut(classes)
        .zip(logits.chunks_exact(classes))
    {
        let max = maximum(from);
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from - max;
        }
    }
    // One flat pass, which vectorizes whatever the number of classes.
    for value in exps {
        *value = exp_nonpositive(*value);
    }
}

/// A row that holds not-a-number may give any of its values: the differences to it, and so the sum and the
/// loss, are not numbers then.
fn maximum(row: &[f32]) -> f32 {
    row.iter()
        .fold(f32::NEG_INFINITY, |max, &x| if max > x { max } else { x })
}

fn sum(row: &[f32]) -> f32 {
    row.iter().fold(0.0, |sum, x| sum + x)
}

fn first_maximum(row: &[f32]) -> usize {
    let mut best = 0;
    for (idx, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = idx;
        }
    }
    best
}

/// A sample's loss in units of 2^-20 nats, none if it is not finite.
fn loss_units(logits: &[f32], sum: f32, label: u16) -> Option<i64> {
    let loss = libm::logf(sum) - (logits[usize::from(label)] - maximum(logits));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "capped far below the range of i64"
    )]
    loss.is_finite().then(|| {
        let nats = f64::from(loss).min(LOSS_CAP_NATS);
        (nats * LOSS_UNITS_PER_NAT).round_ties_even() as i64
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn uniform_logits_cost_ln_of_the_classes() {
        let mut grad = [0.0; 8];
        let stats = forward_backward(&[2.0; 8], &[0, 3], &mut grad, 4).unwrap();
        let expected = (2.0 * 4.0_f64.ln() * LOSS_UNITS_PER_NAT).round();
        assert!((stats.loss_q20 as f64 - expected).abs() <= 1.0, "{stats:?}");
        assert_eq!((stats.samples, stats.correct), (2, 1));
        assert_eq!(grad, [-0.75, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, -0.75]);
    }

    #[test]
    fn far_apart_logits_neither_overflow_nor_divide_by_zero() {
        let mut grad = [0.0; 2];
        let stats = forward_backward(&[1e4, -1e4], &[1], &mut grad, 2).unwrap();
        assert_eq!(stats.loss_q20, 20_000 << 20);
        assert_eq!(grad, [1.0, -1.0]);
        let huge = forward(&[2e30, -2e30], &[1], &mut grad, 2).unwrap();
        assert_eq!(huge.loss_q20, 1 << 40);
    }

    #[test]
    fn a_loss_that_is_not_finite_names_its_sample() {
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = [0.0, 1.0, bad, 0.0];
            let result = forward(&logits, &[0, 1], &mut [0.0; 4], 2);
            assert_eq!(result, Err(ComputeError::NonFiniteLoss { sample: 1 }));
        }
    }

    #[test]
    fn the_first_of_equal_logits_wins() {
        assert_eq!(first_maximum(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(first_maximum(&[0.0, 0.0]), 0);
    }
}

//! Softmax and its cross-entropy, against class indices and against probabilities.
//!
//! Fixed order: a row's maximum, the exponentials of the differences to it, their sum over increasing
//! class, then one division per element. The loss of a row is `ln(sum) - (logit - max)`.

use tabswarm_model::graph::Loss;

use super::{Pass, Sums, first_maximum, per_row};
use crate::batch::BatchStats;
use crate::cpu::gemm::Path;
use crate::cpu::math::{self, Exp};
use crate::error::ComputeError;

/// `probabilities (n, classes) = softmax(logits)`, row by row.
pub(crate) fn softmax(path: Path, logits: &[f32], probabilities: &mut [f32], classes: usize) {
    exponentials(path, logits, probabilities, classes);
    for row in probabilities.chunks_exact_mut(classes) {
        let sum = sum(row);
        for p in row.iter_mut() {
            *p /= sum;
        }
    }
}

/// Against class indices. `grad` receives the gradient, or working values in a forward pass.
pub(super) fn of_classes(
    path: Path,
    (loss, mut sums): (&Loss, Sums),
    pass: Pass,
    logits: &[f32],
    labels: &[u16],
    grad: &mut [f32],
) -> Result<BatchStats, ComputeError> {
    let classes = loss.width;
    exponentials(path, logits, grad, classes);
    let rows = logits
        .chunks_exact(classes)
        .zip(grad.chunks_exact_mut(classes));
    let per_row = per_row(loss);
    for ((logits, exps), &label) in rows.zip(labels) {
        let (sum, label) = (sum(exps), usize::from(label));
        let nats = libm::logf(sum) - (logits[label] - maximum(logits));
        sums.add(nats, first_maximum(logits) == label)?;
        if pass == Pass::Backward {
            for p in exps.iter_mut() {
                *p /= sum;
            }
            exps[label] -= 1.0;
            for g in exps {
                *g *= per_row;
            }
        }
    }
    Ok(sums.stats)
}

/// Against probabilities, with logits divided by a temperature. `grad` receives the gradient.
pub(super) fn of_probabilities(
    path: Path,
    (loss, mut sums): (&Loss, Sums),
    temperature: f32,
    logits: &[f32],
    targets: &[f32],
    grad: &mut [f32],
) -> Result<BatchStats, ComputeError> {
    let classes = loss.width;
    let per_row = per_row(loss);
    let rows = logits
        .chunks_exact(classes)
        .zip(grad.chunks_exact_mut(classes));
    for ((logits, row), targets) in rows.zip(targets.chunks_exact(classes)) {
        for (u, z) in row.iter_mut().zip(logits) {
            *u = z / temperature;
        }
        let max = maximum(row);
        let mut expected = 0.0;
        for (u, t) in row.iter_mut().zip(targets) {
            *u -= max;
            expected += t * *u;
        }
        math::apply::<Exp>(path, row);
        let (sum, mass) = (sum(row), sum(targets));
        let nats = (libm::logf(sum) * mass - expected) * (temperature * temperature);
        sums.add(nats, first_maximum(logits) == first_maximum(targets))?;
        for (e, t) in row.iter_mut().zip(targets) {
            *e = (*e / sum * mass - t) * temperature * per_row;
        }
    }
    Ok(sums.stats)
}

fn exponentials(path: Path, logits: &[f32], exps: &mut [f32], classes: usize) {
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
    math::apply::<Exp>(path, exps);
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

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;
    use crate::cpu::loss::LOSS_UNITS_PER_NAT;
    use tabswarm_model::graph::{BufferId, LossKind};

    fn loss(rows: usize, width: usize) -> Loss {
        Loss {
            kind: LossKind::SoftmaxCrossEntropy,
            rows,
            width,
            prediction: BufferId(1),
            grad: BufferId(2),
        }
    }

    fn start(loss: &Loss) -> (&Loss, Sums) {
        (loss, Sums::new(loss, BatchStats::default()))
    }

    fn classes(
        rows: usize,
        logits: &[f32],
        labels: &[u16],
        grad: &mut [f32],
    ) -> Result<BatchStats, ComputeError> {
        let loss = loss(rows, logits.len() / labels.len());
        of_classes(
            Path::Generic,
            start(&loss),
            Pass::Backward,
            logits,
            labels,
            grad,
        )
    }

    #[test]
    fn uniform_logits_cost_ln_of_the_classes() {
        let mut grad = [0.0; 8];
        let stats = classes(1, &[2.0; 8], &[0, 3], &mut grad).unwrap();
        let expected = (2.0 * 4.0_f64.ln() * LOSS_UNITS_PER_NAT).round();
        assert!((stats.loss_q20 as f64 - expected).abs() <= 1.0, "{stats:?}");
        assert_eq!((stats.samples, stats.correct), (2, 1));
        assert_eq!(grad, [-0.75, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, -0.75]);
    }

    #[test]
    fn the_rows_of_a_sample_are_averaged() {
        let mut grad = [0.0; 8];
        let stats = classes(2, &[2.0; 8], &[0, 3], &mut grad).unwrap();
        let expected = (4.0_f64.ln() * LOSS_UNITS_PER_NAT).round();
        assert!((stats.loss_q20 as f64 - expected).abs() <= 1.0, "{stats:?}");
        assert_eq!((stats.samples, stats.correct), (1, 1));
        assert_eq!(grad[..4], [-0.375, 0.125, 0.125, 0.125]);
    }

    #[test]
    fn far_apart_logits_neither_overflow_nor_divide_by_zero() {
        let mut grad = [0.0; 2];
        let stats = classes(1, &[1e4, -1e4], &[1], &mut grad).unwrap();
        assert_eq!(stats.loss_q20, 20_000 << 20);
        assert_eq!(grad, [1.0, -1.0]);
        let huge = classes(1, &[2e30, -2e30], &[1], &mut grad).unwrap();
        assert_eq!(huge.loss_q20, 1 << 40);
    }

    #[test]
    fn a_loss_that_is_not_finite_names_its_sample() {
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = [0.0, 1.0, bad, 0.0];
            let result = classes(1, &logits, &[0, 1], &mut [0.0; 4]);
            assert_eq!(result, Err(ComputeError::NonFiniteLoss { sample: 1 }));
        }
    }

    #[test]
    fn a_certain_teacher_is_like_a_class() {
        let logits = [0.5, -1.0, 2.0];
        let (mut of_class, mut of_teacher) = ([0.0; 3], [0.0; 3]);
        let expected = classes(1, &logits, &[2], &mut of_class).unwrap();
        let targets = [0.0, 0.0, 1.0];
        let stats = of_probabilities(
            Path::Generic,
            start(&loss(1, 3)),
            1.0,
            &logits,
            &targets,
            &mut of_teacher,
        );
        assert_eq!(stats, Ok(expected));
        assert_eq!(of_teacher, of_class);
    }
}

//! The mean squared error, against values or against class indices that stand for vectors with a single 1.

use tabswarm_model::graph::Loss;

use super::{Sums, first_maximum, per_row, quotient};
use crate::batch::{BatchStats, Targets};
use crate::error::ComputeError;

/// Loss and gradient of rows.
pub(super) fn run(
    (loss, mut sums): (&Loss, Sums),
    prediction: &[f32],
    targets: Targets<'_>,
    grad: &mut [f32],
) -> Result<BatchStats, ComputeError> {
    let width = loss.width;
    let rows = prediction
        .chunks_exact(width)
        .zip(grad.chunks_exact_mut(width));
    for (row, (prediction, grad)) in rows.enumerate() {
        let is_correct = match targets {
            Targets::Classes(labels) => {
                let label = usize::from(labels[row]);
                grad.copy_from_slice(prediction);
                grad[label] -= 1.0;
                first_maximum(prediction) == label
            }
            Targets::Values(values) => {
                let values = &values[row * width..][..width];
                for ((to, y), t) in grad.iter_mut().zip(prediction).zip(values) {
                    *to = y - t;
                }
                false
            }
        };
        let sum = grad.iter().fold(0.0, |sum, d| sum + d * d);
        sums.add(sum / width as f32, is_correct)?;
    }
    let (slope, per_row) = (quotient(2.0, width), per_row(loss));
    for difference in grad {
        *difference = *difference * slope * per_row;
    }
    Ok(sums.stats)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;
    use tabswarm_model::graph::{BufferId, LossKind, Targets as Wanted};

    fn loss(rows: usize) -> Loss {
        Loss {
            kind: LossKind::MeanSquaredError {
                targets: Wanted::Values,
            },
            rows,
            width: 2,
            prediction: BufferId(1),
            grad: BufferId(2),
        }
    }

    fn start(loss: &Loss) -> (&Loss, Sums) {
        (loss, Sums::new(loss, BatchStats::default()))
    }

    #[test]
    fn values_and_classes() {
        let mut grad = [0.0; 4];
        let prediction = [1.0, 3.0, 0.5, 0.0];
        let values = Targets::Values(&[0.0, 1.0, 0.5, 0.0]);
        let stats = run(start(&loss(1)), &prediction, values, &mut grad).unwrap();
        assert_eq!(grad, [1.0, 2.0, 0.0, 0.0]);
        assert_eq!(
            (stats.samples, stats.loss_q20, stats.correct),
            (2, 5 << 19, 0)
        );
        let classes = Targets::Classes(&[1, 1]);
        let stats = run(start(&loss(1)), &prediction, classes, &mut grad).unwrap();
        assert_eq!(grad, [1.0, 2.0, 0.5, -1.0]);
        assert_eq!((stats.samples, stats.correct), (2, 1));
    }

    #[test]
    fn a_sample_of_two_rows_counts_their_mean() {
        let mut grad = [0.0; 4];
        let values = Targets::Values(&[0.0; 4]);
        let stats = run(start(&loss(2)), &[1.0, 1.0, 3.0, 1.0], values, &mut grad).unwrap();
        assert_eq!((stats.samples, stats.loss_q20), (1, 3 << 20));
        assert_eq!(grad, [0.5, 0.5, 1.5, 0.5]);
    }
}

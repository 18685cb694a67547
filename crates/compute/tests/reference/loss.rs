//! The losses and their gradients.

use tabswarm_model::graph::{Loss, LossKind};

use super::Expected;

/// The summed loss and the gradient of the predictions.
pub(super) fn forward_backward(
    loss: &Loss,
    prediction: &[f64],
    expected: Expected<'_>,
) -> (f64, Vec<f64>) {
    let targets: Vec<f64> = match expected {
        Expected::Classes(labels) => {
            let one_hot = |&label: &u16| {
                (0..loss.width).map(move |c| f64::from(u8::from(c == usize::from(label))))
            };
            labels.iter().flat_map(one_hot).collect()
        }
        Expected::Values(values) => values.to_vec(),
    };
    assert_eq!(targets.len(), prediction.len(), "a target for each value");
    let (mut total, mut grad) = (0.0, Vec::new());
    let rows = prediction.chunks_exact(loss.width);
    for (z, t) in rows.zip(targets.chunks_exact(loss.width)) {
        let (row_loss, row_grad) = match loss.kind {
            LossKind::SoftmaxCrossEntropy => softmax(z, t, 1.0),
            LossKind::SoftTargets { temperature } => softmax(z, t, temperature.into()),
            LossKind::MeanSquaredError { .. } => squares(z, t),
        };
        total += row_loss / loss.rows as f64;
        grad.extend(row_grad.iter().map(|g| g / loss.rows as f64));
    }
    (total, grad)
}

fn softmax(z: &[f64], t: &[f64], temperature: f64) -> (f64, Vec<f64>) {
    let scaled: Vec<f64> = z.iter().map(|z| z / temperature).collect();
    let max = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = scaled.iter().map(|u| (u - max).exp()).sum::<f64>().ln() + max;
    let loss: f64 = scaled.iter().zip(t).map(|(u, t)| t * (log_sum - u)).sum();
    let mass: f64 = t.iter().sum();
    let grad = scaled.iter().zip(t);
    let grad = grad.map(|(u, t)| ((u - log_sum).exp() * mass - t) * temperature);
    (loss * temperature * temperature, grad.collect())
}

fn squares(y: &[f64], t: &[f64]) -> (f64, Vec<f64>) {
    let width = y.len() as f64;
    let differences = || y.iter().zip(t).map(|(y, t)| y - t);
    let loss = differences().map(|d| d * d).sum::<f64>() / width;
    (loss, differences().map(|d| 2.0 * d / width).collect())
}

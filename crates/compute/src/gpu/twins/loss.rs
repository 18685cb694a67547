//! Losses of rows.

use super::super::params::LossParams;
use super::{at, bound, narrow};

/// See `softmax_cross_entropy.wgsl`.
pub(crate) fn softmax_cross_entropy(p: &LossParams, buffers: &mut [Vec<f32>]) {
    let [prediction, targets, grad, tallies, turn] = bound(buffers);
    let factor = f64::from(p.per_row) * f64::from(turn[2]);
    let width = at(p.width);
    for row in 0..at(p.rows) {
        let label = class(targets[row]);
        let z = &prediction[row * width..][..width];
        let place = first_maximum(z);
        let e = |x: f32| (f64::from(x) - f64::from(z[place])).exp();
        let sum: f64 = z.iter().map(|x| e(*x)).sum();
        for (j, grad) in grad[row * width..][..width].iter_mut().enumerate() {
            let one = f64::from(u8::from(j == label));
            *grad = narrow((e(z[j]) / sum - one) * factor);
        }
        let nats = sum.ln() - (f64::from(z[label]) - f64::from(z[place]));
        tally(tallies, row, nats, place == label);
    }
}

/// See `soft_targets.wgsl`.
pub(crate) fn soft_targets(p: &LossParams, buffers: &mut [Vec<f32>]) {
    let [prediction, targets, grad, tallies, turn] = bound(buffers);
    let factor = f64::from(p.per_row) * f64::from(turn[2]);
    let (width, temperature) = (at(p.width), f64::from(p.temperature));
    for row in 0..at(p.rows) {
        let z = &prediction[row * width..][..width];
        let t = &targets[row * width..][..width];
        let place = first_maximum(z);
        let u = |x: f32| (f64::from(x) - f64::from(z[place])) / temperature;
        let sum: f64 = z.iter().map(|x| u(*x).exp()).sum();
        let mass: f64 = t.iter().map(|t| f64::from(*t)).sum();
        let expected: f64 = t.iter().zip(z).map(|(t, z)| f64::from(*t) * u(*z)).sum();
        for (j, grad) in grad[row * width..][..width].iter_mut().enumerate() {
            let difference = u(z[j]).exp() / sum * mass - f64::from(t[j]);
            *grad = narrow(difference * temperature * factor);
        }
        let nats = (sum.ln() * mass - expected) * temperature * temperature;
        tally(tallies, row, nats, place == first_maximum(t));
    }
}

/// See `mean_squared_error.wgsl`.
pub(crate) fn mean_squared_error(p: &LossParams, buffers: &mut [Vec<f32>]) {
    let [prediction, targets, grad, tallies, turn] = bound(buffers);
    let factor = f64::from(p.per_row) * f64::from(turn[2]);
    let width = at(p.width);
    for row in 0..at(p.rows) {
        let y = &prediction[row * width..][..width];
        let label = (p.has_classes != 0).then(|| class(targets[row]));
        let mut sum = 0.0;
        for (j, grad) in grad[row * width..][..width].iter_mut().enumerate() {
            let wanted = match label {
                Some(label) => f64::from(u8::from(j == label)),
                None => f64::from(targets[row * width + j]),
            };
            let difference = f64::from(y[j]) - wanted;
            sum += difference * difference;
            *grad = narrow(difference * f64::from(p.slope) * factor);
        }
        let is_correct = label == Some(first_maximum(y));
        tally(tallies, row, sum / width as f64, is_correct);
    }
}

fn tally(tallies: &mut [f32], row: usize, nats: f64, is_correct: bool) {
    tallies[2 * row] += narrow(nats);
    tallies[2 * row + 1] += f32::from(u8::from(is_correct));
}

fn first_maximum(row: &[f32]) -> usize {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    best
}

/// Class indices are small whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small whole numbers"
)]
fn class(value: f32) -> usize {
    value as usize
}

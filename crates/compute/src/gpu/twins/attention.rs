//! The probabilities of attention.

use super::super::params::AttentionParams;
use super::{at, bound, narrow};

/// See `attention_softmax.wgsl`.
pub(crate) fn attention_softmax(p: &AttentionParams, buffers: &mut [Vec<f32>]) {
    let [scores] = bound(buffers);
    let positions = at(p.positions);
    for row in 0..at(p.rows) {
        let scores = &mut scores[row * positions..][..positions];
        let seen = if p.causal == 0 {
            positions
        } else {
            row % positions + 1
        };
        let largest = scores[..seen]
            .iter()
            .fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        let e = |x: f32| (f64::from(x) - f64::from(largest)).exp();
        let sum: f64 = scores[..seen].iter().map(|x| e(*x)).sum();
        for score in &mut scores[..seen] {
            *score = narrow(e(*score) / sum);
        }
        scores[seen..].fill(0.0);
    }
}

/// See `attention_softmax_backward.wgsl`.
pub(crate) fn attention_softmax_backward(p: &AttentionParams, buffers: &mut [Vec<f32>]) {
    let [probabilities, grad] = bound(buffers);
    let positions = at(p.positions);
    for row in 0..at(p.rows) {
        let of_row = row * positions..(row + 1) * positions;
        let (probabilities, grad) = (&probabilities[of_row.clone()], &mut grad[of_row]);
        let pairs = probabilities.iter().zip(grad.iter());
        let t: f64 = pairs.map(|(p, dp)| f64::from(*p) * f64::from(*dp)).sum();
        for (p, dp) in probabilities.iter().zip(grad) {
            *dp = narrow(f64::from(*p) * (f64::from(*dp) - t));
        }
    }
}

//! Layer norm.

use super::super::params::LayerNormParams;
use super::{at, bound, narrow};

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// See `layer_norm.wgsl`.
pub(crate) fn layer_norm(p: &LayerNormParams, buffers: &mut [Vec<f32>]) {
    let [params, input, output, statistics] = bound(buffers);
    let width = at(p.width);
    for row in 0..at(p.rows) {
        let x = &input[row * width..][..width];
        let center = mean(x.iter().map(|x| f64::from(*x)));
        let variance = mean(x.iter().map(|x| (f64::from(*x) - center).powi(2)));
        let rstd = 1.0 / (variance + f64::from(p.epsilon)).sqrt();
        for (j, x) in x.iter().enumerate() {
            let gain = f64::from(params[at(p.gain_start) + j]);
            let bias = f64::from(params[at(p.bias_start) + j]);
            output[row * width + j] = narrow((f64::from(*x) - center) * rstd * gain + bias);
        }
        statistics[2 * row] = narrow(center);
        statistics[2 * row + 1] = narrow(rstd);
    }
}

/// See `layer_norm_backward.wgsl`.
pub(crate) fn layer_norm_backward(p: &LayerNormParams, buffers: &mut [Vec<f32>]) {
    let [params, input, statistics, grad_output, grad_input] = bound(buffers);
    let width = at(p.width);
    for row in 0..at(p.rows) {
        let [center, rstd] = [0, 1].map(|part| f64::from(statistics[2 * row + part]));
        let z = |j: usize| (f64::from(input[row * width + j]) - center) * rstd;
        let g = |j: usize| {
            f64::from(grad_output[row * width + j]) * f64::from(params[at(p.gain_start) + j])
        };
        let a = mean((0..width).map(g));
        let b = mean((0..width).map(|j| g(j) * z(j)));
        for j in 0..width {
            grad_input[row * width + j] = narrow((g(j) - a - z(j) * b) * rstd);
        }
    }
}

/// See `layer_norm_backward_params.wgsl`.
pub(crate) fn layer_norm_backward_params(p: &LayerNormParams, buffers: &mut [Vec<f32>]) {
    let [input, statistics, grad_output, gradient] = bound(buffers);
    let width = at(p.width);
    for j in 0..width {
        let dy = |row: usize| f64::from(grad_output[row * width + j]);
        let z = |row: usize| {
            let [center, rstd] = [0, 1].map(|part| f64::from(statistics[2 * row + part]));
            (f64::from(input[row * width + j]) - center) * rstd
        };
        let of_gain: f64 = (0..at(p.rows)).map(|row| dy(row) * z(row)).sum();
        let of_bias: f64 = (0..at(p.rows)).map(dy).sum();
        gradient[at(p.gain_start) + j] = narrow(of_gain);
        gradient[at(p.bias_start) + j] = narrow(of_bias);
    }
}

//! Functions of one value.

use super::super::params::ActivateParams;
use super::{at, bound, narrow};

// The identity is 0, see `activation_code`.
const RELU: u32 = 1;
const GELU: u32 = 2;
const SIGMOID: u32 = 3;
const TANH: u32 = 4;

/// The function with this number, and its slope where that is saved.
pub(super) fn activated(code: u32, x: f64) -> (f64, f64) {
    match code {
        RELU => (if 0.0 > x { 0.0 } else { x }, 0.0),
        GELU => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            let t = (c * (x + 0.044_715 * x * x * x)).tanh();
            let inner = c * (1.0 + 3.0 * 0.044_715 * x * x);
            let slope = 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner;
            (0.5 * x * (1.0 + t), slope)
        }
        SIGMOID => (1.0 / (1.0 + (-x).exp()), 0.0),
        TANH => (x.tanh(), 0.0),
        _ => (x, 0.0),
    }
}

/// See `activate.wgsl`.
pub(crate) fn activate(p: &ActivateParams, buffers: &mut [Vec<f32>]) {
    let [input, output, slopes] = bound(buffers);
    for i in 0..at(p.len) {
        let (value, slope) = activated(p.activation, f64::from(input[i]));
        output[i] = narrow(value);
        if p.has_slope != 0 {
            slopes[i] = narrow(slope);
        }
    }
}

/// See `activation_backward.wgsl`.
pub(crate) fn activation_backward(p: &ActivateParams, buffers: &mut [Vec<f32>]) {
    let [saved, grad] = bound(buffers);
    for i in 0..at(p.len) {
        let y = saved[i];
        grad[i] *= match p.activation {
            RELU => f32::from(u8::from(y > 0.0)),
            GELU => y,
            SIGMOID => y * (1.0 - y),
            TANH => 1.0 - y * y,
            _ => 1.0,
        };
    }
}

//! Kernels that have nothing to do with neighbors.

use tabswarm_model::noise::Noise;

use super::super::params::{DropoutParams, LenParams, PositionParams};
use super::{at, bound};

/// See `add.wgsl`.
pub(crate) fn add(p: &LenParams, buffers: &mut [Vec<f32>]) {
    let [left, right, output] = bound(buffers);
    for i in 0..at(p.len) {
        output[i] = left[i] + right[i];
    }
}

/// See `copy.wgsl`.
pub(crate) fn copy(p: &LenParams, buffers: &mut [Vec<f32>]) {
    let [input, output] = bound(buffers);
    output[..at(p.len)].copy_from_slice(&input[..at(p.len)]);
}

/// See `add_position.wgsl`.
pub(crate) fn add_position(p: &PositionParams, buffers: &mut [Vec<f32>]) {
    let [table, input, output] = bound(buffers);
    for i in 0..at(p.len) {
        output[i] = input[i] + table[at(p.table_start) + i % at(p.period)];
    }
}

/// See `dropout.wgsl`.
pub(crate) fn dropout(p: &DropoutParams, buffers: &mut [Vec<f32>]) {
    let [keys, input, output] = bound(buffers);
    let key = |word: usize| keys[2 * at(p.site) + word].to_bits();
    let noise = Noise([key(0), key(1)]);
    for i in 0..p.len {
        let is_kept = noise.word(i) >= p.threshold;
        output[at(i)] = if is_kept { input[at(i)] * p.scale } else { 0.0 };
    }
}

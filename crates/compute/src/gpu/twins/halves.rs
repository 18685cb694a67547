//! Values in half precision, IEEE 754's binary16, two to a word.

use half::f16;

use super::super::params::HalveParams;
use super::{at, bound};
use crate::gpu::recording::COUNTS;

/// See `halve.wgsl`. The twin's halves are values that half precision holds once they are rounded: whoever runs it
/// puts them into words.
pub(crate) fn halve(p: &HalveParams, buffers: &mut [Vec<f32>]) {
    let [turn, values, halves, counts] = bound(buffers);
    let count = &mut counts[COUNTS * at(turn[0].to_bits()) + at(p.count)];
    for i in 0..at(p.len) {
        let value = bounded(values[i]);
        if value.to_bits() != values[i].to_bits() {
            *count = f32::from_bits(count.to_bits() + 1);
        }
        halves[i] = value;
    }
    if !p.len.is_multiple_of(2) {
        halves[at(p.len)] = 0.0;
    }
}

/// The value, or the largest of its sign where half precision does not hold it; what is no number has a sign, too.
pub(crate) fn bounded(value: f32) -> f32 {
    let largest = f16::MAX.to_f32();
    if value.abs() <= largest {
        value
    } else {
        largest.copysign(value)
    }
}

/// Values rounded to half precision, as words that kernels read; a last odd one shares its word with a zero.
pub(crate) fn halves(values: &[f32]) -> Vec<u32> {
    let half = |value: &f32| u32::from(f16::from_f32(*value).to_bits());
    let word = |pair: &[f32]| half(&pair[0]) | pair.get(1).map_or(0, half) << 16;
    values.chunks(2).map(word).collect()
}

/// The values of words.
pub(crate) fn values_of_halves(words: &[f32]) -> Vec<f32> {
    let values = words.iter().flat_map(|word| {
        let [a, b, c, d] = word.to_bits().to_le_bytes();
        [[a, b], [c, d]].map(|bytes| f16::from_le_bytes(bytes).to_f32())
    });
    values.collect()
}

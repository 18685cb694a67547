//! What a lease's micro-batches come to, and how that is checked.

use super::super::params::{AccumulateParams, SealParams};
use super::{at, bound};
use crate::gpu::recording::COUNTS;

/// Not a number, with a payload that no arithmetic gives: a value of the gradient that nobody wrote.
pub(crate) const UNWRITTEN: u32 = 0x7fa5_c3e1;

/// See `accumulate.wgsl`.
pub(crate) fn accumulate(p: &AccumulateParams, buffers: &mut [Vec<f32>]) {
    let [turn, gradient, sums, counts] = bound(buffers);
    let first = COUNTS * at(turn[0].to_bits());
    let mut count = |kind: usize| {
        let count = &mut counts[first + kind];
        *count = f32::from_bits(count.to_bits() + 1);
    };
    for i in 0..at(p.len) {
        let value = gradient[i];
        sums[i] += value * turn[3];
        if value.to_bits() == UNWRITTEN {
            count(0);
        } else if !value.is_finite() {
            count(1);
        } else if value.abs() > 0.0 {
            count(2);
        }
        gradient[i] = f32::from_bits(UNWRITTEN);
    }
}

/// See `seal.wgsl`.
pub(crate) fn seal(p: &SealParams, buffers: &mut [Vec<f32>]) {
    let [turn, values, seal] = bound(buffers);
    let words = values[..at(p.len)].iter().map(|value| value.to_bits());
    let sum = checksum(turn[1].to_bits(), p.first, words);
    seal[0] = f32::from_bits(seal[0].to_bits().wrapping_add(sum));
}

/// The checksum of words that begin at place `first`, for a lease's nonce.
pub(crate) fn checksum(nonce: u32, first: u32, words: impl Iterator<Item = u32>) -> u32 {
    let places = first..;
    let terms = words
        .zip(places)
        .map(|(word, place)| mixed(word ^ mixed(place ^ nonce)));
    terms.fold(0, u32::wrapping_add)
}

/// The finalizer of `MurmurHash3` (Appleby, 2011).
fn mixed(word: u32) -> u32 {
    let mut h = word;
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

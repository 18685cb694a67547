//! Deterministic random numbers: ChaCha8 keyed by a purpose and a few integers.
//!
//! A stream depends on its key alone, so that any machine can produce any part of it at any time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::rounding::narrow;

/// A stream of random numbers for one purpose.
#[derive(Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `purpose` under a run's `seed` and an `index` within the purpose.
    pub fn new(purpose: &str, seed: u64, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tabswarm random stream v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Uniform on `[0, 1)` with 24 bits.
    pub fn unit_f32(&mut self) -> f32 {
        const SCALE: f32 = 1.0 / 16_777_216.0;
        (self.0.next_u32() >> 8) as f32 * SCALE
    }

    /// Standard normal (Box and Muller), from two words; `libm` gives the same bits everywhere.
    pub fn normal_f32(&mut self) -> f32 {
        // From (0, 1], so that the logarithm is finite.
        let radius = f64::from(1.0 - self.unit_f32());
        let angle = f64::from(self.unit_f32()) * std::f64::consts::TAU;
        narrow(libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(angle))
    }

    /// Uniform on `0..bound` without bias (Lemire, "Fast random integer generation in an interval", 2019).
    pub fn below(&mut self, bound: u32) -> u32 {
        debug_assert!(bound > 0, "an empty range has no element");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(bound);
            let [low, high] = split(product);
            if low >= threshold {
                return high;
            }
        }
    }

    /// Fisher–Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).expect("sample counts are bounded by u32");
            items.swap(last, self.below(bound) as usize);
        }
    }
}

fn split(product: u64) -> [u32; 2] {
    let bytes = product.to_le_bytes();
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [word(0), word(4)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let draw = |purpose, seed, index| Stream::new(purpose, seed, index).0.next_u64();
        assert_eq!(draw("a", 1, 2), draw("a", 1, 2));
        assert_ne!(draw("a", 1, 2), draw("b", 1, 2));
        assert_ne!(draw("a", 1, 2), draw("a", 2, 1));
    }

    #[test]
    fn below_covers_the_range_evenly() {
        let mut stream = Stream::new("test", 7, 0);
        let mut counts = [0_u32; 5];
        for _ in 0..50_000 {
            counts[stream.below(5) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&n| (9_500..10_500).contains(&n)),
            "{counts:?}"
        );
    }
}

//! Order-free exact accumulation: gradients as integers.
//!
//! Floating-point sums depend on their order; integer sums do not. A step announces one exponent per tensor,
//! each micro-batch's gradient `g` becomes `q = round(g · 2^e)`, and lanes, leases and the server may add the
//! `q` in any grouping and any order of arrival and get the same bits.
//!
//! Exponents follow from the committed sums alone ([`Exponents`]), so they are a function of the run file.
//! A micro-batch that does not fit reports the largest exponents that do; the step is run again with the
//! smallest reported, which is the same whoever reports first.

use crate::layout::Layout;
use crate::rounding::narrow;

/// Quantized values of one micro-batch are at most this large: with 24 bits a value keeps all of an `f32`'s
/// significant bits when the exponent is tight.
pub const MICRO_BATCH_LIMIT: i32 = 1 << 24;
/// A lease has at most so many micro-batches, so that its sums stay below 2^30 and fit an `i32`.
pub const MAX_LEASE_MICRO_BATCHES: u32 = 64;
/// Largest and first exponent; also the answer for an all-zero tensor.
pub const MAX_EXPONENT: i8 = 100;
/// Smallest exponent: a gradient of 2^124 still fits.
pub const MIN_EXPONENT: i8 = -100;
/// Exponents are chosen so that a typical micro-batch's largest value has so many bits: 3 below the limit.
const TARGET_BITS: i32 = 21;
/// An exponent rises by one only after so many steps in a row that would have allowed it.
const RISE_AFTER_STEPS: u32 = 16;

/// `2^exponent` exactly.
pub fn scale(exponent: i8) -> f32 {
    let clamped = exponent.clamp(MIN_EXPONENT, MAX_EXPONENT);
    let biased = u32::from((i16::from(clamped) + 127).unsigned_abs());
    f32::from_bits(biased << 23)
}

/// The largest exponent with which a tensor whose largest absolute value is `max_abs` (finite) fits.
pub fn fitting_exponent(max_abs: f32) -> i8 {
    if max_abs == 0.0 {
        return MAX_EXPONENT;
    }
    (MIN_EXPONENT..=MAX_EXPONENT)
        .rev()
        .find(|&e| f64::from(max_abs) * f64::from(scale(e)) <= f64::from(MICRO_BATCH_LIMIT))
        .unwrap_or(MIN_EXPONENT)
}

/// Quantizes one value: round half to even, as IEEE's default. The caller has checked that it fits.
#[inline(always)]
pub fn quantize(value: f32, scale: f32) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be at most 2^24"
    )]
    let quantized = (value * scale).round_ties_even() as i32;
    quantized
}

/// The mean gradient of a step: `sums[i] · 2^-e / samples`, each rounded once from f64, which holds every sum
/// exactly. Returns the largest absolute sum of each tensor.
pub fn mean_gradient(
    sums: &[i64],
    layout: &Layout,
    exponents: &[i8],
    samples: u64,
    out: &mut [f32],
) -> Vec<u64> {
    let tensors = layout.tensors().iter().zip(exponents);
    let of_tensor = tensors.map(|(tensor, &exponent)| {
        // The product of a power of two and 1/samples is rounded the same everywhere: both are f64.
        let factor = 1.0 / f64::from(scale(exponent)) / samples as f64;
        scaled(&sums[tensor.range()], factor, &mut out[tensor.range()])
    });
    of_tensor.collect()
}

/// Writes `sums[i] · factor` and returns the largest absolute sum.
fn scaled(sums: &[i64], factor: f64, out: &mut [f32]) -> u64 {
    // Several maxima: one would be a chain in which each comparison waits for the one before.
    let mut largest = [0.0_f64; 4];
    for (out, sums) in out
        .chunks_mut(largest.len())
        .zip(sums.chunks(largest.len()))
    {
        for ((out, &sum), largest) in out.iter_mut().zip(sums).zip(&mut largest) {
            debug_assert!(sum.unsigned_abs() < 1 << 53, "f64 holds the sums of a step");
            let sum = sum as f64;
            *out = narrow(sum * factor);
            *largest = if sum.abs() > *largest {
                sum.abs()
            } else {
                *largest
            };
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an integer of at most 53 bits without its sign"
    )]
    let largest = largest.into_iter().fold(0.0, f64::max) as u64;
    largest
}

/// The exponents of the next step, one per tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exponents {
    current: Vec<i8>,
    /// For how many steps in a row a larger exponent would have been allowed.
    rises: Vec<u32>,
}

impl Exponents {
    /// The first step's exponents: as large as can be, so that the first step measures.
    pub fn first(tensors: usize) -> Self {
        Self {
            current: vec![MAX_EXPONENT; tensors],
            rises: vec![0; tensors],
        }
    }

    /// The state that [`Self::current`] and [`Self::rises`] gave; none where the lengths differ.
    pub fn restore(current: Vec<i8>, rises: Vec<u32>) -> Option<Self> {
        (current.len() == rises.len()).then_some(Self { current, rises })
    }

    /// The exponents, one per tensor in flat order.
    pub fn current(&self) -> &[i8] {
        &self.current
    }

    /// The rise counters, for snapshots.
    pub fn rises(&self) -> &[u32] {
        &self.rises
    }

    /// Lowers exponents after an overflow; false where nothing changed, so that running again is pointless.
    pub fn lower(&mut self, fits: &[i8]) -> bool {
        let mut lowered = false;
        for (current, &fit) in self.current.iter_mut().zip(fits) {
            if fit < *current {
                *current = fit;
                lowered = true;
            }
        }
        lowered
    }

    /// Adapts to a committed step: `max_abs_sums` per tensor over `micro_batches`, as fixed-point numbers of the
    /// exponents `of` it. Where batches are applied as they arrive, those may be older than the current ones.
    ///
    /// Falls at once and rises slowly, because an overflow costs a step and a bit of precision costs nothing.
    pub fn commit(&mut self, of: &[i8], max_abs_sums: &[u64], micro_batches: u32) {
        let sums = of.iter().zip(max_abs_sums);
        for ((current, rises), (&of, &max)) in
            self.current.iter_mut().zip(&mut self.rises).zip(sums)
        {
            if max == 0 {
                continue;
            }
            let typical = max.div_ceil(u64::from(micro_batches.max(1)));
            let bits = 64 - i32::try_from(typical.leading_zeros()).expect("at most 64");
            let wanted = i32::from(of) + TARGET_BITS - bits;
            let wanted = wanted.clamp(i32::from(MIN_EXPONENT), i32::from(MAX_EXPONENT));
            let wanted = i8::try_from(wanted).expect("clamped to i8's range");
            if wanted <= *current {
                *current = wanted;
                *rises = 0;
            } else {
                *rises += 1;
                if *rises >= RISE_AFTER_STEPS {
                    *current += 1;
                    *rises = 0;
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "these values are exact: any difference is a mistake"
)]
mod tests {
    use super::*;
    use crate::layout::Init;
    use proptest::prelude::*;

    #[test]
    fn scale_is_a_power_of_two() {
        for e in MIN_EXPONENT..=MAX_EXPONENT {
            assert_eq!(f64::from(scale(e)), 2_f64.powi(i32::from(e)));
        }
    }

    #[test]
    fn fitting_exponent_is_tight() {
        for max_abs in [1e-30_f32, 0.001, 0.5, 1.0, 1.5, 3e20] {
            let e = fitting_exponent(max_abs);
            let scaled = |e| f64::from(max_abs) * f64::from(scale(e));
            assert!(scaled(e) <= f64::from(MICRO_BATCH_LIMIT), "{max_abs}");
            assert!(e == MAX_EXPONENT || scaled(e + 1) > f64::from(MICRO_BATCH_LIMIT));
        }
        assert_eq!(fitting_exponent(0.0), MAX_EXPONENT);
        assert_eq!(fitting_exponent(1.0), 24);
    }

    #[test]
    fn lowering_is_independent_of_the_order_of_reports() {
        let reports = [[10, 50], [12, 40], [9, 60]];
        let mut orders = vec![vec![0, 1, 2], vec![2, 1, 0], vec![1, 0, 2]];
        let results: Vec<Exponents> = orders
            .drain(..)
            .map(|order| {
                let mut exponents = Exponents::first(2);
                for idx in order {
                    exponents.lower(&reports[idx]);
                }
                exponents
            })
            .collect();
        assert_eq!(results[0].current(), [9, 40]);
        assert!(results.iter().all(|r| *r == results[0]));
    }

    #[test]
    fn exponents_fall_at_once_and_rise_slowly() {
        let mut exponents = Exponents::restore(vec![20], vec![0]).unwrap();
        exponents.commit(&[20], &[1 << 24], 1);
        assert_eq!(exponents.current(), [16]);
        for _ in 0..RISE_AFTER_STEPS - 1 {
            exponents.commit(&[16], &[1 << 10], 1);
            assert_eq!(exponents.current(), [16]);
        }
        exponents.commit(&[16], &[1 << 10], 1);
        assert_eq!(exponents.current(), [17]);
        exponents.commit(&[17], &[0], 1);
        assert_eq!(exponents.current(), [17]);
    }

    #[test]
    fn late_sums_say_what_they_said_then() {
        let mut exponents = Exponents::restore(vec![20], vec![0]).unwrap();
        // Sixteen updates were under way with the exponents of then, and all are of the same size.
        for _ in 0..16 {
            exponents.commit(&[20], &[1 << 24], 1);
            assert_eq!(exponents.current(), [16]);
        }
    }

    #[test]
    fn the_mean_is_exact_for_exact_values() {
        let mut layout = Layout::default();
        layout.push("a".into(), vec![2], Init::Zero);
        layout.push("b".into(), vec![1], Init::Zero);
        let mut out = [0.0; 3];
        mean_gradient(&[3 << 10, -(1 << 10), 5], &layout, &[10, 0], 4, &mut out);
        assert_eq!(out, [0.75, -0.25, 1.25]);
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_grouping(values in prop::collection::vec(-1.0_f32..1.0, 1..64), cut in 0_usize..64) {
            let factor = scale(fitting_exponent(1.0));
            let q: Vec<i64> = values.iter().map(|&v| i64::from(quantize(v, factor))).collect();
            let cut = cut.min(q.len());
            let (left, right) = q.split_at(cut);
            let forward: i64 = left.iter().sum::<i64>() + right.iter().sum::<i64>();
            let backward: i64 = q.iter().rev().sum();
            prop_assert_eq!(forward, backward);
        }

        #[test]
        fn quantization_error_is_half_a_unit(value in -1.0_f32..1.0, e in -10_i8..=24) {
            let q = quantize(value, scale(e));
            let error = (f64::from(q) - f64::from(value) * f64::from(scale(e))).abs();
            prop_assert!(error <= 0.5);
        }
    }
}

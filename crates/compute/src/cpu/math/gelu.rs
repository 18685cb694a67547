//! The Gaussian error linear unit in its tanh form, and its slope.
//!
//! With `v = 2 √(2/π) · (x + 0.044715 x³)` the tanh form is `x · sigmoid(v)`: one exponential and one division
//! serve the value and the slope `s + x · s · (1 - s) · dv/dx`, where `s = sigmoid(v)`.

use super::Function;
use super::logistic::both_sides;
use crate::cpu::gemm::Path;
use crate::cpu::isa::{self, Isa, Kernel, Scalar};

/// `2 √(2/π)`.
const LINEAR: f32 = 1.595_769_2;
/// `2 √(2/π) · 0.044715`.
const CUBIC: f32 = 0.071_354_814;
/// From here on the logistic function is 0 or 1, whatever the exact argument: its magnitude is cut here so
/// that no power of it overflows.
const SATURATED: f32 = 16.0;

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`: within 4 units in the last place for `x >= -1` and, for all
/// `x`, within 2^-22 of the larger of 1 and the value. Not-a-number stays so.
#[derive(Debug)]
pub(crate) struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn at<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
        value_and_slope(isa, x).0
    }
}

/// Replaces each value by its GELU and writes the derivative there, within 2^-22, to `slopes`, of the same length.
pub(crate) fn gelu_with_slope(path: Path, values: &mut [f32], slopes: &mut [f32]) {
    assert_eq!(values.len(), slopes.len(), "a slope for each value");
    isa::run(path, WithSlope { values, slopes });
}

/// GELU and its derivative at `x`.
#[inline(always)]
pub(crate) fn value_and_slope<I: Isa>(isa: I, x: I::Reg) -> (I::Reg, I::Reg) {
    let saturated = isa.splat(SATURATED);
    let magnitude = isa.abs(x);
    let magnitude = isa.select_less((saturated, magnitude), saturated, magnitude);
    let cubic = isa.mul(isa.splat(CUBIC), isa.mul(magnitude, magnitude));
    let argument = isa.mul(magnitude, isa.add(isa.splat(LINEAR), cubic));
    let (near_1, near_0) = both_sides(isa, argument);
    let is_negative = (x, isa.splat(0.0));
    let sigmoid = isa.select_less(is_negative, near_0, near_1);
    let complement = isa.select_less(is_negative, near_1, near_0);
    let value = isa.mul(x, sigmoid);
    let inner_slope = isa.add(isa.splat(LINEAR), isa.mul(isa.splat(3.0), cubic));
    let rest = isa.mul(isa.mul(value, complement), inner_slope);
    (value, isa.add(sigmoid, rest))
}

struct WithSlope<'a> {
    values: &'a mut [f32],
    slopes: &'a mut [f32],
}

impl Kernel for WithSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut values = self.values.chunks_exact_mut(I::LANES);
        let mut slopes = self.slopes.chunks_exact_mut(I::LANES);
        for (x, to) in (&mut values).zip(&mut slopes) {
            let (value, slope) = value_and_slope(isa, isa.read(x));
            isa.write(x, value);
            isa.write(to, slope);
        }
        let rest = values.into_remainder().iter_mut();
        for (x, to) in rest.zip(slopes.into_remainder()) {
            let ([value], [slope]) = value_and_slope(Scalar, [*x]);
            (*x, *to) = (value, slope);
        }
    }
}

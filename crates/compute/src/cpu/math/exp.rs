//! The exponential function of arguments that are not positive.

use super::Function;
use crate::cpu::isa::Isa;

/// Below this the result would be subnormal; it is taken as zero.
const SMALLEST_ARGUMENT: f32 = -87.0;
/// 1.5 · 2^23: adding it leaves the nearest integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few bits, so that its small multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Minimax coefficients of (exp(r) - 1 - r) / r² on |r| <= ln 2 / 2, highest power first (from Cephes).
const COEFFICIENTS: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    5e-1,
];

/// `exp(x)` for `x <= 0`, within 1 unit in the last place; +0 below -87. Not-a-number stays so.
#[derive(Debug)]
pub(crate) struct Exp;

impl Function for Exp {
    #[inline(always)]
    fn at<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
        exp_nonpositive(isa, x)
    }
}

/// See [`Exp`].
#[inline(always)]
pub(crate) fn exp_nonpositive<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
    let (polynomial, scale) = reduced(isa, x);
    let mantissa = isa.add(polynomial, isa.splat(1.0));
    let too_small = (x, isa.splat(SMALLEST_ARGUMENT));
    isa.select_less(too_small, isa.splat(0.0), isa.mul(mantissa, scale))
}

/// `exp(x) - 1` for `x <= 0`, with a small relative error near 0 too; -1 below -87.
#[inline(always)]
pub(super) fn exp_minus_1<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
    // From here down the result is -1 as it is; further down the powers of two would end.
    let x = isa.max(isa.splat(SMALLEST_ARGUMENT), x);
    let (polynomial, scale) = reduced(isa, x);
    let whole = isa.sub(scale, isa.splat(1.0));
    isa.add(isa.mul(polynomial, scale), whole)
}

/// `(exp(r) - 1, 2^n)` with `x = n · ln 2 + r` and `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduced<I: Isa>(isa: I, x: I::Reg) -> (I::Reg, I::Reg) {
    let round = isa.splat(ROUND);
    let rounded = isa.add(isa.mul(x, isa.splat(std::f32::consts::LOG2_E)), round);
    let n = isa.sub(rounded, round);
    let r = isa.sub(x, isa.mul(n, isa.splat(LN_2_HIGH)));
    let r = isa.sub(r, isa.mul(n, isa.splat(LN_2_LOW)));
    let mut polynomial = isa.splat(COEFFICIENTS[0]);
    for coefficient in &COEFFICIENTS[1..] {
        polynomial = isa.add(isa.mul(polynomial, r), isa.splat(*coefficient));
    }
    let polynomial = isa.add(isa.mul(polynomial, isa.mul(r, r)), r);
    // The low bits of `rounded` are n.
    (polynomial, isa.power_of_two(rounded))
}

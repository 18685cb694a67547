//! The hyperbolic tangent.

use super::Function;
use super::exp::exp_minus_1;
use crate::cpu::isa::Isa;

/// `tanh(x)` within 3 units in the last place, odd, and exactly ±1 far out. Not-a-number stays so.
#[derive(Debug)]
pub(crate) struct Tanh;

impl Function for Tanh {
    /// `-e / (2 + e)` with `e = exp(-2 |x|) - 1`, and the sign of `x`.
    #[inline(always)]
    fn at<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
        let e = exp_minus_1(isa, isa.mul(isa.abs(x), isa.splat(-2.0)));
        let quotient = isa.div(e, isa.add(isa.splat(2.0), e));
        isa.with_sign(isa.abs(quotient), x)
    }
}

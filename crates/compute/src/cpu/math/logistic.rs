//! The logistic function.

use super::Function;
use super::exp::exp_nonpositive;
use crate::cpu::isa::Isa;

/// `1 / (1 + exp(-x))` within 3 units in the last place; +0 below -87. Not-a-number stays so.
#[derive(Debug)]
pub(crate) struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn at<I: Isa>(isa: I, x: I::Reg) -> I::Reg {
        let (near_1, near_0) = both_sides(isa, isa.abs(x));
        isa.select_less((x, isa.splat(0.0)), near_0, near_1)
    }
}

/// The logistic function at `x >= 0` and at `-x`. Both have small relative errors, which `1 - …` would not.
#[inline(always)]
pub(super) fn both_sides<I: Isa>(isa: I, x: I::Reg) -> (I::Reg, I::Reg) {
    let e = exp_nonpositive(isa, isa.mul(x, isa.splat(-1.0)));
    let one = isa.splat(1.0);
    let near_1 = isa.div(one, isa.add(one, e));
    (near_1, isa.mul(e, near_1))
}

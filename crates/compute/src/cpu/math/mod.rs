//! Functions of single values: `exp`, `tanh`, the logistic function and GELU, with the same bits everywhere.
//!
//! They are polynomials and quotients of correctly rounded operations in one order, without fused ones, so
//! their bits are the same on every path of *both* arithmetic classes. (Fused, they would be a few percent
//! faster in a part of the work that is itself a few percent.) Errors are stated with each function, in units
//! in the last place of the exact result, and tested over the whole range.

mod exp;
mod gelu;
mod logistic;
mod tanh;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use super::gemm::Path;
use super::isa::{self, Isa, Kernel, Scalar};

pub(crate) use exp::{Exp, exp_nonpositive};
pub(crate) use gelu::{Gelu, gelu_with_slope};
pub(crate) use logistic::Sigmoid;
pub(crate) use tanh::Tanh;

/// A function of one value that is computed in all lanes of a register.
pub(crate) trait Function {
    /// The function's values at `x`. Implementations are `#[inline(always)]`.
    fn at<I: Isa>(isa: I, x: I::Reg) -> I::Reg;
}

/// Replaces each value by the function of it.
pub(crate) fn apply<F: Function>(path: Path, values: &mut [f32]) {
    let function = PhantomData::<F>;
    isa::run(path, Apply { function, values });
}

/// The function of one value, with the bits of [`apply`].
pub(crate) fn scalar<F: Function>(x: f32) -> f32 {
    let [y] = F::at(Scalar, [x]);
    y
}

struct Apply<'a, F> {
    function: PhantomData<F>,
    values: &'a mut [f32],
}

impl<F: Function> Kernel for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let mut registers = self.values.chunks_exact_mut(I::LANES);
        for values in &mut registers {
            let y = F::at(isa, isa.read(values));
            isa.write(values, y);
        }
        for value in registers.into_remainder() {
            *value = scalar::<F>(*value);
        }
    }
}

//! WebAssembly SIMD, and relaxed SIMD where the module is built with it.

use std::arch::wasm32::{
    f32x4_abs, f32x4_add, f32x4_div, f32x4_lt, f32x4_mul, f32x4_pmax, f32x4_splat, f32x4_sub,
    i32x4_add, i32x4_shl, i32x4_shuffle, i32x4_splat, v128, v128_and, v128_bitselect, v128_load,
    v128_or, v128_store,
};

use super::Isa;

/// Multiply, round, add, round.
#[derive(Clone, Copy)]
pub(super) struct Simd128(());

/// Relaxed multiply and add: one rounding where the CPU has the instruction, which the probe finds out.
#[cfg(target_feature = "relaxed-simd")]
#[derive(Clone, Copy)]
pub(super) struct RelaxedSimd(());

macro_rules! v128_register {
    ($isa:ident, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl $isa {
            /// A module that loaded runs its instructions.
            pub(super) fn new() -> Self {
                Self(())
            }
        }

        impl Isa for $isa {
            type Reg = v128;
            const LANES: usize = 4;
            const REGISTERS: usize = 16;

            #[inline(always)]
            fn splat(self, value: f32) -> v128 {
                f32x4_splat(value)
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> v128 {
                // SAFETY: the caller promises four readable values; wasm loads need no alignment.
                unsafe { v128_load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, value: v128) {
                // SAFETY: the caller promises room for four values; wasm stores need no alignment.
                unsafe { v128_store(to.cast(), value) }
            }

            #[inline(always)]
            fn add(self, a: v128, b: v128) -> v128 {
                f32x4_add(a, b)
            }

            #[inline(always)]
            fn sub(self, a: v128, b: v128) -> v128 {
                f32x4_sub(a, b)
            }

            #[inline(always)]
            fn mul(self, a: v128, b: v128) -> v128 {
                f32x4_mul(a, b)
            }

            #[inline(always)]
            fn div(self, a: v128, b: v128) -> v128 {
                f32x4_div(a, b)
            }

            #[inline(always)]
            fn max(self, a: v128, b: v128) -> v128 {
                // The pseudo-maximum gives its first operand when they do not compare.
                f32x4_pmax(b, a)
            }

            #[inline(always)]
            fn abs(self, a: v128) -> v128 {
                f32x4_abs(a)
            }

            #[inline(always)]
            fn with_sign(self, magnitude: v128, sign: v128) -> v128 {
                v128_or(magnitude, v128_and(f32x4_splat(-0.0), sign))
            }

            #[inline(always)]
            fn select_less(self, (a, b): (v128, v128), then: v128, otherwise: v128) -> v128 {
                v128_bitselect(then, otherwise, f32x4_lt(a, b))
            }

            #[inline(always)]
            fn power_of_two(self, n: v128) -> v128 {
                i32x4_shl(i32x4_add(n, i32x4_splat(127)), 23)
            }

            #[inline(always)]
            fn transpose(self, square: &mut [v128]) {
                let &mut [a, b, c, d] = square else {
                    unreachable!("a square of registers has as many as one has lanes")
                };
                let ab = [
                    i32x4_shuffle::<0, 4, 1, 5>(a, b),
                    i32x4_shuffle::<2, 6, 3, 7>(a, b),
                ];
                let cd = [
                    i32x4_shuffle::<0, 4, 1, 5>(c, d),
                    i32x4_shuffle::<2, 6, 3, 7>(c, d),
                ];
                square[0] = i32x4_shuffle::<0, 1, 4, 5>(ab[0], cd[0]);
                square[1] = i32x4_shuffle::<2, 3, 6, 7>(ab[0], cd[0]);
                square[2] = i32x4_shuffle::<0, 1, 4, 5>(ab[1], cd[1]);
                square[3] = i32x4_shuffle::<2, 3, 6, 7>(ab[1], cd[1]);
            }

            #[inline(always)]
            fn multiply_add(self, $acc: v128, $a: v128, $b: v128) -> v128 {
                $multiply_add
            }
        }
    };
}

v128_register!(Simd128, |acc, a, b| f32x4_add(acc, f32x4_mul(a, b)));
#[cfg(target_feature = "relaxed-simd")]
v128_register!(RelaxedSimd, |acc, a, b| {
    std::arch::wasm32::f32x4_relaxed_madd(a, b, acc)
});

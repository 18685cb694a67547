//! WebAssembly SIMD, and relaxed SIMD where the module is built with it.
#![allow(unsafe_code, reason = "raw loads and stores of v128")]

use std::arch::wasm32::{
    f32x4_add, f32x4_mul, f32x4_splat, v128, v128_load, v128_load32_splat, v128_store,
};

use super::simd::{self, Simd};
use super::strip::Strip;

/// Tile height: 4 × 2 accumulators leave registers for the engine's own needs.
pub(super) const MR: usize = 4;
/// Panel width: two registers.
pub(super) const NR: usize = 8;

/// Multiply, round, add, round.
pub(super) fn strip_portable(strip: &mut Strip<'_>) {
    // SAFETY: a module that loaded runs its instructions.
    unsafe { simd::run::<Simd128, MR, 2, 2>(strip) }
}

/// Relaxed multiply and add: one rounding where the CPU has the instruction, which the probe finds out.
#[cfg(target_feature = "relaxed-simd")]
pub(super) fn strip_relaxed(strip: &mut Strip<'_>) {
    // SAFETY: a module that loaded runs its instructions.
    unsafe { simd::run::<RelaxedSimd, MR, 2, 2>(strip) }
}

struct Simd128;
#[cfg(target_feature = "relaxed-simd")]
struct RelaxedSimd;

macro_rules! v128_register {
    ($path:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Simd for $path {
            type Reg = v128;
            const LANES: usize = 4;

            #[inline(always)]
            unsafe fn zero() -> v128 {
                f32x4_splat(0.0)
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> v128 {
                // SAFETY: the caller promises four readable values; wasm loads need no alignment.
                unsafe { v128_load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn broadcast(from: *const f32) -> v128 {
                // SAFETY: the caller promises one readable value.
                unsafe { v128_load32_splat(from.cast()) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, value: v128) {
                // SAFETY: the caller promises room for four values; wasm stores need no alignment.
                unsafe { v128_store(to.cast(), value) }
            }

            #[inline(always)]
            unsafe fn multiply_add($acc: v128, $a: v128, $b: v128) -> v128 {
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

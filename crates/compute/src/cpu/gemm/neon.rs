//! NEON on aarch64, without and with fused multiply-add.
#![allow(
    unsafe_code,
    reason = "NEON intrinsics, which are part of the base architecture"
)]

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_dup_f32, vld1q_f32, vmulq_f32, vst1q_f32,
};

use super::simd::{self, Simd};
use super::strip::Strip;

/// Tile height: 6 × 4 accumulators, four panel registers and a broadcast fill 29 of 32 registers.
pub(super) const MR: usize = 6;
/// Panel width: four registers.
pub(super) const NR: usize = 16;

/// Multiply, round, add, round.
pub(super) fn strip_portable(strip: &mut Strip<'_>) {
    // SAFETY: every aarch64 has NEON.
    unsafe { simd::run::<Neon, MR, 4, 2>(strip) }
}

/// Multiply and add with one rounding.
pub(super) fn strip_fused(strip: &mut Strip<'_>) {
    // SAFETY: every aarch64 has NEON.
    unsafe { simd::run::<NeonFma, MR, 4, 2>(strip) }
}

struct Neon;
struct NeonFma;

macro_rules! neon_register {
    ($path:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Simd for $path {
            type Reg = float32x4_t;
            const LANES: usize = 4;

            #[inline(always)]
            unsafe fn zero() -> float32x4_t {
                // SAFETY: every aarch64 has NEON, here and below.
                unsafe { vdupq_n_f32(0.0) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> float32x4_t {
                // SAFETY: as above, and the caller promises four readable values.
                unsafe { vld1q_f32(from) }
            }

            #[inline(always)]
            unsafe fn broadcast(from: *const f32) -> float32x4_t {
                // SAFETY: as above, and the caller promises one readable value.
                unsafe { vld1q_dup_f32(from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, value: float32x4_t) {
                // SAFETY: as above, and the caller promises room for four values.
                unsafe { vst1q_f32(to, value) }
            }

            #[inline(always)]
            unsafe fn multiply_add(
                $acc: float32x4_t,
                $a: float32x4_t,
                $b: float32x4_t,
            ) -> float32x4_t {
                // SAFETY: as above.
                unsafe { $multiply_add }
            }
        }
    };
}

neon_register!(Neon, |acc, a, b| vaddq_f32(acc, vmulq_f32(a, b)));
neon_register!(NeonFma, |acc, a, b| vfmaq_f32(acc, a, b));

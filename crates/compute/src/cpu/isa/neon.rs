//! NEON on aarch64, without and with fused multiply-add.

use std::arch::aarch64::{
    float32x4_t, vabsq_f32, vaddq_f32, vaddq_s32, vbslq_f32, vcgtq_f32, vcltq_f32, vdivq_f32,
    vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, vfmaq_f32, vld1q_f32, vmulq_f32, vreinterpretq_f32_f64,
    vreinterpretq_f32_s32, vreinterpretq_f64_f32, vreinterpretq_s32_f32, vshlq_n_s32, vst1q_f32,
    vsubq_f32, vzip1q_f32, vzip1q_f64, vzip2q_f32, vzip2q_f64,
};

use super::Isa;

/// Multiply, round, add, round.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

/// Multiply and add with one rounding.
#[derive(Clone, Copy)]
pub(super) struct NeonFma(());

macro_rules! neon_register {
    ($isa:ident, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl $isa {
            /// Every aarch64 has NEON.
            pub(super) fn new() -> Self {
                Self(())
            }
        }

        impl Isa for $isa {
            type Reg = float32x4_t;
            const LANES: usize = 4;
            const REGISTERS: usize = 32;

            #[inline(always)]
            fn splat(self, value: f32) -> float32x4_t {
                // SAFETY: every aarch64 has NEON, here and below.
                unsafe { vdupq_n_f32(value) }
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> float32x4_t {
                // SAFETY: as above, and the caller promises four readable values.
                unsafe { vld1q_f32(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, value: float32x4_t) {
                // SAFETY: as above, and the caller promises room for four values.
                unsafe { vst1q_f32(to, value) }
            }

            #[inline(always)]
            fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vaddq_f32(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vsubq_f32(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vmulq_f32(a, b) }
            }

            #[inline(always)]
            fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vdivq_f32(a, b) }
            }

            #[inline(always)]
            fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
                // SAFETY: as above. The instruction for the maximum would let either not-a-number through.
                unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
            }

            #[inline(always)]
            fn abs(self, a: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vabsq_f32(a) }
            }

            #[inline(always)]
            fn with_sign(self, magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vbslq_f32(vdupq_n_u32(1 << 31), sign, magnitude) }
            }

            #[inline(always)]
            fn select_less(
                self,
                (a, b): (float32x4_t, float32x4_t),
                then: float32x4_t,
                otherwise: float32x4_t,
            ) -> float32x4_t {
                // SAFETY: as above.
                unsafe { vbslq_f32(vcltq_f32(a, b), then, otherwise) }
            }

            #[inline(always)]
            fn power_of_two(self, n: float32x4_t) -> float32x4_t {
                // SAFETY: as above.
                unsafe {
                    let biased = vaddq_s32(vreinterpretq_s32_f32(n), vdupq_n_s32(127));
                    vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
                }
            }

            #[inline(always)]
            fn transpose(self, square: &mut [float32x4_t]) {
                // SAFETY: as above.
                unsafe { transpose(square) }
            }

            #[inline(always)]
            fn multiply_add(
                self,
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

/// First pairs of lanes, then pairs of pairs.
#[target_feature(enable = "neon")]
#[inline]
fn transpose(square: &mut [float32x4_t]) {
    let &mut [a, b, c, d] = square else {
        unreachable!("a square of registers has as many as one has lanes")
    };
    let low = [vzip1q_f32(a, b), vzip1q_f32(c, d)].map(|pairs| vreinterpretq_f64_f32(pairs));
    let high = [vzip2q_f32(a, b), vzip2q_f32(c, d)].map(|pairs| vreinterpretq_f64_f32(pairs));
    for (i, [ab, cd]) in [low, high].into_iter().enumerate() {
        square[2 * i] = vreinterpretq_f32_f64(vzip1q_f64(ab, cd));
        square[2 * i + 1] = vreinterpretq_f32_f64(vzip2q_f64(ab, cd));
    }
}

neon_register!(Neon, |acc, a, b| vaddq_f32(acc, vmulq_f32(a, b)));
neon_register!(NeonFma, |acc, a, b| vfmaq_f32(acc, a, b));

//! AVX2 on x86-64, without and with fused multiply-add.
#![allow(
    unsafe_code,
    reason = "AVX2 intrinsics; reached only after run-time detection"
)]

use std::arch::x86_64::{
    __m256, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_mul_ps,
    _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::simd::{self, Simd};
use super::strip::Strip;

/// Tile height: 6 × 2 accumulators, two panel registers and one broadcast fill 15 of 16 registers.
pub(super) const MR: usize = 6;
/// Panel width: two registers.
pub(super) const NR: usize = 16;

/// Whether this CPU runs [`strip_portable`].
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Whether this CPU runs [`strip_fused`].
pub(super) fn has_avx2_fma() -> bool {
    has_avx2() && is_x86_feature_detected!("fma")
}

/// Multiply, round, add, round.
pub(super) fn strip_portable(strip: &mut Strip<'_>) {
    assert!(has_avx2(), "the AVX2 path was chosen on a CPU without AVX2");
    // SAFETY: AVX2 is there, as just checked.
    unsafe { portable(strip) }
}

/// Multiply and add with one rounding.
pub(super) fn strip_fused(strip: &mut Strip<'_>) {
    assert!(
        has_avx2_fma(),
        "the FMA path was chosen on a CPU without FMA"
    );
    // SAFETY: AVX2 and FMA are there, as just checked.
    unsafe { fused(strip) }
}

#[target_feature(enable = "avx2")]
fn portable(strip: &mut Strip<'_>) {
    // SAFETY: `Avx2` needs AVX2, which this function requires.
    unsafe { simd::run::<Avx2, MR, 2, 1>(strip) }
}

#[target_feature(enable = "avx2,fma")]
fn fused(strip: &mut Strip<'_>) {
    // SAFETY: `Avx2Fma` needs AVX2 and FMA, which this function requires.
    unsafe { simd::run::<Avx2Fma, MR, 2, 1>(strip) }
}

struct Avx2;
struct Avx2Fma;

macro_rules! avx2_register {
    ($path:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Simd for $path {
            type Reg = __m256;
            const LANES: usize = 8;

            #[inline(always)]
            unsafe fn zero() -> __m256 {
                // SAFETY: the caller promises AVX2.
                unsafe { _mm256_setzero_ps() }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> __m256 {
                // SAFETY: the caller promises AVX2 and eight readable values.
                unsafe { _mm256_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn broadcast(from: *const f32) -> __m256 {
                // SAFETY: the caller promises AVX2 and one readable value.
                unsafe { _mm256_broadcast_ss(&*from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, value: __m256) {
                // SAFETY: the caller promises AVX2 and room for eight values.
                unsafe { _mm256_storeu_ps(to, value) }
            }

            #[inline(always)]
            unsafe fn multiply_add($acc: __m256, $a: __m256, $b: __m256) -> __m256 {
                // SAFETY: the caller promises the instruction sets of the path.
                unsafe { $multiply_add }
            }
        }
    };
}

avx2_register!(Avx2, |acc, a, b| _mm256_add_ps(acc, _mm256_mul_ps(a, b)));
avx2_register!(Avx2Fma, |acc, a, b| _mm256_fmadd_ps(a, b, acc));

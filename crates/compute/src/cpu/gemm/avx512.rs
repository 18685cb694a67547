//! AVX-512 on x86-64, without and with fused multiply-add.
#![allow(
    unsafe_code,
    reason = "AVX-512 intrinsics; reached only after run-time detection"
)]

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::simd::{self, Simd};
use super::strip::Strip;
use crate::cpu::isa::has_avx512;

/// Tile height: 12 × 2 accumulators, two panel registers, a broadcast and a product leave some of the 32 registers.
pub(super) const MR: usize = 12;
/// Panel width: two registers.
pub(super) const NR: usize = 32;

/// Multiply, round, add, round.
pub(super) fn strip_portable(strip: &mut Strip<'_>) {
    assert!(
        has_avx512(),
        "the AVX-512 path was chosen on a CPU without AVX-512"
    );
    // SAFETY: AVX-512 is there, as just checked.
    unsafe { portable(strip) }
}

/// Multiply and add with one rounding.
pub(super) fn strip_fused(strip: &mut Strip<'_>) {
    assert!(
        has_avx512(),
        "the AVX-512 path was chosen on a CPU without AVX-512"
    );
    // SAFETY: AVX-512 is there, as just checked.
    unsafe { fused(strip) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn portable(strip: &mut Strip<'_>) {
    // SAFETY: `Avx512` needs AVX-512, which this function requires.
    unsafe { simd::run::<Avx512, MR, 2, 1>(strip) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn fused(strip: &mut Strip<'_>) {
    // SAFETY: `Avx512Fma` needs AVX-512, which this function requires.
    unsafe { simd::run::<Avx512Fma, MR, 2, 1>(strip) }
}

struct Avx512;
struct Avx512Fma;

macro_rules! avx512_register {
    ($path:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Simd for $path {
            type Reg = __m512;
            const LANES: usize = 16;

            #[inline(always)]
            unsafe fn zero() -> __m512 {
                // SAFETY: the caller promises AVX-512.
                unsafe { _mm512_setzero_ps() }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> __m512 {
                // SAFETY: the caller promises AVX-512 and sixteen readable values.
                unsafe { _mm512_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn broadcast(from: *const f32) -> __m512 {
                // SAFETY: the caller promises AVX-512 and one readable value.
                unsafe { _mm512_set1_ps(*from) }
            }

            #[inline(always)]
            unsafe fn store(to: *mut f32, value: __m512) {
                // SAFETY: the caller promises AVX-512 and room for sixteen values.
                unsafe { _mm512_storeu_ps(to, value) }
            }

            #[inline(always)]
            unsafe fn multiply_add($acc: __m512, $a: __m512, $b: __m512) -> __m512 {
                // SAFETY: the caller promises the instruction sets of the path.
                unsafe { $multiply_add }
            }
        }
    };
}

avx512_register!(Avx512, |acc, a, b| _mm512_add_ps(acc, _mm512_mul_ps(a, b)));
avx512_register!(Avx512Fma, |acc, a, b| _mm512_fmadd_ps(a, b, acc));

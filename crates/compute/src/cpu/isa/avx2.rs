//! AVX2 on x86-64, without and with fused multiply-add.

use std::arch::x86_64::{
    __m256, _CMP_LT_OQ, _mm256_add_epi32, _mm256_add_ps, _mm256_and_ps, _mm256_andnot_ps,
    _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_div_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps, _mm256_or_ps,
    _mm256_permute2f128_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_shuffle_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::{Isa, Kernel};

/// Multiply, round, add, round.
pub(super) fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        is_x86_feature_detected!("avx2"),
        "the AVX2 path was chosen on a CPU without AVX2"
    );
    // SAFETY: AVX2 is there, as just checked.
    unsafe { portable(kernel) }
}

/// Multiply and add with one rounding.
pub(super) fn run_fused<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        "the FMA path was chosen on a CPU without FMA"
    );
    // SAFETY: AVX2 and FMA are there, as just checked.
    unsafe { fused(kernel) }
}

#[target_feature(enable = "avx2")]
fn portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

#[target_feature(enable = "avx2,fma")]
fn fused<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2Fma(()))
}

/// Exists only where AVX2 is.
#[derive(Clone, Copy)]
struct Avx2(());

/// Exists only where AVX2 and FMA are.
#[derive(Clone, Copy)]
struct Avx2Fma(());

macro_rules! avx2_register {
    ($isa:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Isa for $isa {
            type Reg = __m256;
            const LANES: usize = 8;
            const REGISTERS: usize = 16;

            #[inline(always)]
            fn splat(self, value: f32) -> __m256 {
                // SAFETY: `self` proves the instructions, here and below.
                unsafe { _mm256_set1_ps(value) }
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> __m256 {
                // SAFETY: as above, and the caller promises eight readable values.
                unsafe { _mm256_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, value: __m256) {
                // SAFETY: as above, and the caller promises room for eight values.
                unsafe { _mm256_storeu_ps(to, value) }
            }

            #[inline(always)]
            fn add(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_add_ps(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_sub_ps(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_mul_ps(a, b) }
            }

            #[inline(always)]
            fn div(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_div_ps(a, b) }
            }

            #[inline(always)]
            fn max(self, a: __m256, b: __m256) -> __m256 {
                // SAFETY: as above. The instruction gives its second operand when they do not compare.
                unsafe { _mm256_max_ps(a, b) }
            }

            #[inline(always)]
            fn abs(self, a: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
            }

            #[inline(always)]
            fn with_sign(self, magnitude: __m256, sign: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)) }
            }

            #[inline(always)]
            fn select_less(
                self,
                (a, b): (__m256, __m256),
                then: __m256,
                otherwise: __m256,
            ) -> __m256 {
                // SAFETY: as above.
                unsafe { _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
            }

            #[inline(always)]
            fn power_of_two(self, n: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe {
                    let biased = _mm256_add_epi32(_mm256_castps_si256(n), _mm256_set1_epi32(127));
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
                }
            }

            #[inline(always)]
            fn transpose(self, square: &mut [__m256]) {
                // SAFETY: as above.
                unsafe { transpose(square) }
            }

            #[inline(always)]
            fn multiply_add(self, $acc: __m256, $a: __m256, $b: __m256) -> __m256 {
                // SAFETY: as above.
                unsafe { $multiply_add }
            }
        }
    };
}

/// Swaps ever larger off-diagonal squares: of one lane, of two, of four.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose(square: &mut [__m256]) {
    let &mut [r0, r1, r2, r3, r4, r5, r6, r7] = square else {
        unreachable!("a square of registers has as many as one has lanes")
    };
    let pairs = |a, b| [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)];
    let [top_a, top_b] = [pairs(r0, r1), pairs(r2, r3)];
    let [bottom_a, bottom_b] = [pairs(r4, r5), pairs(r6, r7)];
    let fours = |a, b| {
        [
            _mm256_shuffle_ps::<0x44>(a, b),
            _mm256_shuffle_ps::<0xee>(a, b),
        ]
    };
    for i in 0..2 {
        let top = fours(top_a[i], top_b[i]);
        let bottom = fours(bottom_a[i], bottom_b[i]);
        for (j, (top, bottom)) in top.into_iter().zip(bottom).enumerate() {
            square[2 * i + j] = _mm256_permute2f128_ps::<0x20>(top, bottom);
            square[2 * i + j + 4] = _mm256_permute2f128_ps::<0x31>(top, bottom);
        }
    }
}

avx2_register!(Avx2, |acc, a, b| _mm256_add_ps(acc, _mm256_mul_ps(a, b)));
avx2_register!(Avx2Fma, |acc, a, b| _mm256_fmadd_ps(a, b, acc));

//! AVX-512 on x86-64, without and with fused multiply-add.

use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _mm512_abs_ps, _mm512_add_epi32, _mm512_add_ps, _mm512_and_ps,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_max_ps, _mm512_mul_ps, _mm512_or_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_shuffle_f32x4, _mm512_shuffle_ps, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::{Isa, Kernel};

/// Whether this CPU has the parts of AVX-512 that the AVX-512 paths are compiled for: all that have it, but for
/// the first many-core processors. They include fused multiply-add.
pub(crate) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Multiply, round, add, round.
pub(super) fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        has_avx512(),
        "the AVX-512 path was chosen on a CPU without AVX-512"
    );
    // SAFETY: AVX-512 is there, as just checked.
    unsafe { portable(kernel) }
}

/// Multiply and add with one rounding.
pub(super) fn run_fused<K: Kernel>(kernel: K) -> K::Output {
    assert!(
        has_avx512(),
        "the AVX-512 path was chosen on a CPU without AVX-512"
    );
    // SAFETY: AVX-512 is there, as just checked.
    unsafe { fused(kernel) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn fused<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512Fma(()))
}

/// Exists only where [`has_avx512`].
#[derive(Clone, Copy)]
struct Avx512(());

/// Exists only where [`has_avx512`].
#[derive(Clone, Copy)]
struct Avx512Fma(());

macro_rules! avx512_register {
    ($isa:ty, |$acc:ident, $a:ident, $b:ident| $multiply_add:expr) => {
        impl Isa for $isa {
            type Reg = __m512;
            const LANES: usize = 16;
            const REGISTERS: usize = 32;

            #[inline(always)]
            fn splat(self, value: f32) -> __m512 {
                // SAFETY: `self` proves the instructions, here and below.
                unsafe { _mm512_set1_ps(value) }
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> __m512 {
                // SAFETY: as above, and the caller promises sixteen readable values.
                unsafe { _mm512_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, value: __m512) {
                // SAFETY: as above, and the caller promises room for sixteen values.
                unsafe { _mm512_storeu_ps(to, value) }
            }

            #[inline(always)]
            unsafe fn load_part(self, from: *const f32, count: usize) -> __m512 {
                // SAFETY: as above, and the caller promises as many readable values as lanes are chosen.
                unsafe { _mm512_maskz_loadu_ps(first_lanes(count), from) }
            }

            #[inline(always)]
            unsafe fn store_part(self, to: *mut f32, value: __m512, count: usize) {
                // SAFETY: as above, and the caller promises room for as many values as lanes are chosen.
                unsafe { _mm512_mask_storeu_ps(to, first_lanes(count), value) }
            }

            #[inline(always)]
            fn add(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_add_ps(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_sub_ps(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_mul_ps(a, b) }
            }

            #[inline(always)]
            fn div(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_div_ps(a, b) }
            }

            #[inline(always)]
            fn max(self, a: __m512, b: __m512) -> __m512 {
                // SAFETY: as above. The instruction gives its second operand when they do not compare.
                unsafe { _mm512_max_ps(a, b) }
            }

            #[inline(always)]
            fn abs(self, a: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_abs_ps(a) }
            }

            #[inline(always)]
            fn with_sign(self, magnitude: __m512, sign: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { _mm512_or_ps(magnitude, _mm512_and_ps(_mm512_set1_ps(-0.0), sign)) }
            }

            #[inline(always)]
            fn select_less(
                self,
                (a, b): (__m512, __m512),
                then: __m512,
                otherwise: __m512,
            ) -> __m512 {
                // SAFETY: as above.
                unsafe {
                    let is_less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
                    _mm512_mask_blend_ps(is_less, otherwise, then)
                }
            }

            #[inline(always)]
            fn power_of_two(self, n: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe {
                    let biased = _mm512_add_epi32(_mm512_castps_si512(n), _mm512_set1_epi32(127));
                    _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
                }
            }

            #[inline(always)]
            fn transpose(self, square: &mut [__m512]) {
                // SAFETY: as above.
                unsafe { transpose(square) }
            }

            #[inline(always)]
            fn multiply_add(self, $acc: __m512, $a: __m512, $b: __m512) -> __m512 {
                // SAFETY: as above.
                unsafe { $multiply_add }
            }
        }
    };
}

/// The mask of the first `count` lanes, at most sixteen.
#[inline(always)]
fn first_lanes(count: usize) -> u16 {
    u16::MAX >> (16 - count)
}

/// First 4 × 4 squares of lanes within each quarter of the registers, then 4 × 4 squares of quarters.
#[target_feature(enable = "avx512f")]
#[inline]
fn transpose(square: &mut [__m512]) {
    let (fours, []) = square.as_chunks_mut::<4>() else {
        unreachable!("a square of registers has as many as one has lanes")
    };
    // Quarter `q` of register `4 i + j` is then column `4 q + j` of rows `4 i` to `4 i + 3`.
    for four in &mut *fours {
        let &mut [a, b, c, d] = four;
        let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        *four = [
            _mm512_shuffle_ps::<0x44>(ab_low, cd_low),
            _mm512_shuffle_ps::<0xee>(ab_low, cd_low),
            _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
            _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
        ];
    }
    let [first, second, third, fourth] = fours else {
        unreachable!("sixteen registers are four times four")
    };
    let fours = first.iter_mut().zip(second).zip(third).zip(fourth);
    for (((a, b), c), d) in fours {
        let ab_low = _mm512_shuffle_f32x4::<0x44>(*a, *b);
        let ab_high = _mm512_shuffle_f32x4::<0xee>(*a, *b);
        let cd_low = _mm512_shuffle_f32x4::<0x44>(*c, *d);
        let cd_high = _mm512_shuffle_f32x4::<0xee>(*c, *d);
        *a = _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low);
        *b = _mm512_shuffle_f32x4::<0xdd>(ab_low, cd_low);
        *c = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
        *d = _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high);
    }
}

avx512_register!(Avx512, |acc, a, b| _mm512_add_ps(acc, _mm512_mul_ps(a, b)));
avx512_register!(Avx512Fma, |acc, a, b| _mm512_fmadd_ps(a, b, acc));

//! Adding a gradient to fixed-point sums: `sums += round(values * scale)`, halves to even.
//!
//! The rounding is that of [`fixed_point::quantize`]; every version here equals it for values that fit.
#![allow(
    unsafe_code,
    reason = "SIMD conversion with the rounding that fixed point wants"
)]

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use tabswarm_model::fixed_point;

/// Adds each quantized value to its sum. The caller has checked that every `|value * scale| <= 2^24` and
/// that the sums have room.
pub(crate) fn add_quantized(values: &[f32], scale: f32, sums: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 is there, as just checked.
        unsafe { add_avx2(values, scale, sums) };
        return;
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    add_simd128(values, scale, sums);
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    add_generic(values, scale, sums);
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn add_generic(values: &[f32], scale: f32, sums: &mut [i32]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += fixed_point::quantize(value, scale);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2(values: &[f32], scale: f32, sums: &mut [i32]) {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_cvtps_epi32, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps,
        _mm256_set1_ps, _mm256_storeu_si256,
    };
    let scales = _mm256_set1_ps(scale);
    let (values, values_rest) = values.as_chunks::<8>();
    let (sums, sums_rest) = sums.as_chunks_mut::<8>();
    for (sum, value) in sums.iter_mut().zip(values) {
        let to = sum.as_mut_ptr().cast();
        // SAFETY: both chunks hold eight values of four bytes. The conversion rounds halves to even, the
        // mode that Rust requires to be set.
        unsafe {
            let product = _mm256_mul_ps(_mm256_loadu_ps(value.as_ptr()), scales);
            let quantized = _mm256_cvtps_epi32(product);
            _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), quantized));
        }
    }
    add_generic(values_rest, scale, sums_rest);
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn add_simd128(values: &[f32], scale: f32, sums: &mut [i32]) {
    use std::arch::wasm32::{
        f32x4_mul, f32x4_nearest, f32x4_splat, i32x4_add, i32x4_trunc_sat_f32x4, v128_load,
        v128_store,
    };
    let scales = f32x4_splat(scale);
    let (values, values_rest) = values.as_chunks::<4>();
    let (sums, sums_rest) = sums.as_chunks_mut::<4>();
    for (sum, value) in sums.iter_mut().zip(values) {
        // SAFETY: both chunks hold four values of four bytes; wasm needs no alignment.
        unsafe {
            let product = f32x4_mul(v128_load(value.as_ptr().cast()), scales);
            let quantized = i32x4_trunc_sat_f32x4(f32x4_nearest(product));
            let to = sum.as_mut_ptr().cast();
            v128_store(to, i32x4_add(v128_load(to), quantized));
        }
    }
    for (sum, &value) in sums_rest.iter_mut().zip(values_rest) {
        *sum += tabswarm_model::fixed_point::quantize(value, scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tabswarm_model::fixed_point::{MICRO_BATCH_LIMIT, quantize, scale};

    #[test]
    fn halves_round_to_even_and_the_limits_are_exact() {
        let limit = MICRO_BATCH_LIMIT as f32;
        let values = [
            0.5,
            1.5,
            2.5,
            -0.5,
            -1.5,
            -2.5,
            0.499_999_97,
            limit,
            -limit,
            8_388_607.5,
            0.0,
            1e-45,
        ];
        let mut sums = [7; 12];
        add_quantized(&values, 1.0, &mut sums);
        let expected = [0, 2, 2, 0, -2, -2, 0, 1 << 24, -(1 << 24), 8_388_608, 0, 0];
        assert_eq!(sums.map(|sum| sum - 7), expected);
    }

    proptest! {
        #[test]
        fn equals_the_reference(
            values in prop::collection::vec(-1.0_f32..=1.0, 0..70), exponent in -30_i8..=24
        ) {
            let scale = scale(exponent);
            let held: Vec<i32> = (0..70).take(values.len()).collect();
            let mut sums = held.clone();
            let expected: Vec<i32> =
                sums.iter().zip(&values).map(|(sum, &value)| sum + quantize(value, scale)).collect();
            add_quantized(&values, scale, &mut sums);
            prop_assert_eq!(&sums, &expected);
            let mut generic = held.clone();
            add_generic(&values, scale, &mut generic);
            prop_assert_eq!(&generic, &expected);
        }
    }
}

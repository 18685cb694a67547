//! The largest magnitude of a slice, found on the bits.
#![allow(
    unsafe_code,
    reason = "calls of a function compiled for AVX2, after detection"
)]

/// The bits of infinity; magnitudes at or above are infinite or not numbers.
const INFINITY_BITS: i32 = 0x7f80_0000;
/// Everything but the sign.
const MAGNITUDE_MASK: u32 = 0x7fff_ffff;

/// The largest `|x|`, zero for an empty slice; none if any value is infinite or not a number.
///
/// Magnitudes compare like the integers of their bits, and an integer maximum may be taken in any order,
/// so this vectorizes without giving up a defined result.
pub(crate) fn largest_magnitude(values: &[f32]) -> Option<f32> {
    let bits = largest_bits(values);
    (bits < INFINITY_BITS).then(|| f32::from_bits(bits.cast_unsigned()))
}

fn largest_bits(values: &[f32]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 is there, as just checked.
        return unsafe { largest_bits_avx2(values) };
    }
    largest_bits_inline(values)
}

/// The same code compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn largest_bits_avx2(values: &[f32]) -> i32 {
    largest_bits_inline(values)
}

#[inline]
fn largest_bits_inline(values: &[f32]) -> i32 {
    let magnitudes = values
        .iter()
        .map(|value| (value.to_bits() & MAGNITUDE_MASK).cast_signed());
    magnitudes.fold(0, i32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_largest_and_refuses_non_finite_values() {
        assert_eq!(largest_magnitude(&[]), Some(0.0));
        assert_eq!(largest_magnitude(&[-0.0]), Some(0.0));
        assert_eq!(largest_magnitude(&[1.0, -3.5, 2.0]), Some(3.5));
        assert_eq!(largest_magnitude(&[f32::MAX, 1.0]), Some(f32::MAX));
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN] {
            let mut values = [0.5; 37];
            values[29] = bad;
            assert_eq!(largest_magnitude(&values), None);
        }
    }
}

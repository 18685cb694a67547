//! `exp` for arguments that are not positive, with the same bits everywhere.
//!
//! Only correctly rounded operations and integer shifts are used, in one order and without branches that
//! depend on the machine, so every compiler and CPU gives the same bits; it also vectorizes.

/// Below this the result would be subnormal; it is taken as zero.
const SMALLEST_ARGUMENT: f32 = -87.0;
/// 1.5 · 2^23: adding it leaves the nearest integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has few bits, so that its small multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Minimax coefficients of (exp(r) - 1 - r) / r² on |r| <= ln 2 / 2, highest power first (from Cephes).
const COEFFICIENTS: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    5e-1,
];

/// `exp(x)` for `x <= 0`, within 2 units in the last place; zero below -87. Not-a-number stays so.
#[inline]
pub(super) fn exp_nonpositive(x: f32) -> f32 {
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut poly = COEFFICIENTS[0];
    for c in &COEFFICIENTS[1..] {
        poly = poly * r + c;
    }
    let mantissa = poly * (r * r) + r + 1.0;
    // The low bits of `rounded` are n; the shift moves n + bias into the exponent and drops the rest.
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < SMALLEST_ARGUMENT {
        0.0
    } else {
        mantissa * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        let mut worst = 0.0_f64;
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let ulp = exact * f64::from(f32::EPSILON) / 2.0;
            worst = worst.max((f64::from(exp_nonpositive(x)) - exact).abs() / ulp);
        }
        assert!(worst <= 2.0, "off by {worst} half units relative");
    }

    #[test]
    fn edges() {
        assert_eq!(exp_nonpositive(0.0).to_bits(), 1.0_f32.to_bits());
        assert_eq!(exp_nonpositive(-0.0).to_bits(), 1.0_f32.to_bits());
        assert!(exp_nonpositive(SMALLEST_ARGUMENT) >= f32::MIN_POSITIVE);
        for x in [-87.1, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp_nonpositive(x).to_bits(), 0);
        }
        assert!(exp_nonpositive(f32::NAN).is_nan());
    }

    #[test]
    fn known_bits() {
        let bits = [-0.1, -1.0, -5.5, -20.25, -86.9].map(|x| exp_nonpositive(x).to_bits());
        assert_eq!(
            bits,
            [
                0x3f67_a36d,
                0x3ebc_5ab2,
                0x3b85_ea53,
                0x30dc_9ef1,
                0x00c6_0f89
            ]
        );
    }
}

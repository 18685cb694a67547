//! The one way from `f64` to `f32`.

/// Rounds to the nearest `f32`, ties to even: one correctly rounded IEEE operation, the same bits everywhere.
/// What is beyond `f32`'s range becomes infinite and is caught where parameters are checked.
#[inline(always)]
pub(crate) fn narrow(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding is the purpose of this function"
    )]
    let rounded = value as f32;
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_and_saturates_to_infinity() {
        let unit = f64::from(f32::EPSILON);
        let cases = [
            (1.0 + unit / 2.0, 1.0),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * f32::EPSILON),
            (1.0 + 0.51 * unit, 1.0 + f32::EPSILON),
            (-1e300, f32::NEG_INFINITY),
            (1e-60, 0.0),
        ];
        for (value, expected) in cases {
            assert_eq!(narrow(value).to_bits(), f32::to_bits(expected), "{value}");
        }
    }
}

//! How well two gradients agree.

/// Cosine and relative difference of a gradient and what it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// 1 for the same direction; 1 where both are zero.
    pub cosine: f64,
    /// Length of the difference relative to what it should be; infinite where only that is zero.
    pub difference: f64,
}

impl Agreement {
    /// Compares values.
    pub fn of(got: &[f32], expected: &[f32]) -> Self {
        let (mut dot, mut squares, mut of_got, mut of_expected) = (0.0, 0.0, 0.0, 0.0);
        for (got, expected) in got.iter().zip(expected) {
            let [a, b] = [f64::from(*got), f64::from(*expected)];
            dot += a * b;
            squares += (a - b) * (a - b);
            of_got += a * a;
            of_expected += b * b;
        }
        if squares <= 0.0 {
            return Self {
                cosine: 1.0,
                difference: 0.0,
            };
        }
        Self {
            cosine: dot / (of_got * of_expected).sqrt(),
            difference: (squares / of_expected).sqrt(),
        }
    }

    /// Whether one may stand for the other; false where anything is not a number.
    pub fn holds(self, cosine: f64, difference: f64) -> bool {
        self.cosine >= cosine && self.difference <= difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_opposite_zero_and_broken_vectors() {
        let holds =
            |got: &[f32], expected: &[f32]| Agreement::of(got, expected).holds(0.9999, 1e-4);
        assert!(holds(&[1.0, 2.0], &[1.0, 2.0]));
        assert!(holds(&[0.0, 0.0], &[0.0, 0.0]));
        assert!(holds(&[1.0, 2.000_01], &[1.0, 2.0]));
        assert!(!holds(&[-1.0, -2.0], &[1.0, 2.0]));
        assert!(!holds(&[1.01, 2.02], &[1.0, 2.0]));
        assert!(!holds(&[0.0, 0.0], &[1.0, 2.0]));
        assert!(!holds(&[1.0, 2.0], &[0.0, 0.0]));
        assert!(!holds(&[f32::NAN, 2.0], &[1.0, 2.0]));
    }
}

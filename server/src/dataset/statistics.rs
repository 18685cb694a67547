//! Mean, spread and range of numbers that come one at a time.

use tabswarm_model::run_file::Scaling;

/// Of the numbers so far, in the order in which they came (Welford, 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Statistics {
    count: u64,
    mean: f64,
    squares: f64,
    range: Option<[f64; 2]>,
}

impl Statistics {
    /// Takes a number up.
    pub(super) fn add(&mut self, number: f64) {
        self.count += 1;
        let before = number - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (number - self.mean);
        let [low, high] = self.range.unwrap_or([number; 2]);
        self.range = Some([low.min(number), high.max(number)]);
    }

    /// Their mean; 0 if there are none.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// The smallest and the largest; none if there are none.
    pub(super) fn range(&self) -> Option<[f64; 2]> {
        self.range
    }

    /// What to subtract and what to divide by. Where all numbers are equal, the divisor is 1.
    pub(super) fn scaling(&self, scaling: Scaling) -> [f64; 2] {
        let [low, high] = self.range.unwrap_or_default();
        let [shift, scale] = match scaling {
            Scaling::None => [0.0, 1.0],
            Scaling::Standard => [self.mean, (self.squares / self.count.max(1) as f64).sqrt()],
            Scaling::Range => [low, high - low],
        };
        let is_usable = scale.is_finite() && scale > f64::MIN_POSITIVE && low < high;
        [
            shift,
            if is_usable || scaling == Scaling::None {
                scale
            } else {
                1.0
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether both numbers are these but for rounding.
    fn is(got: [f64; 2], expected: [f64; 2]) -> bool {
        got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-12)
    }

    #[test]
    fn scaling_follows_from_the_numbers() {
        let mut statistics = Statistics::default();
        assert!(is(statistics.scaling(Scaling::Standard), [0.0, 1.0]));
        for number in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            statistics.add(number);
        }
        assert!(is(statistics.scaling(Scaling::Standard), [5.0, 2.0]));
        assert!(is(statistics.scaling(Scaling::Range), [2.0, 7.0]));
        assert!(is(statistics.scaling(Scaling::None), [0.0, 1.0]));
        let mut constant = Statistics::default();
        (0..3).for_each(|_| constant.add(0.1));
        assert!(is(constant.scaling(Scaling::Standard), [0.1, 1.0]));
    }
}

//! How fast a worker is: what it did before tells how long a lease will take, and how long to wait for it.

use std::collections::VecDeque;

use crate::limits::{
    DEADLINE_SPREADS, FIRST_DEADLINE_MS, MAX_DEADLINE_MS, MIN_DEADLINE_MS, RATE_WEIGHT,
    REMEMBERED_DURATIONS, SETTLED_LEASES,
};

/// A worker's measured speed for its run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Speed {
    /// Time of a unit, in ms; none before the first answer.
    per_unit_ms: Option<f64>,
    /// Time of a lease besides computing: the way there and back, and waiting.
    overhead_ms: f64,
    /// Durations of the newest leases, as multiples of what was expected.
    ratios: VecDeque<f64>,
}

impl Speed {
    /// Takes note of a lease: its units, how long it took in all, and how much of that its lanes computed.
    pub(crate) fn measure(&mut self, units: u32, elapsed_ms: u64, computed_ms: f64) {
        // Clocks tick in milliseconds: what took none took half of one on average.
        let elapsed_ms = (elapsed_ms as f64).max(0.5);
        // The worker says how long it computed: no more than there was time for.
        let computed_ms = if computed_ms.is_finite() {
            computed_ms.clamp(elapsed_ms / 100.0, elapsed_ms)
        } else {
            elapsed_ms
        };
        if let Some(expected) = self.expected_ms(units) {
            if self.ratios.len() == REMEMBERED_DURATIONS {
                self.ratios.pop_front();
            }
            self.ratios.push_back(elapsed_ms / expected);
        }
        let per_unit = computed_ms / f64::from(units.max(1));
        let overhead = elapsed_ms - computed_ms;
        let blend = |known: f64, newest: f64| known + RATE_WEIGHT * (newest - known);
        self.overhead_ms = match self.per_unit_ms {
            Some(_) => blend(self.overhead_ms, overhead),
            None => overhead,
        };
        self.per_unit_ms = Some(match self.per_unit_ms {
            Some(known) => blend(known, per_unit),
            None => per_unit,
        });
    }

    /// A lease was not answered in time: the worker is slower than thought.
    pub(crate) fn slower(&mut self) {
        self.per_unit_ms = self.per_unit_ms.map(|known| known * 2.0);
    }

    /// Units per ms while it computes.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.per_unit_ms.map(|per_unit| 1.0 / per_unit.max(1e-6))
    }

    /// The rate, once it was seen often enough to judge by it.
    pub(crate) fn settled_rate(&self) -> Option<f64> {
        self.rate().filter(|_| self.ratios.len() >= SETTLED_LEASES)
    }

    /// Time besides computing, in ms.
    pub(crate) fn overhead_ms(&self) -> f64 {
        self.overhead_ms
    }

    /// How long a lease is expected to take, in ms; none if nothing is known.
    pub(crate) fn expected_ms(&self, units: u32) -> Option<f64> {
        let per_unit = self.per_unit_ms?;
        Some((self.overhead_ms + per_unit * f64::from(units)).max(0.5))
    }

    /// How long to wait for a lease before others may have its work: what such leases took, at the median, and
    /// some of the usual deviations from it.
    pub(crate) fn deadline_ms(&self, units: u32) -> u64 {
        let Some(expected) = self.expected_ms(units) else {
            return FIRST_DEADLINE_MS;
        };
        let (median, deviation) = self.spread();
        let wait = expected * (median + DEADLINE_SPREADS * deviation);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates"
        )]
        let wait = wait as u64;
        MIN_DEADLINE_MS.saturating_add(wait).min(MAX_DEADLINE_MS)
    }

    /// Median of the ratios, and median absolute deviation from it; generous while few are known.
    fn spread(&self) -> (f64, f64) {
        let mut ratios: Vec<f64> = self.ratios.iter().copied().collect();
        if ratios.len() < 3 {
            return (1.0, 0.5);
        }
        let mid = median(&mut ratios);
        let mut deviations: Vec<f64> = ratios.iter().map(|ratio| (ratio - mid).abs()).collect();
        // A worker as regular as clockwork may still stumble.
        (mid, median(&mut deviations).max(0.1))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(durations: &[u64]) -> Speed {
        let mut speed = Speed::default();
        for &elapsed in durations {
            speed.measure(10, elapsed, elapsed as f64 * 0.8);
        }
        speed
    }

    #[test]
    fn leases_are_split_into_computing_and_the_rest() {
        let speed = measured(&[100; 30]);
        assert!((speed.rate().unwrap() - 0.125).abs() < 1e-9);
        assert!((speed.overhead_ms() - 20.0).abs() < 1e-9);
        assert!((speed.expected_ms(20).unwrap() - 180.0).abs() < 1e-6);
    }

    #[test]
    fn deadlines_follow_the_worker() {
        assert_eq!(Speed::default().deadline_ms(1), FIRST_DEADLINE_MS);
        let regular = measured(&[1_000; 30]).deadline_ms(10);
        let erratic = measured(&[500, 3_000, 800, 2_500, 1_000, 4_000, 600]).deadline_ms(10);
        assert!(regular < MIN_DEADLINE_MS + 2_000, "{regular}");
        assert!(erratic > 2 * regular - MIN_DEADLINE_MS, "{erratic}");
        let mut slow = measured(&[1_000; 3]);
        (0..60).for_each(|_| slow.slower());
        assert_eq!(slow.deadline_ms(64), MAX_DEADLINE_MS);
    }

    #[test]
    fn what_workers_claim_is_kept_within_what_is_possible() {
        for claim in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
            let mut speed = Speed::default();
            speed.measure(10, 100, claim);
            let rate = speed.rate().unwrap();
            assert!((0.1..=10.1).contains(&rate), "{claim}: {rate}");
        }
    }
}

//! Learning-rate schedules: the rate of a step as a function of global progress.
//!
//! Time is counted in committed steps of the run, never in a worker's own steps, so that a schedule means
//! the same with one worker and with a thousand.

use std::f64::consts::PI;

use crate::rounding::narrow;

/// How the learning rate falls, as a factor of the initial rate at step `t` of `T`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// 1.
    Constant,
    /// `factor^floor(t / every_steps)`.
    Step {
        /// Length of a plateau.
        every_steps: u32,
        /// Factor between plateaus, in (0, 1].
        factor: f64,
    },
    /// `e^(-rate · t)`.
    Exponential {
        /// Per step.
        rate: f64,
    },
    /// `(1 - t / T)^power`; `power` 2 is the square schedule.
    Polynomial {
        /// Exponent.
        power: f64,
    },
    /// `(1 + cos(π · t / T)) / 2`.
    Cosine,
}

/// A decay with an optional linear warm-up in front.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Behind the warm-up; its `t` and `T` are counted from the end of the warm-up.
    pub decay: Decay,
    /// The rate rises linearly over so many steps: step `t` of them has the factor `(t + 1) / warmup_steps`.
    pub warmup_steps: u32,
}

impl Schedule {
    /// The factor of step `step` (from 0) of `steps_total`.
    pub fn factor(&self, step: u64, steps_total: u64) -> f64 {
        let warmup = u64::from(self.warmup_steps);
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let step = step - warmup;
        let total = steps_total.saturating_sub(warmup).max(1);
        let progress = (step as f64 / total as f64).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Step {
                every_steps,
                factor,
            } => libm::pow(factor, (step / u64::from(every_steps)) as f64),
            Decay::Exponential { rate } => libm::exp(-rate * step as f64),
            Decay::Polynomial { power } => libm::pow(1.0 - progress, power),
            Decay::Cosine => 0.5 * (1.0 + libm::cos(PI * progress)),
        }
    }

    /// The learning rate of step `step`.
    pub fn learning_rate(&self, initial: f32, step: u64, steps_total: u64) -> f32 {
        narrow(f64::from(initial) * self.factor(step, steps_total))
    }
}

#[cfg(test)]
#[expect(
    clippy::float_cmp,
    reason = "these values are exact: any difference is a mistake"
)]
mod tests {
    use super::*;

    /// (decay, warm-up steps, total, [(step, factor by hand)]).
    type Row = (Decay, u32, u64, &'static [(u64, f64)]);

    #[test]
    fn values_computed_by_hand() {
        let step = Decay::Step {
            every_steps: 30,
            factor: 0.1,
        };
        let rows: &[Row] = &[
            (Decay::Constant, 0, 100, &[(0, 1.0), (99, 1.0)]),
            (
                step,
                0,
                100,
                &[(0, 1.0), (29, 1.0), (30, 0.1), (60, 0.01), (90, 0.001)],
            ),
            // e^-1 and e^-0.25.
            (
                Decay::Exponential { rate: 0.01 },
                0,
                1_000,
                &[
                    (0, 1.0),
                    (100, 0.367_879_441_171_442_33),
                    (25, 0.778_800_783_071_404_9),
                ],
            ),
            // The square schedule: (1 - t/T)².
            (
                Decay::Polynomial { power: 2.0 },
                0,
                100,
                &[(0, 1.0), (50, 0.25), (75, 0.0625), (90, 0.01), (100, 0.0)],
            ),
            (
                Decay::Polynomial { power: 1.0 },
                0,
                8,
                &[(2, 0.75), (6, 0.25)],
            ),
            (Decay::Polynomial { power: 0.5 }, 0, 100, &[(75, 0.5)]),
            // cos(π/3) = 1/2, cos(π/2) = 0, cos(π) = -1.
            (
                Decay::Cosine,
                0,
                6,
                &[(0, 1.0), (2, 0.75), (3, 0.5), (6, 0.0)],
            ),
            (
                Decay::Constant,
                4,
                100,
                &[(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0)],
            ),
            // Warm-up first, then the decay over the remaining 10 steps.
            (
                Decay::Polynomial { power: 2.0 },
                10,
                20,
                &[(0, 0.1), (9, 1.0), (10, 1.0), (15, 0.25), (19, 0.01)],
            ),
            // Beyond the end nothing grows again.
            (Decay::Cosine, 0, 10, &[(1_000, 0.0)]),
        ];
        for (decay, warmup_steps, total, points) in rows {
            let schedule = Schedule {
                decay: *decay,
                warmup_steps: *warmup_steps,
            };
            for &(step, expected) in *points {
                let got = schedule.factor(step, *total);
                assert!(
                    (got - expected).abs() < 1e-12,
                    "{schedule:?} at step {step}: {got}, by hand {expected}"
                );
            }
        }
    }

    #[test]
    fn the_rate_is_the_initial_rate_times_the_factor() {
        let schedule = Schedule {
            decay: Decay::Polynomial { power: 2.0 },
            warmup_steps: 0,
        };
        assert_eq!(schedule.learning_rate(0.5, 50, 100), 0.125);
    }
}

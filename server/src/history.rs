//! The loss curve and the evaluations of a run, thinned so that they stay small however long it trains.

use serde::{Deserialize, Serialize};
use tabswarm_coordinator::mean_loss;
use tabswarm_store::ReplayedStep;
use utoipa::ToSchema;

/// Most points of the loss curve: more than a chart has pixels.
pub(crate) const MAX_STEP_POINTS: usize = 2_000;
/// Most evaluations kept.
pub(crate) const MAX_EVAL_POINTS: usize = 2_000;

/// Mean loss of the `stride` steps up to a version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepPoint {
    /// Version that the last of the steps made.
    pub(crate) version: u64,
    /// In nats.
    pub(crate) train_loss: f64,
}

/// One evaluation on the test set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvalPoint {
    /// Version of the parameters.
    pub(crate) version: u64,
    /// Mean loss in nats.
    pub(crate) loss: f64,
    /// Correct answers / samples.
    pub(crate) accuracy: f64,
}

/// Loss curve and evaluations. Points stand at multiples of the stride; when there are too many, neighbors
/// are merged and the stride doubles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    stride: u64,
    steps: Vec<StepPoint>,
    /// Sum of the losses since the last point.
    open_sum: f64,
    open_steps: u64,
    evals: Vec<EvalPoint>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            stride: 1,
            steps: Vec::new(),
            open_sum: 0.0,
            open_steps: 0,
            evals: Vec::new(),
        }
    }
}

impl History {
    /// Adds a committed step.
    pub(crate) fn push_step(&mut self, version: u64, train_loss: f64) {
        if !train_loss.is_finite() {
            return;
        }
        self.open_sum += train_loss;
        self.open_steps += 1;
        if version.is_multiple_of(self.stride) {
            let train_loss = self.open_sum / self.open_steps as f64;
            self.steps.push(StepPoint {
                version,
                train_loss,
            });
            (self.open_sum, self.open_steps) = (0.0, 0);
        }
        if self.steps.len() > MAX_STEP_POINTS {
            self.thin_steps();
        }
    }

    fn thin_steps(&mut self) {
        self.stride *= 2;
        let mut merged: Vec<StepPoint> = Vec::with_capacity(self.steps.len() / 2 + 1);
        let mut open: Option<StepPoint> = None;
        for point in self.steps.drain(..) {
            let mean = match open.take() {
                Some(first) => f64::midpoint(first.train_loss, point.train_loss),
                None => point.train_loss,
            };
            let point = StepPoint {
                train_loss: mean,
                ..point
            };
            if point.version.is_multiple_of(self.stride) {
                merged.push(point);
            } else {
                open = Some(point);
            }
        }
        self.steps = merged;
        if let Some(point) = open {
            let half = self.stride / 2;
            self.open_sum += point.train_loss * half as f64;
            self.open_steps += half;
        }
    }

    /// Adds an evaluation; one of the same version replaces it.
    pub(crate) fn push_eval(&mut self, point: EvalPoint) {
        let at = self
            .evals
            .partition_point(|eval| eval.version < point.version);
        match self.evals.get_mut(at) {
            Some(eval) if eval.version == point.version => *eval = point,
            _ => self.evals.insert(at, point),
        }
        if self.evals.len() > MAX_EVAL_POINTS {
            let last = self.evals.len() - 1;
            let mut idx = 0;
            self.evals.retain(|_| {
                idx += 1;
                idx % 2 == 0 || idx - 1 == last
            });
        }
    }

    /// Adds a step that was committed before a restart, unless the curve has it; one that was skipped with the loss
    /// before it.
    pub(crate) fn catch_up(&mut self, step: &ReplayedStep) {
        let (last, version) = (self.steps.last(), step.version.0);
        let newest = last.map_or(0, |point| point.version) + self.open_steps;
        if version > newest {
            let train_loss = if step.samples > 0 {
                mean_loss(step.loss_q20, step.samples)
            } else {
                last.map_or(f64::NAN, |point| point.train_loss)
            };
            self.push_step(version, train_loss);
        }
    }

    /// Forgets what is later than a version, after a restart from a snapshot.
    pub(crate) fn rewind(&mut self, version: u64) {
        let newest = self.steps.last().map_or(0, |point| point.version) + self.open_steps;
        self.steps.retain(|point| point.version <= version);
        self.evals.retain(|eval| eval.version <= version);
        if newest > version {
            (self.open_sum, self.open_steps) = (0.0, 0);
        }
    }

    /// The loss curve.
    pub(crate) fn steps(&self) -> &[StepPoint] {
        &self.steps
    }

    /// The evaluations, in order of their versions.
    pub(crate) fn evals(&self) -> &[EvalPoint] {
        &self.evals
    }

    /// The evaluation of a version.
    pub(crate) fn eval_of(&self, version: u64) -> Option<&EvalPoint> {
        self.evals.iter().find(|eval| eval.version == version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_stays_small_and_keeps_its_mean() {
        let mut history = History::default();
        for version in 1..=100_000 {
            history.push_step(version, version as f64);
        }
        assert!(history.steps.len() <= MAX_STEP_POINTS);
        assert!(history.steps.len() > MAX_STEP_POINTS / 4);
        let stride = history.stride;
        for (idx, point) in history.steps.iter().enumerate() {
            assert_eq!(point.version, (idx as u64 + 1) * stride);
            let mean = point.version as f64 - (stride - 1) as f64 / 2.0;
            assert!(
                (point.train_loss - mean).abs() < 1e-6,
                "{point:?}, expected {mean}"
            );
        }
    }

    #[test]
    fn the_newest_evaluation_is_never_thinned_away() {
        let mut history = History::default();
        for version in 1..=5_000 {
            history.push_eval(EvalPoint {
                version,
                loss: 1.0,
                accuracy: 0.5,
            });
            assert_eq!(history.evals.last().unwrap().version, version);
        }
        assert!(history.evals.len() <= MAX_EVAL_POINTS);
        assert!(history.evals.is_sorted_by_key(|eval| eval.version));
    }

    #[test]
    fn an_evaluation_may_come_twice_and_late() {
        let mut history = History::default();
        for (version, accuracy) in [(200, 0.2), (100, 0.1), (200, 0.3)] {
            history.push_eval(EvalPoint {
                version,
                loss: 1.0,
                accuracy,
            });
        }
        let evals: Vec<_> = history
            .evals
            .iter()
            .map(|eval| (eval.version, eval.accuracy))
            .collect();
        assert_eq!(evals, [(100, 0.1), (200, 0.3)]);
    }

    #[test]
    fn rewinding_forgets_later_points() {
        let mut history = History::default();
        for version in 1..=10 {
            history.push_step(version, 1.0);
            history.push_eval(EvalPoint {
                version,
                loss: 1.0,
                accuracy: 0.5,
            });
        }
        history.rewind(4);
        assert_eq!(history.steps.last().unwrap().version, 4);
        assert_eq!(history.evals.last().unwrap().version, 4);
        history.push_step(5, 2.0);
        assert_eq!(
            history.steps.last(),
            Some(&StepPoint {
                version: 5,
                train_loss: 2.0
            })
        );
    }
}

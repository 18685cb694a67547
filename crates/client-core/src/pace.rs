//! How fast lanes may go: the duty cycle, and the size of tasks.

use tabswarm_protocol::Timestamp;

use crate::limits::{MAX_REST_MS, SPEED_WEIGHT, TASK_TARGET_MS};

/// Duty cycle and measured speed.
#[derive(Debug)]
pub(crate) struct Pace {
    duty_percent: u8,
    ms_per_micro_batch: Option<f64>,
}

impl Pace {
    pub(crate) fn new(duty_percent: u8) -> Self {
        Self {
            duty_percent: duty_percent.clamp(1, 100),
            ms_per_micro_batch: None,
        }
    }

    pub(crate) fn set_duty(&mut self, duty_percent: u8) {
        self.duty_percent = duty_percent.clamp(1, 100);
    }

    /// Takes note of a task and says until when its lane rests.
    pub(crate) fn task_done(
        &mut self,
        now: Timestamp,
        micro_batches: u32,
        elapsed_us: u64,
    ) -> Timestamp {
        let elapsed_ms = elapsed_us as f64 / 1_000.0;
        let newest = elapsed_ms / f64::from(micro_batches.max(1));
        self.ms_per_micro_batch = Some(match self.ms_per_micro_batch {
            Some(known) => known + SPEED_WEIGHT * (newest - known),
            None => newest,
        });
        let duty = f64::from(self.duty_percent) / 100.0;
        let rest_ms = elapsed_ms * (1.0 / duty - 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, not negative"
        )]
        let rest_ms = (rest_ms.round() as u64).min(MAX_REST_MS);
        now + rest_ms
    }

    /// How many micro-batches the next task has when `waiting` are left for `lanes` lanes.
    pub(crate) fn task_size(&self, waiting: u32, lanes: u16) -> u32 {
        let share = waiting.div_ceil(u32::from(lanes.max(1)));
        let Some(ms_per_micro_batch) = self.ms_per_micro_batch else {
            return 1;
        };
        let fitting = TASK_TARGET_MS / ms_per_micro_batch.max(1e-3);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, not negative"
        )]
        let fitting = fitting as u32;
        share.min(fitting.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_rests_in_proportion() {
        let now = Timestamp(1_000);
        assert_eq!(Pace::new(100).task_done(now, 1, 30_000), now);
        assert_eq!(Pace::new(50).task_done(now, 1, 30_000), now + 30);
        assert_eq!(Pace::new(10).task_done(now, 1, 30_000), now + 270);
        assert_eq!(
            Pace::new(1).task_done(now, 1, 30_000_000),
            now + MAX_REST_MS
        );
    }

    #[test]
    fn tasks_are_short_and_shared_by_the_lanes() {
        let mut pace = Pace::new(100);
        assert_eq!(pace.task_size(64, 2), 1);
        pace.task_done(Timestamp(0), 1, 4_000);
        assert_eq!(pace.task_size(64, 2), 10);
        assert_eq!(pace.task_size(6, 4), 2);
        pace.task_done(Timestamp(0), 1, 900_000);
        assert_eq!(pace.task_size(64, 2), 1);
    }
}

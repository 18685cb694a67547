//! Leases: how many micro-batches a worker gets, and until when.

use tabswarm_model::fixed_point::MAX_LEASE_MICRO_BATCHES;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::{LeaseId, Timestamp, WorkerId};

use crate::limits::{DEADLINE_FACTOR, FIRST_DEADLINE_MS, MAX_DEADLINE_MS, MIN_DEADLINE_MS};

/// A lease that has not been answered.
#[derive(Debug, Clone)]
pub(crate) struct LeaseEntry {
    pub(crate) id: LeaseId,
    pub(crate) worker_id: WorkerId,
    pub(crate) range: MicroBatchRange,
    pub(crate) granted_at: Timestamp,
    pub(crate) deadline: Timestamp,
    /// The deadline passed or the worker is gone: its micro-batches are free for others, but an answer still
    /// counts while nobody else has them.
    pub(crate) lapsed: bool,
}

/// Size of each worker's lease, given their rates (micro-batches per ms; none if unknown) in the order of
/// handing out.
///
/// Every worker gets work in proportion to its rate and at least one micro-batch while there are enough, but
/// no more than it is expected to finish in `target_ms`. Workers of unknown speed get one to be measured by.
pub(crate) fn shares(n_free: u32, rates: &[Option<f64>], target_ms: u32) -> Vec<u32> {
    let mut free = n_free;
    let mut rate_left: f64 = rates.iter().flatten().sum();
    let mut workers_left = u32::try_from(rates.len()).expect("workers are bounded");
    let mut sizes = Vec::with_capacity(rates.len());
    for rate in rates {
        workers_left -= 1;
        let wanted = match rate {
            Some(rate) => {
                let proportional = f64::from(free) * rate / rate_left.max(f64::MIN_POSITIVE);
                rate_left -= rate;
                let in_time = (rate * f64::from(target_ms)).floor();
                at_least_one(proportional.round().min(in_time))
            }
            None => 1,
        };
        let kept_for_others = free.saturating_sub(workers_left).max(1);
        let size = wanted
            .min(kept_for_others)
            .min(free)
            .min(MAX_LEASE_MICRO_BATCHES);
        free -= size;
        sizes.push(size);
    }
    sizes
}

fn at_least_one(count: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let count = count as u32;
    count.max(1)
}

/// How long a worker may take for `count` micro-batches.
pub(crate) fn deadline_ms(count: u32, rate: Option<f64>) -> u64 {
    let Some(rate) = rate else {
        return FIRST_DEADLINE_MS;
    };
    let expected = f64::from(count) / rate.max(1e-9);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let deadline = (expected * DEADLINE_FACTOR) as u64;
    (MIN_DEADLINE_MS + deadline).min(MAX_DEADLINE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (free micro-batches, rates, target, sizes).
    type Row = (u32, &'static [Option<f64>], u32, &'static [u32]);

    #[test]
    fn sizes_follow_speed_and_leave_nobody_out() {
        let cases: &[Row] = &[
            (4, &[None], 1_000, &[1]),
            (4, &[Some(1.0)], 1_000, &[4]),
            (4, &[Some(1.0); 4], 1_000, &[1, 1, 1, 1]),
            (
                4,
                &[Some(10.0), Some(10.0), Some(1.0), Some(1.0)],
                1_000,
                &[1, 1, 1, 1],
            ),
            (40, &[Some(3.0), Some(1.0)], 1_000, &[30, 10]),
            (40, &[Some(3.0), Some(1.0)], 4, &[12, 4]),
            (2, &[Some(1.0); 4], 1_000, &[1, 1, 0, 0]),
            (1_000, &[Some(100.0)], 1_000, &[64]),
            (10, &[Some(0.001), None], 10, &[1, 1]),
        ];
        for (free, rates, target_ms, expected) in cases {
            assert_eq!(
                shares(*free, rates, *target_ms),
                *expected,
                "{free} {rates:?}"
            );
        }
    }

    #[test]
    fn deadlines_are_generous_and_bounded() {
        assert_eq!(deadline_ms(1, None), FIRST_DEADLINE_MS);
        assert_eq!(deadline_ms(4, Some(1.0)), MIN_DEADLINE_MS + 16);
        assert_eq!(deadline_ms(60, Some(0.001)), MIN_DEADLINE_MS + 240_000);
        assert_eq!(deadline_ms(64, Some(0.0)), MAX_DEADLINE_MS);
    }
}

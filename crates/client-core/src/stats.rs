//! What a worker did, for its owner.

use std::collections::{BTreeMap, VecDeque};

use tabswarm_protocol::Timestamp;
use tabswarm_protocol::server::{RejectReason, Verdict};

use crate::limits::SPEED_WINDOW_MS;

/// Counts since the session began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Samples whose gradients were computed.
    pub samples_computed: u64,
    /// Samples in accepted updates.
    pub samples_accepted: u64,
    /// Samples credited by the server, over all sessions of this worker.
    pub samples_credited: u64,
    /// Samples in rejected updates.
    pub samples_rejected: u64,
    /// Accepted updates.
    pub updates_accepted: u64,
    /// Rejected updates by reason.
    pub rejections: BTreeMap<RejectReason, u64>,
    /// Time from the start to the first accepted update.
    pub first_accepted_ms: Option<u64>,
    /// Time that lanes spent computing.
    pub compute_us: u64,
    recent: VecDeque<(Timestamp, u32, u64)>,
}

impl Stats {
    pub(crate) fn computed(&mut self, now: Timestamp, samples: u32, elapsed_us: u64) {
        self.samples_computed += u64::from(samples);
        self.compute_us += elapsed_us;
        self.recent.push_back((now, samples, elapsed_us));
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self
            .recent
            .front()
            .is_some_and(|(at, ..)| now.since_ms(*at) > SPEED_WINDOW_MS)
        {
            self.recent.pop_front();
        }
    }

    pub(crate) fn answered(&mut self, verdict: Verdict, samples: u32, since_start_ms: u64) {
        match verdict {
            Verdict::Accepted { samples } => {
                self.samples_accepted += u64::from(samples);
                self.updates_accepted += 1;
                self.first_accepted_ms.get_or_insert(since_start_ms);
            }
            Verdict::Rejected(reason) => {
                self.samples_rejected += u64::from(samples);
                *self.rejections.entry(reason).or_default() += 1;
            }
        }
    }

    /// Samples per second over the last seconds.
    pub fn samples_per_s(&self, now: Timestamp) -> f64 {
        let (samples, _, window_s) = self.window(now);
        samples as f64 / window_s
    }

    /// Share of the lanes' time spent computing over the last seconds, 0 to 1.
    pub fn busy_ratio(&self, now: Timestamp, lanes: u16) -> f64 {
        let (_, compute_us, window_s) = self.window(now);
        (compute_us as f64 / 1e6 / window_s / f64::from(lanes.max(1))).min(1.0)
    }

    fn window(&self, now: Timestamp) -> (u64, u64, f64) {
        let recent = self
            .recent
            .iter()
            .filter(|(at, ..)| now.since_ms(*at) <= SPEED_WINDOW_MS);
        let (mut samples, mut compute_us, mut first) = (0, 0, now);
        for &(at, n, us) in recent {
            samples += u64::from(n);
            compute_us += us;
            first = first.min(at);
        }
        // At least a second, so that the first task does not look like a record.
        (
            samples,
            compute_us,
            now.since_ms(first).max(1_000) as f64 / 1_000.0,
        )
    }
}

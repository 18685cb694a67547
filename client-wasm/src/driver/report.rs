//! The status that the page sees, and how often it sees it. The names are those of `contract.ts`.

use serde::Serialize;
use tabswarm_client_core::{State, Status, StopCode};
use tabswarm_protocol::Timestamp;
use tabswarm_protocol::client::PauseReason;
use tabswarm_protocol::server::IdleReason;

use super::limits::{STATUS_MAX_MS, STATUS_MIN_MS};
use crate::lane::BackendChoice;

/// A full picture of the session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SessionStatus {
    state: &'static str,
    reason: Option<String>,
    pause_reason: Option<&'static str>,
    retry_in_ms: Option<u64>,
    stop_code: Option<&'static str>,
    run: Option<String>,
    version: u64,
    steps_total: u64,
    loading: Option<Progress>,
    lease: Option<LeaseProgress>,
    samples_computed: u64,
    samples_accepted: u64,
    samples_credited: u64,
    samples_rejected: u64,
    rejections: Vec<Rejection>,
    bytes_up: u64,
    bytes_down: u64,
    samples_per_s: f64,
    busy_ratio: f64,
    lanes: u16,
    arithmetic_class: Option<&'static str>,
    backend: Option<Backend>,
    first_accepted_ms: Option<u64>,
}

/// Chunks that the lease waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    /// Here.
    pub(crate) done: usize,
    /// In all.
    pub(crate) total: usize,
}

/// What the lane that may have a GPU computes with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Backend {
    kind: &'static str,
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct LeaseProgress {
    done: u32,
    total: u32,
    samples: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Rejection {
    reason: &'static str,
    count: u64,
}

/// What the driver knows and the session does not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Name of the run.
    pub(crate) run: Option<String>,
    /// Version of the newest parameters.
    pub(crate) version: u64,
    /// Steps of the whole run.
    pub(crate) steps_total: u64,
    /// Chunks that the lease waits for.
    pub(crate) loading: Option<Progress>,
    /// Samples of the lease.
    pub(crate) lease_samples: u32,
    /// Micro-batches and samples of the last update.
    pub(crate) last_update: Option<(u32, u32)>,
    /// Bytes sent.
    pub(crate) bytes_up: u64,
    /// Bytes received.
    pub(crate) bytes_down: u64,
    /// The run's arithmetic.
    pub(crate) arithmetic_class: Option<&'static str>,
    /// When the session began, counted from the volunteer's click.
    pub(crate) started_at_ms: u64,
    /// Whether the session ends because the run is finished.
    pub(crate) run_finished: bool,
    /// What the lane that may have a GPU computes with.
    pub(crate) backend: Option<BackendChoice>,
}

impl SessionStatus {
    /// Puts the picture together.
    pub(crate) fn new(status: Status, around: Surroundings) -> Self {
        let stats = status.stats;
        let run_finished = around.run_finished && status.stop_code == Some(StopCode::Finished);
        let (reason, stop_code) = if run_finished {
            let reason = Some(IdleReason::RunFinished.explain().to_owned());
            (reason, Some("run_finished"))
        } else {
            (status.reason, status.stop_code.map(StopCode::as_str))
        };
        // Between two leases of some milliseconds a worker is never without one for the eye.
        let last_update = around
            .last_update
            .filter(|_| status.state == State::Computing);
        let lease = match (status.lease, last_update) {
            (Some((done, total)), _) => Some((done, total, around.lease_samples)),
            (None, Some((total, samples))) => Some((total, total, samples)),
            (None, None) => None,
        };
        let lease = lease.map(|(done, total, samples)| LeaseProgress {
            done,
            total,
            samples,
        });
        let rejection =
            |(reason, count): (tabswarm_protocol::server::RejectReason, u64)| Rejection {
                reason: reason.explain(),
                count,
            };
        Self {
            state: status.state.as_str(),
            reason,
            pause_reason: status.pause_reason.map(pause_word),
            retry_in_ms: status.retry_in_ms,
            stop_code,
            run: around.run,
            version: around.version,
            steps_total: around.steps_total,
            loading: around.loading.filter(|_| status.state == State::Loading),
            lease,
            samples_computed: stats.samples_computed,
            samples_accepted: stats.samples_accepted,
            samples_credited: stats.samples_credited,
            samples_rejected: stats.samples_rejected,
            rejections: stats.rejections.into_iter().map(rejection).collect(),
            bytes_up: around.bytes_up,
            bytes_down: around.bytes_down,
            samples_per_s: status.samples_per_s,
            busy_ratio: status.busy_ratio,
            lanes: status.lanes,
            arithmetic_class: around.arithmetic_class,
            backend: around.backend.map(|choice| Backend {
                kind: if choice.is_gpu { "gpu" } else { "cpu" },
                reason: choice.reason,
            }),
            first_accepted_ms: stats.first_accepted_ms.map(|ms| ms + around.started_at_ms),
        }
    }

    /// The JSON for the page.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a status has string keys only")
    }
}

fn pause_word(reason: PauseReason) -> &'static str {
    match reason {
        // The engine restarts while the owner's device does what its owner wants: no rule of the page.
        PauseReason::User | PauseReason::EngineRestart => "user",
        PauseReason::Hidden => "hidden",
        PauseReason::OnBattery => "on_battery",
        PauseReason::BatteryLow => "battery_low",
        PauseReason::DataCap => "data_cap",
    }
}

/// When the page is told: at once when something notable happened, else at most ten times a second, and once
/// a second in any case because speeds change by themselves. Of a stopped session it is told once.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    last: Option<Timestamp>,
    /// Whether something happened since.
    changed: bool,
    /// Whether that can't wait.
    notable: bool,
    stopped: bool,
}

impl Rhythm {
    /// Something happened.
    pub(crate) fn note(&mut self) {
        self.changed = true;
    }

    /// Something happened that the page shall hear of at once.
    pub(crate) fn hurry(&mut self) {
        self.notable = true;
    }

    /// Whether the page is to be told now.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.notable || self.last.is_none() || self.next_deadline().is_some_and(|at| at <= now)
    }

    /// The page was told.
    pub(crate) fn told(&mut self, now: Timestamp, stopped: bool) {
        *self = Self {
            last: Some(now),
            stopped,
            ..Self::default()
        };
    }

    /// When the page is to be told next, if nothing notable happens.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let wait_ms = if self.changed {
            STATUS_MIN_MS
        } else {
            STATUS_MAX_MS
        };
        self.last
            .filter(|_| !self.stopped)
            .map(|last| last + wait_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_in_rhythm() {
        let mut rhythm = Rhythm::default();
        assert!(rhythm.is_due(Timestamp(0)));
        rhythm.told(Timestamp(1_000), false);
        assert!(!rhythm.is_due(Timestamp(1_999)));
        assert!(rhythm.is_due(Timestamp(2_000)));
        rhythm.note();
        assert_eq!(rhythm.next_deadline(), Some(Timestamp(1_100)));
        assert!(!rhythm.is_due(Timestamp(1_099)));
        rhythm.hurry();
        assert!(rhythm.is_due(Timestamp(1_001)));
        rhythm.told(Timestamp(1_001), true);
        rhythm.note();
        assert_eq!(rhythm.next_deadline(), None);
        assert!(!rhythm.is_due(Timestamp(9_000)));
    }
}

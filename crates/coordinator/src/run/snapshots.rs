//! When a run's snapshots are taken: one at a time, and again after a failure.

use tabswarm_protocol::Timestamp;

use super::HostedRun;
use crate::effect::{Effect, SnapshotCause};
use crate::limits::SNAPSHOT_RETRY_MS;

/// At most one snapshot is being written; a further wish waits for it.
#[derive(Debug, Default)]
pub(super) struct SnapshotProgress {
    in_flight: Option<InFlight>,
    wanted: Option<SnapshotCause>,
    /// After a failure nothing is tried before it: a full disk does not empty at once.
    not_before: Timestamp,
}

#[derive(Debug)]
struct InFlight {
    sequence: u64,
    cause: SnapshotCause,
}

impl HostedRun {
    /// Whether a snapshot is being written.
    pub(super) fn is_snapshot_under_way(&self) -> bool {
        self.snapshot.in_flight.is_some()
    }

    /// Asks for a snapshot, now or when the one under way is written.
    pub(crate) fn want_snapshot(
        &mut self,
        now: Timestamp,
        cause: SnapshotCause,
        effects: &mut Vec<Effect>,
    ) {
        self.snapshot.wanted = Some(cause);
        self.begin_snapshot(now, effects);
    }

    /// Begins a snapshot that is wanted, if it can be begun now.
    pub(crate) fn begin_snapshot(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let waits = self.is_applying() || self.is_snapshot_under_way();
        if waits || now < self.snapshot.not_before {
            return;
        }
        if let Some(cause) = self.snapshot.wanted.take() {
            self.snapshot.in_flight = Some(InFlight {
                sequence: self.state.sequence,
                cause,
            });
            effects.push(Effect::TakeSnapshot {
                run_id: self.id,
                cause,
                state: self.state.clone(),
            });
        }
    }

    /// A snapshot is written or has failed; false if it is not the one under way.
    pub(crate) fn end_snapshot(
        &mut self,
        now: Timestamp,
        sequence: u64,
        durable: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let in_flight = self.snapshot.in_flight.take_if(|s| s.sequence == sequence);
        let Some(InFlight { cause, .. }) = in_flight else {
            return false;
        };
        if !durable {
            self.snapshot.wanted.get_or_insert(cause);
            self.snapshot.not_before = now + SNAPSHOT_RETRY_MS;
        }
        self.begin_snapshot(now, effects);
        true
    }
}

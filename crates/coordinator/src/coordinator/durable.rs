//! What becomes durable, and what can't: only then are workers answered and credited.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::server::{RejectReason, RevokeReason, Verdict};
use tabswarm_protocol::{RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send};
use crate::effect::Effect;
use crate::event::Event;
use crate::limits::CREDITED_EVERY_MS;
use crate::phase::RunPhase;
use crate::run_state::RunState;
use crate::undurable::Consequences;

impl Coordinator {
    pub(super) fn log_durable(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        sequence: u64,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(run) = self.runs.get_mut(&run_id)
            && run.degraded.take().is_some()
        {
            effects.push(Effect::Event(Event::LogRecovered { run_id }));
        }
        self.settle(now, run_id, sequence, effects);
    }

    pub(super) fn log_failed(&mut self, run_id: RunId, reason: String, effects: &mut Vec<Effect>) {
        if let Some(run) = self.runs.get_mut(&run_id) {
            if run.degraded.is_none() {
                let reason = reason.clone();
                effects.push(Effect::Event(Event::LogFailed { run_id, reason }));
            }
            run.degraded = Some(reason);
        }
    }

    pub(super) fn snapshot_ended(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        sequence: u64,
        durable: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        if run.end_snapshot(now, sequence, durable, effects) && durable {
            self.settle(now, run_id, sequence, effects);
        }
    }

    /// Answers and credits everything up to a log entry.
    fn settle(&mut self, now: Timestamp, run_id: RunId, sequence: u64, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let waited = run.waits_for_disk();
        let Some(settled) = run.undurable.settle(sequence) else {
            return;
        };
        let goes_on = waited && !run.waits_for_disk();
        let Consequences { owed, credits } = settled.consequences;
        for owed in &owed {
            let samples = owed.samples;
            let verdict = Verdict::Accepted { samples };
            self.answer(owed.worker_id, owed.lease_id, verdict, effects);
        }
        let credited: BTreeSet<Digest> = credits.iter().map(|(id, _)| *id).collect();
        effects.push(Effect::Credited {
            run_id,
            after: settled.after,
            through: settled.through,
            credits,
        });
        for identity in credited {
            if let Some(worker_id) = self.registry.by_identity(identity) {
                self.tell_credit(now, worker_id, effects);
            }
        }
        if goes_on {
            self.hand_out(now, run_id, effects);
        }
    }

    /// Tells a worker its credit, unless it heard of it a moment ago; the sweep makes up for that.
    pub(super) fn tell_credit(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        worker.credit_changed = true;
        let Some(connection) = worker.connection else {
            return;
        };
        if now.since_ms(worker.credited_at) < CREDITED_EVERY_MS {
            return;
        }
        worker.credit_changed = false;
        worker.credited_at = now;
        let identity = worker.identity;
        let samples = self.credited(identity);
        if let Some(worker) = self.registry.get(worker_id)
            && worker.credited != samples
        {
            worker.credited = samples;
            effects.push(send(connection, ServerMessage::Credited { samples }));
        }
    }

    /// Tells all workers the credit that they were not told at once.
    pub(super) fn tell_credits(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let changed: Vec<WorkerId> = self
            .registry
            .workers
            .values()
            .filter(|worker| worker.credit_changed && worker.connection.is_some())
            .map(|worker| worker.id)
            .collect();
        changed
            .into_iter()
            .for_each(|worker_id| self.tell_credit(now, worker_id, effects));
    }

    /// Whether a run rests, with everything of it on stable storage, so that it can be taken back.
    pub fn may_replace(&self, run_id: RunId) -> bool {
        self.runs
            .get(&run_id)
            .is_some_and(crate::run::HostedRun::may_be_replaced)
    }

    /// A run's credits as far as they are on stable storage, sorted by identity, and the last log entry in them.
    pub fn durable_credits(&self, run_id: RunId) -> Option<(u64, Vec<(Digest, u64)>)> {
        let run = self.runs.get(&run_id)?;
        Some(run.durable_credits())
    }

    pub(super) fn replace(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        (run, state): (Arc<Run>, RunState),
        params_digest: Digest,
        effects: &mut Vec<Effect>,
    ) {
        self.revoke_all(now, run_id, RevokeReason::RunStopped, effects);
        let Some(hosted) = self.runs.get_mut(&run_id) else {
            return;
        };
        let version = state.version;
        let went_back = version < hosted.version();
        let has_settings = *run != *hosted.spec;
        let void = hosted.replace(now, run, state, params_digest);
        let phase = hosted.phase();
        effects.push(Effect::ResetAccumulator { run_id });
        self.answer_void(void, RejectReason::Superseded, effects);
        if went_back {
            effects.push(Effect::Event(Event::RolledBack { run_id, version }));
        }
        if has_settings {
            effects.push(Effect::Event(Event::SettingsChanged { run_id, version }));
        }
        let reason = None;
        effects.push(Effect::Event(Event::PhaseChanged {
            run_id,
            phase,
            reason,
        }));
        // Versions that come again have other parameters than those that workers may hold.
        for worker in self.registry.workers.values_mut() {
            if worker.run_id == Some(run_id) {
                worker.params = None;
            }
        }
        debug_assert_ne!(phase, RunPhase::Running, "the run rests");
        if has_settings {
            self.assign_again(now, run_id, effects);
        }
        self.reassign(now, effects);
    }
}

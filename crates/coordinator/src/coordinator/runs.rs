//! Runs: creating, commanding, handing out, committing.

use tabswarm_protocol::server::{Lease, RejectReason, RevokeReason};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send, violated};
use crate::effect::{Effect, SnapshotCause};
use crate::event::Event;
use crate::input::{NewRun, StepOutcome};
use crate::invariants::InvariantId;
use crate::lease::{LeaseEntry, deadline_ms, shares};
use crate::phase::{RunCommand, RunPhase};
use crate::run::HostedRun;

impl Coordinator {
    pub(super) fn create_run(&mut self, now: Timestamp, new: NewRun, effects: &mut Vec<Effect>) {
        let run = HostedRun::new(new);
        let (run_id, phase) = (run.id, run.phase());
        self.runs.insert(run_id, run);
        let reason = None;
        effects.push(Effect::Event(Event::PhaseChanged {
            run_id,
            phase,
            reason,
        }));
        self.reassign(now, effects);
    }

    pub(super) fn command(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        command: RunCommand,
        effects: &mut Vec<Effect>,
    ) {
        let is_allowed = self
            .runs
            .get(&run_id)
            .is_some_and(|run| run.phase().allows(command));
        if !is_allowed {
            return;
        }
        let (phase, cause) = match command {
            RunCommand::Start => (RunPhase::Running, SnapshotCause::Started),
            RunCommand::Pause => (RunPhase::Paused, SnapshotCause::Paused),
            RunCommand::Stop => (RunPhase::Stopped, SnapshotCause::Stopped),
        };
        self.change_phase(now, run_id, phase, None, effects);
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.want_snapshot(now, cause, effects);
        }
    }

    pub(super) fn change_phase(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        phase: RunPhase,
        reason: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        run.enter(phase, reason.clone(), effects);
        effects.push(Effect::Event(Event::PhaseChanged {
            run_id,
            phase,
            reason,
        }));
        match phase {
            RunPhase::Paused => self.revoke_all(now, run_id, RevokeReason::RunPaused, effects),
            RunPhase::Stopped => self.abandon_step(now, run_id, effects),
            _ => {}
        }
        self.reassign(now, effects);
        let members: Vec<WorkerId> = self.members(run_id);
        members
            .into_iter()
            .for_each(|worker_id| self.notify_idle(worker_id, effects));
        self.hand_out(now, run_id, effects);
    }

    fn members(&self, run_id: RunId) -> Vec<WorkerId> {
        let workers = self.registry.workers.values();
        workers
            .filter(|worker| worker.run_id == Some(run_id))
            .map(|worker| worker.id)
            .collect()
    }

    pub(super) fn hand_out_everywhere(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let run_ids: Vec<RunId> = self.runs.keys().copied().collect();
        run_ids
            .into_iter()
            .for_each(|run_id| self.hand_out(now, run_id, effects));
    }

    /// Hands out leases of a worker's run.
    pub(super) fn hand_out_for(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(run_id) = self
            .registry
            .get(worker_id)
            .and_then(|worker| worker.run_id)
        {
            self.hand_out(now, run_id, effects);
        }
    }

    /// Leases the step's free micro-batches to the run's idle workers, fastest first.
    pub(super) fn hand_out(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get(&run_id).filter(|run| run.hands_out()) else {
            return;
        };
        if self.draining {
            return;
        }
        let mut idle: Vec<(WorkerId, Option<f64>)> = self
            .registry
            .workers
            .values()
            .filter(|worker| worker.run_id == Some(run_id) && worker.is_idle())
            .map(|worker| (worker.id, worker.rate))
            .collect();
        idle.sort_by(|(a_id, a), (b_id, b)| {
            b.partial_cmp(a)
                .unwrap_or(a_id.cmp(b_id))
                .then(a_id.cmp(b_id))
        });
        let rates: Vec<Option<f64>> = idle.iter().map(|(_, rate)| *rate).collect();
        let sizes = shares(run.step.n_free(), &rates, run.spec.lease_target_ms);
        for ((worker_id, rate), size) in idle.into_iter().zip(sizes) {
            if size > 0 {
                self.grant(now, run_id, worker_id, (size, rate), effects);
            }
        }
        if self.revoke_overtaken(now, run_id, effects) {
            // Their workers are idle now, and there may be more to do.
            self.hand_out(now, run_id, effects);
        }
    }

    fn grant(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        worker_id: WorkerId,
        (size, rate): (u32, Option<f64>),
        effects: &mut Vec<Effect>,
    ) {
        let (Some(run), Some(worker)) = (self.runs.get_mut(&run_id), self.registry.get(worker_id))
        else {
            return;
        };
        let lease_id = LeaseId(self.next_lease_id.wrapping_add(1));
        let (Some(range), Some(connection)) = (run.step.lease(lease_id, size), worker.connection)
        else {
            return;
        };
        self.next_lease_id = lease_id.0;
        let duration_ms = deadline_ms(range.count, rate);
        run.leases.insert(
            lease_id,
            LeaseEntry {
                id: lease_id,
                worker_id,
                range,
                granted_at: now,
                deadline: now + duration_ms,
                lapsed: false,
            },
        );
        worker.lease_id = Some(lease_id);
        worker.idle_notice = None;
        let version = run.version();
        if worker.params != Some(version) {
            worker.params = Some(version);
            effects.push(Effect::SendParams {
                connection,
                run_id,
                version,
            });
        }
        let lease = Lease {
            lease_id,
            run_id,
            version,
            range,
            exponents: run.lease_exponents(),
            deadline_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX),
        };
        effects.push(send(connection, ServerMessage::Lease(lease)));
        effects.push(Effect::Event(Event::LeaseGranted {
            lease_id,
            worker_id,
            first: range.first,
            count: range.count,
        }));
    }

    pub(super) fn step_applied(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        version: ParamVersion,
        outcome: StepOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id).filter(|run| run.applying) else {
            return;
        };
        if version.0 != run.version().0 + 1 {
            let detail = format!("step {version} was applied to {}", run.version());
            effects.push(violated(InvariantId::VersionPlusOne, detail));
            return;
        }
        match outcome {
            Ok(report) => {
                run.commit(now, &report, effects);
                effects.push(Effect::Event(Event::StepCommitted {
                    run_id,
                    version,
                    digest: report.digest,
                    train_loss: run.train_loss.unwrap_or_default(),
                    gradient_norm: report.gradient_norm,
                }));
                // A snapshot may have waited for the step.
                run.begin_snapshot(now, effects);
                self.after_commit(now, run_id, effects);
            }
            Err(diverged) => {
                run.applying = false;
                let void = run.step.restart();
                effects.push(Effect::ResetAccumulator { run_id });
                self.answer_void(void, RejectReason::Superseded, effects);
                let reason = Some(diverged.to_string());
                self.change_phase(now, run_id, RunPhase::Paused, reason, effects);
                if let Some(run) = self.runs.get_mut(&run_id) {
                    run.want_snapshot(now, SnapshotCause::Paused, effects);
                }
            }
        }
    }

    fn after_commit(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        // Lapsed leases of the step that is over.
        self.revoke_all(now, run_id, RevokeReason::Expired, effects);
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let version = run.version();
        let is_due = |every: u32| version.0.is_multiple_of(u64::from(every));
        let finished = run.is_over();
        if finished || is_due(run.spec.evaluate_every_steps) {
            effects.push(Effect::Evaluate { run_id, version });
        }
        if finished {
            self.change_phase(now, run_id, RunPhase::Finished, None, effects);
            if let Some(run) = self.runs.get_mut(&run_id) {
                run.want_snapshot(now, SnapshotCause::Finished, effects);
            }
            return;
        }
        if is_due(run.spec.snapshot_every_steps) {
            run.want_snapshot(now, SnapshotCause::Interval, effects);
        }
        self.hand_out(now, run_id, effects);
    }

    /// The step in progress will not be finished.
    fn abandon_step(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        self.revoke_all(now, run_id, RevokeReason::RunStopped, effects);
        let Some(run) = self.runs.get_mut(&run_id).filter(|run| !run.applying) else {
            // It is complete, and counts.
            return;
        };
        let void = run.step.restart();
        effects.push(Effect::ResetAccumulator { run_id });
        self.answer_void(void, RejectReason::RunInactive, effects);
    }

    pub(super) fn snapshot_for_shutdown(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for run in self.runs.values_mut() {
            if run.phase() == RunPhase::Running {
                run.want_snapshot(now, SnapshotCause::Shutdown, effects);
            }
        }
    }
}

//! Runs: creating, commanding, handing out, committing.

use tabswarm_protocol::server::{RejectReason, RevokeReason};
use tabswarm_protocol::{ParamVersion, RunId, Timestamp, WorkerId};

use super::{Coordinator, violated};
use crate::effect::{Effect, SnapshotCause};
use crate::event::Event;
use crate::input::{NewRun, StepOutcome};
use crate::invariants::InvariantId;
use crate::phase::{RunCommand, RunPhase};
use crate::run::HostedRun;

impl Coordinator {
    pub(super) fn create_run(&mut self, now: Timestamp, new: NewRun, effects: &mut Vec<Effect>) {
        let run = HostedRun::new(now, new);
        let (run_id, phase) = (run.id, run.phase());
        self.runs.insert(run_id, run);
        self.join_sharing(run_id);
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

    /// Pauses a run for a reason that an operator has to do something about.
    pub(super) fn pause_for(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        self.change_phase(now, run_id, RunPhase::Paused, Some(reason), effects);
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.want_snapshot(now, SnapshotCause::Paused, effects);
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
            RunPhase::Running => {
                self.forget_diverged(run_id);
                self.join_sharing(run_id);
            }
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

    pub(super) fn members(&self, run_id: RunId) -> Vec<WorkerId> {
        let workers = self.registry.workers.values();
        workers
            .filter(|worker| worker.run_id == Some(run_id))
            .map(|worker| worker.id)
            .collect()
    }

    pub(super) fn step_applied(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        version: ParamVersion,
        outcome: StepOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id).filter(|run| run.is_applying()) else {
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
                    train_loss: run.train_loss.unwrap_or(f64::NAN),
                    gradient_norm: report.gradient_norm,
                }));
                // A snapshot may have waited for the step.
                run.begin_snapshot(now, effects);
                self.after_commit(now, run_id, effects);
            }
            Err(diverged) => {
                let void = run.undo();
                effects.push(Effect::ResetAccumulator { run_id });
                self.answer_void(void, RejectReason::Superseded, effects);
                self.pause_for(now, run_id, diverged.to_string(), effects);
            }
        }
    }

    fn after_commit(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        // Lapsed leases of the round that is over, and hedges. Batches of a stream go on.
        if self.runs.get(&run_id).is_some_and(HostedRun::has_rounds) {
            self.revoke_all(now, run_id, RevokeReason::Expired, effects);
        }
        self.forget_diverged(run_id);
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let version = run.version();
        let is_due = |every: u32| run.plan.is_due(version.0, every);
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
        let Some(run) = self.runs.get_mut(&run_id).filter(|run| !run.is_applying()) else {
            // It is complete, and counts.
            return;
        };
        let void = run.restart_round();
        effects.push(Effect::ResetAccumulator { run_id });
        self.answer_void(void, RejectReason::RunInactive, effects);
    }

    pub(super) fn snapshot_for_shutdown(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for run in self.runs.values_mut() {
            if run.is_running() {
                run.want_snapshot(now, SnapshotCause::Shutdown, effects);
            }
        }
    }
}

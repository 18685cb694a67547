//! What the ledger is told: credits whole, who was seen, what happened. Nothing here waits for it.

use serde_json::json;
use tabswarm_coordinator::{Event, RunPhase};
use tabswarm_protocol::RunId;
use tabswarm_protocol::client::WorkerKind;
use tabswarm_store::RecoveryReport;

use super::{Actor, Origin};
use crate::ledger::{IdentityKind, Sighting, unix_ms};
use crate::limits::MAX_VIOLATION_EVENTS;
use crate::view::RunFacts;

impl Actor {
    /// Gives the ledger all durable credits of a run. Batches that come later join on to them.
    pub(super) fn reconcile(&self, run_id: RunId) {
        if self.ledger.read().is_err() {
            // Asked for again when it opens.
            return;
        }
        if let Some((sequence, credits)) = self.coordinator.durable_credits(run_id) {
            self.ledger.submit_reconcile(run_id, sequence, &credits);
        }
    }

    /// Gives the ledger the credits of a run whole, or those of all runs.
    pub(super) fn reconcile_wanted(&mut self, run_id: Option<RunId>) {
        match run_id {
            Some(run_id) => self.reconcile(run_id),
            None => self.reconcile_all(),
        }
    }

    /// The same for all runs, of which the ledger has not heard before.
    pub(super) fn reconcile_all(&self) {
        for (&run_id, run) in &self.runs {
            self.ledger.record_run(run_id, &run.facts.run.name);
            self.reconcile(run_id);
        }
    }

    /// A run is hosted from now on.
    pub(super) fn note_hosted(&self, facts: &RunFacts, origin: &Origin, report: &RecoveryReport) {
        let run_id = facts.run_id;
        self.ledger.record_run(run_id, &facts.run.name);
        match origin {
            Origin::Created => self.ledger.event("run-created", Some(run_id), &json!({})),
            Origin::Forked { of, at } => {
                let detail = json!({ "of": of, "version": at.0 });
                self.ledger.event("run-forked", Some(run_id), &detail);
            }
            // Told when that happened.
            Origin::Restored => {}
        }
        self.note_recovery(run_id, report);
    }

    /// What was wrong with a run's files.
    pub(super) fn note_recovery(&self, run_id: RunId, report: &RecoveryReport) {
        let event = |kind, detail| self.ledger.event(kind, Some(run_id), &detail);
        if report.torn_bytes > 0 {
            let (bytes, records) = (report.torn_bytes, report.torn_records);
            event("torn-tail", json!({ "bytes": bytes, "records": records }));
        }
        if let Some((had, rollback)) = &report.rolled_back {
            let detail = json!({ "version": rollback.version.0, "had": had.0, "reason": "the log has no updates" });
            event("run-rolled-back", detail);
        }
        for alarm in &report.alarms {
            let (path, problem) = (alarm.path.display().to_string(), &alarm.problem);
            event(
                "recovery-alarm",
                json!({ "path": path, "problem": problem }),
            );
        }
    }

    pub(super) fn note_failed_snapshot(&self, run_id: RunId, sequence: u64, problem: &str) {
        let detail = json!({ "sequence": sequence, "problem": problem });
        self.ledger.event("snapshot-failed", Some(run_id), &detail);
    }

    /// Events that an operator may look for later; those of workers and leases would bury them.
    pub(super) fn note_event(&mut self, event: &Event) {
        let (kind, run_id, detail) = match event {
            Event::WorkerJoined {
                identity,
                kind,
                software,
                ..
            } => {
                let sighting = Sighting {
                    kind: match kind {
                        WorkerKind::Browser => IdentityKind::Browser,
                        WorkerKind::Native => IdentityKind::Native,
                    },
                    software: software.clone(),
                    at_ms: unix_ms(),
                };
                return self.ledger.note_identity(*identity, &sighting);
            }
            Event::PhaseChanged {
                run_id,
                phase,
                reason,
            } => return self.note_phase(*run_id, *phase, reason.as_deref()),
            Event::LogFailed { run_id, reason } => {
                ("log-failed", Some(*run_id), json!({ "problem": reason }))
            }
            Event::LogRecovered { run_id } => ("log-recovered", Some(*run_id), json!({})),
            Event::RolledBack { run_id, version } => (
                "run-rolled-back",
                Some(*run_id),
                json!({ "version": version.0 }),
            ),
            Event::SettingsChanged { run_id, version } => (
                "run-settings-changed",
                Some(*run_id),
                json!({ "version": version.0 }),
            ),
            Event::LossOverflowed {
                run_id,
                version,
                exponent,
            } => (
                "loss-overflowed",
                Some(*run_id),
                json!({ "version": version.0, "exponent": exponent }),
            ),
            Event::RunRemoved { run_id } => ("run-archived", Some(*run_id), json!({})),
            Event::InvariantViolated { id, detail } => {
                if self.violations_noted >= MAX_VIOLATION_EVENTS {
                    return;
                }
                self.violations_noted += 1;
                let detail = json!({ "id": id.to_string(), "problem": detail });
                ("invariant-violated", None, detail)
            }
            Event::WorkerLeft { .. }
            | Event::Refused { .. }
            | Event::LeaseGranted { .. }
            | Event::LeaseLapsed { .. }
            | Event::UpdateAccepted { .. }
            | Event::UpdateRejected { .. }
            | Event::StepRestarted { .. }
            | Event::StepCommitted { .. } => return,
        };
        self.ledger.event(kind, run_id, &detail);
    }

    /// A phase that is new: a run that is restored is told to be in the one that it had.
    fn note_phase(&mut self, run_id: RunId, phase: RunPhase, reason: Option<&str>) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        if run.phase_noted == phase {
            return;
        }
        run.phase_noted = phase;
        let kind = match phase {
            RunPhase::Created => "run-created",
            RunPhase::Running => "run-started",
            RunPhase::Paused => "run-paused",
            RunPhase::Finished => "run-finished",
            RunPhase::Stopped => "run-stopped",
        };
        let status = self.coordinator.run_status(self.clock.now(), run_id);
        let version = status.map(|status| status.version.0);
        let detail = json!({ "version": version, "reason": reason });
        self.ledger.event(kind, Some(run_id), &detail);
    }
}

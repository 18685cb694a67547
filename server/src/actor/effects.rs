//! Carries out what the coordinator decided.

use std::sync::Arc;
use std::time::Instant;

use tabswarm_coordinator::{
    Change, ConnectionId, Effect, Event, Input, InvariantId, LogEntry, Payload, RunPhase, RunState,
    SnapshotCause,
};
use tabswarm_model::master::StepInput;
use tabswarm_protocol::{ParamVersion, RunId, ServerMessage};
use tracing::{debug, debug_span, error, info, warn};

use super::outbox::{Delivery, Outbound};
use super::{Actor, events};
use crate::evaluation::{self, Evaluated};
use crate::ledger::CreditBatch;
use crate::log_writer::{self, Logged};
use crate::snapshot_writer::{self, SnapshotJob, Written};
use crate::tensorboard;
use crate::traces::TARGET;
use crate::view::{RunView, View};

impl Actor {
    pub(super) fn handle_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.send(connection, message),
            Effect::SendParams {
                connection,
                run_id,
                version,
            } => self.send_params(connection, run_id, version),
            Effect::Close { connection } => {
                if self.outboxes.close(connection) == Delivery::TooSlow {
                    events::too_slow(connection.0, &self.metrics);
                }
            }
            Effect::Accumulate {
                run_id,
                first,
                payload,
            } => self.accumulate(run_id, first, payload),
            Effect::ResetAccumulator { run_id } => {
                if let Some(run) = self.runs.get_mut(&run_id) {
                    run.reset();
                }
            }
            Effect::ApplyStep {
                run_id,
                version,
                exponents,
                divisor,
                rate_factor,
            } => {
                let exponents = &exponents;
                let input = StepInput {
                    exponents,
                    divisor,
                    rate_factor,
                };
                self.apply(run_id, version, &input);
            }
            Effect::Append { run_id, entry } => self.append(run_id, entry),
            Effect::Evaluate { run_id, version } => self.evaluate(run_id, version),
            Effect::TakeSnapshot {
                run_id,
                cause,
                state,
            } => self.take_snapshot(run_id, cause, state),
            Effect::Credited {
                run_id,
                after,
                through,
                credits,
            } => self.ledger.credit(CreditBatch {
                run: run_id,
                after,
                through,
                deltas: credits,
            }),
            Effect::Event(event) => self.event(&event),
        }
    }

    fn send_params(&mut self, connection: ConnectionId, run_id: RunId, version: ParamVersion) {
        if let Some(run) = self.runs.get_mut(&run_id) {
            let frames = run.frames(version);
            self.deliver(connection, Outbound::Frames(frames));
        }
    }

    fn accumulate(&mut self, run_id: RunId, first: u32, payload: Payload) {
        if let Some(run) = self.runs.get_mut(&run_id)
            && !run.accumulate(first, payload)
        {
            let detail = format!("two updates of {run_id} begin at micro-batch {first}");
            let id = InvariantId::LeaseOnce;
            self.event(&Event::InvariantViolated { id, detail });
        }
    }

    pub(super) fn evaluate(&self, run_id: RunId, version: ParamVersion) {
        if let Some(run) = self.runs.get(&run_id) {
            let params = Arc::clone(run.params());
            self.evaluator.submit(evaluation::Job {
                run_id,
                version,
                params,
            });
        }
    }

    fn send(&mut self, connection: ConnectionId, message: ServerMessage) {
        let outbound = match &message {
            ServerMessage::Run(assignment) => match self.runs.get(&assignment.run_id) {
                Some(run) => Outbound::Assign {
                    edge: run.edge(),
                    traffic: Arc::clone(&run.traffic),
                    message,
                },
                None => return,
            },
            _ => Outbound::Message(message),
        };
        self.deliver(connection, outbound);
    }

    fn deliver(&mut self, connection: ConnectionId, outbound: Outbound) {
        if self.outboxes.deliver(connection, outbound) == Delivery::TooSlow {
            events::too_slow(connection.0, &self.metrics);
            self.follow_ups
                .push_back(Input::Disconnected { connection });
        }
    }

    fn apply(&mut self, run_id: RunId, version: ParamVersion, input: &StepInput<'_>) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let started = Instant::now();
        let span = debug_span!(target: TARGET, "apply", %run_id, %version);
        let outcome = span.in_scope(|| run.apply(input));
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.commit_us.add(elapsed_us);
        self.follow_ups.push_back(Input::StepApplied {
            run_id,
            version,
            outcome,
        });
    }

    fn take_snapshot(&mut self, run_id: RunId, cause: SnapshotCause, state: RunState) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let version = state.version;
        debug!(%run_id, %version, ?cause, "snapshot begun");
        run.waiting_snapshot = Some(Box::new(run.snapshot_job(state)));
        self.snapshots_pending += 1;
        // Everything before it may be durable already.
        let durable = run.durable;
        self.submit_snapshot(run_id, durable);
    }

    /// Gives a snapshot to the writer once the log holds everything that is in it: a snapshot counts as proof
    /// of that.
    fn submit_snapshot(&mut self, run_id: RunId, durable: u64) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let ready = |job: &mut Box<SnapshotJob>| job.snapshot.state.sequence <= durable;
        let Some(job) = run.waiting_snapshot.take_if(ready) else {
            return;
        };
        let sequence = job.snapshot.state.sequence;
        if !self.writer.submit(snapshot_writer::Job::Snapshot(job)) {
            warn!(%run_id, "snapshot skipped: the disk does not keep up");
            self.snapshot_failed(run_id, sequence, "the disk does not keep up");
        }
    }

    fn snapshot_failed(&mut self, run_id: RunId, sequence: u64, problem: &str) {
        self.note_failed_snapshot(run_id, sequence, problem);
        self.snapshots_pending = self.snapshots_pending.saturating_sub(1);
        self.metrics.snapshot_failures.add(1);
        self.follow_ups
            .push_back(Input::SnapshotFailed { run_id, sequence });
    }

    fn append(&mut self, run_id: RunId, entry: Box<LogEntry>) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let sums = match entry.change {
            Change::Step(_) => run.sums_for_log(&self.log.spare),
            Change::Phase { .. } | Change::RolledBack(_) | Change::Settings(_) => None,
        };
        self.log.submit(log_writer::Job::Append {
            run_id,
            entry,
            sums,
        });
    }

    pub(super) fn logged(&mut self, logged: Logged) {
        let Logged { run_id, outcome } = logged;
        match outcome {
            Ok(sequence) => {
                if let Some(run) = self.runs.get_mut(&run_id) {
                    run.durable = sequence;
                }
                self.submit_snapshot(run_id, sequence);
                self.handle(Input::LogDurable { run_id, sequence });
            }
            Err(reason) => {
                let waiting = self
                    .runs
                    .get_mut(&run_id)
                    .and_then(|run| run.waiting_snapshot.take());
                if let Some(job) = waiting {
                    self.snapshot_failed(run_id, job.snapshot.state.sequence, &reason);
                }
                self.handle(Input::LogFailed { run_id, reason });
            }
        }
    }

    pub(super) fn written(&mut self, written: Written) {
        let Written {
            run_id,
            sequence,
            outcome,
        } = written;
        match outcome {
            Ok(kept) => {
                self.snapshots_pending = self.snapshots_pending.saturating_sub(1);
                self.metrics.snapshots.add(1);
                debug!(%run_id, sequence, "snapshot durable");
                if let Some(run) = self.runs.get_mut(&run_id) {
                    run.snapshots = kept.snapshots.into();
                }
                let sequence_kept = kept.log_behind;
                self.log.submit(log_writer::Job::RemoveBehind {
                    run_id,
                    sequence: sequence_kept,
                });
                self.handle(Input::SnapshotDurable { run_id, sequence });
            }
            Err(problem) => {
                error!(%run_id, sequence, problem, "snapshot could not be written; free disk space or fix the data directory");
                self.snapshot_failed(run_id, sequence, &problem);
                self.handle_follow_ups();
            }
        }
    }

    pub(super) fn evaluated(&mut self, evaluated: Evaluated) {
        let Evaluated { run_id, outcome } = evaluated;
        let point = match outcome {
            Ok(point) => point,
            Err(problem) => {
                warn!(%run_id, problem, "evaluation failed");
                return;
            }
        };
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        run.evaluated(point);
        let job = tensorboard::Job::Evaluation { run_id, point };
        self.event_files.submit(job);
        let (version, loss, accuracy) = (point.version, point.loss, point.accuracy);
        info!(
            run = run.facts.run.name,
            version, loss, accuracy, "evaluated"
        );
        let (store, history) = (Arc::clone(&run.facts.store), Arc::clone(&run.history));
        let status = self.coordinator.run_status(self.clock.now(), run_id);
        if status.is_some_and(|status| status.phase != RunPhase::Running) {
            // No later snapshot may come that would store it.
            self.store(snapshot_writer::Job::History { store, history });
        }
        self.is_dirty = true;
    }

    pub(super) fn store(&self, job: snapshot_writer::Job) {
        if !self.writer.submit(job) {
            error!("a change could not be stored: the disk does not keep up");
        }
    }

    fn event(&mut self, event: &Event) {
        events::record(event, &self.metrics);
        self.note_event(event);
        match event {
            Event::StepCommitted {
                run_id,
                version,
                train_loss,
                ..
            } if train_loss.is_finite() => {
                if let Some(run) = self.runs.get_mut(run_id) {
                    run.committed(*version, *train_loss);
                    self.event_files.submit(tensorboard::Job::Step {
                        run_id: *run_id,
                        version: version.0,
                        train_loss: *train_loss,
                    });
                }
            }
            Event::PhaseChanged { .. } => {
                self.publish();
            }
            _ => {}
        }
    }

    /// Makes the state of all runs visible.
    pub(super) fn publish(&mut self) {
        let now = self.clock.now();
        let mut runs = Vec::with_capacity(self.runs.len());
        for (run_id, run) in &mut self.runs {
            if let Some(mut status) = self.coordinator.run_status(now, *run_id) {
                let recent = run.publish();
                // The digest that is told is one that can be fetched.
                status.params_digest = run.digest();
                runs.push(RunView {
                    facts: Arc::clone(&run.facts),
                    status,
                    history: Arc::clone(&run.history),
                    snapshots: Arc::clone(&run.snapshots),
                    recent,
                });
            }
        }
        self.view.set(View { runs });
        self.published = Some(now);
        self.is_dirty = false;
    }
}

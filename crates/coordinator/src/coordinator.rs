//! The state machine's entry: what is told, dispatched to the part that decides.

mod answers;
mod durable;
mod granting;
mod leases;
mod removals;
mod runs;
mod sharing;
mod workers;

use std::collections::BTreeMap;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::{RunId, ServerMessage, Timestamp};

use crate::effect::Effect;
use crate::event::Event;
use crate::input::{ConnectionId, Input};
use crate::invariants::InvariantId;
use crate::registry::Registry;
use crate::run::HostedRun;
use crate::status::{RunStatus, WorkStatus, WorkerStatus};
use removals::Ban;

/// The decisions of a parameter server.
#[derive(Debug)]
pub struct Coordinator {
    runs: BTreeMap<RunId, HostedRun>,
    registry: Registry,
    /// Who may not work here. Some may be over.
    bans: BTreeMap<Digest, Ban>,
    next_lease_id: u64,
    next_nonce: u64,
    next_sweep: Timestamp,
    /// When time was last counted as work for runs.
    shared_at: Timestamp,
    /// Before this no worker changes its run only so that others have their turn.
    next_turn: Timestamp,
    /// The server goes down: nothing is handed out any more.
    draining: bool,
}

impl Coordinator {
    /// A coordinator without runs and workers.
    ///
    /// `epoch` differs from that of every earlier server on the same data (a random number will do): leases
    /// of before a restart must not be taken for leases of after it.
    pub fn new(epoch: u32) -> Self {
        Self {
            runs: BTreeMap::new(),
            registry: Registry::default(),
            bans: BTreeMap::new(),
            next_lease_id: u64::from(epoch) << 32,
            next_nonce: 0,
            next_sweep: Timestamp(0),
            shared_at: Timestamp(0),
            next_turn: Timestamp(0),
            draining: false,
        }
    }

    /// Takes an input and appends what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Hello {
                connection,
                hello,
                fresh_token,
            } => self.hello(now, connection, hello, fresh_token, effects),
            Input::Message {
                connection,
                message,
            } => self.message(now, connection, message, effects),
            Input::Update { connection, update } => self.update(now, connection, update, effects),
            Input::Disconnected { connection } => self.disconnected(now, connection, effects),
            Input::Tick => {}
            Input::CreateRun(new) => self.create_run(now, *new, effects),
            Input::Command { run_id, command } => self.command(now, run_id, command, effects),
            Input::StepApplied {
                run_id,
                version,
                outcome,
            } => self.step_applied(now, run_id, version, outcome, effects),
            Input::LogDurable { run_id, sequence } => {
                self.log_durable(now, run_id, sequence, effects);
            }
            Input::LogFailed { run_id, reason } => self.log_failed(run_id, reason, effects),
            Input::SnapshotDurable { run_id, sequence } => {
                self.snapshot_ended(now, run_id, sequence, true, effects);
            }
            Input::SnapshotFailed { run_id, sequence } => {
                self.snapshot_ended(now, run_id, sequence, false, effects);
            }
            Input::Replace {
                run_id,
                run,
                state,
                params_digest,
            } => self.replace(now, run_id, (run, *state), params_digest, effects),
            Input::RemoveRun { run_id } => self.remove_run(now, run_id, effects),
            Input::Ban {
                identity,
                until,
                reason,
            } => self.ban(now, identity, until, reason, effects),
            Input::Unban { identity } => self.unban(identity),
            Input::Drain { worker_id } => self.drain(now, worker_id, effects),
            Input::Shutdown { reconnect_in_ms } => self.shutdown(now, reconnect_in_ms, effects),
        }
        if now >= self.next_sweep {
            self.sweep(now, effects);
        }
    }

    /// When to call again if nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (!self.registry.workers.is_empty() || !self.runs.is_empty()).then_some(self.next_sweep)
    }

    /// A run at a moment.
    pub fn run_status(&self, now: Timestamp, run_id: RunId) -> Option<RunStatus> {
        let run = self.runs.get(&run_id)?;
        let members = self.registry.workers.values();
        let lanes: Vec<usize> = members
            .filter(|worker| worker.connection.is_some() && worker.run_id == Some(run_id))
            .map(|worker| usize::from(worker.lanes))
            .collect();
        Some(RunStatus {
            run_id,
            phase: run.phase(),
            reason: run.reason.clone(),
            degraded: run.degraded.clone(),
            undurable_steps: run.undurable.steps(),
            version: run.version(),
            steps_total: run.plan.versions_total(),
            params_digest: run.params_digest,
            samples_committed: run.samples_committed(),
            samples_per_s: run.samples_per_s(now),
            train_loss: run.train_loss,
            workers: lanes.len(),
            lanes: lanes.iter().sum(),
            staleness: run.stalenesses.clone(),
        })
    }

    /// What of a run is being worked on.
    pub fn work_status(&self, now: Timestamp, run_id: RunId) -> Option<WorkStatus> {
        Some(self.runs.get(&run_id)?.work_status(now))
    }

    /// All workers, connected ones and those that may resume.
    pub fn workers(&self, now: Timestamp) -> Vec<WorkerStatus> {
        let of = |worker: &crate::registry::Worker| WorkerStatus {
            worker_id: worker.id,
            identity: worker.identity,
            draining: worker.draining,
            banned: self.banned(now, worker.identity).is_some(),
            silent_ms: now.since_ms(worker.last_heard),
            leases: worker.leases.len(),
            params: worker.params,
            memory_mib: worker.memory_mib,
            gpu: worker.gpu,
            kind: worker.kind,
            software: worker.software.clone(),
            lanes: worker.lanes,
            connected: worker.connection.is_some(),
            paused: worker.paused,
            run_id: worker.run_id,
            micro_batches_per_s: worker.speed.rate().map(|rate| rate * 1_000.0),
            samples_accepted: worker.samples_accepted,
            samples_credited: worker.credited,
            updates_rejected: worker.updates_rejected,
        };
        self.registry.workers.values().map(of).collect()
    }
}

fn send(connection: ConnectionId, message: ServerMessage) -> Effect {
    Effect::Send {
        connection,
        message,
    }
}

fn violated(id: InvariantId, detail: String) -> Effect {
    debug_assert!(false, "{id} does not hold: {detail}");
    Effect::Event(Event::InvariantViolated { id, detail })
}

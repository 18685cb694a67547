//! What operators want besides a run's phase: runs put away, snapshots removed, workers sent away.

use std::sync::Arc;
use std::time::Duration;

use tabswarm_coordinator::{Input, RunPhase, WorkStatus, WorkerStatus};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{RunId, WorkerId};
use tabswarm_store::{SnapshotId, SnapshotInfo};
use tokio::sync::oneshot;

use super::{Actor, Durable, Forbidden, Order, Traffic};
use crate::{log_writer, snapshot_writer};

impl Actor {
    pub(super) fn take_order(&mut self, order: Order) {
        match order {
            Order::Remove { run_id, done } => {
                // Its files lie where they lay if whoever asked has gone away: the next start hosts it again.
                done.send(self.remove(run_id)).ok();
            }
            Order::RemoveSnapshot { run_id, id, done } => self.remove_snapshot(run_id, id, done),
            Order::Ban {
                identity,
                lasts,
                reason,
            } => self.ban(identity, lasts, reason),
            Order::Unban { identity } => self.handle(Input::Unban { identity }),
            Order::Drain { worker_id, done } => {
                // Whoever asked may have gone away.
                done.send(self.drain(worker_id)).ok();
            }
        }
    }

    pub(super) fn tell_workers(&self, reply: oneshot::Sender<Vec<WorkerStatus>>) {
        // Whoever asked may have gone away.
        drop(reply.send(self.coordinator.workers(self.clock.now())));
    }

    pub(super) fn tell_work(
        &self,
        run_id: RunId,
        reply: oneshot::Sender<Option<(WorkStatus, Arc<Traffic>)>>,
    ) {
        let work = self.coordinator.work_status(self.clock.now(), run_id);
        let traffic = self.runs.get(&run_id).map(|run| Arc::clone(&run.traffic));
        // Whoever asked may have gone away.
        drop(reply.send(work.zip(traffic)));
    }

    /// Forgets a run that is over; told when its log is closed.
    fn remove(&mut self, run_id: RunId) -> Result<Durable, Forbidden> {
        let is_detached = self.runs.get(&run_id).is_none_or(|run| run.is_detached);
        if is_detached || !self.coordinator.may_remove(run_id) {
            let status = self.coordinator.run_status(self.clock.now(), run_id);
            let phase = status.map_or(RunPhase::Stopped, |status| status.phase);
            return Err(Forbidden { phase });
        }
        let (closed, receiver) = oneshot::channel();
        self.log.submit(log_writer::Job::Close { run_id, closed });
        self.handle(Input::RemoveRun { run_id });
        self.runs.remove(&run_id);
        self.evaluator.remove_run(run_id);
        self.publish();
        Ok(receiver)
    }

    /// Hands the removal to the thread that writes snapshots: none of them may be in the making.
    fn remove_snapshot(
        &self,
        run_id: RunId,
        id: SnapshotId,
        done: oneshot::Sender<Result<bool, String>>,
    ) {
        let Some(run) = self.runs.get(&run_id).filter(|run| !run.is_detached) else {
            // Whoever asked may have gone away.
            done.send(Err("somebody works on the run's files".to_owned()))
                .ok();
            return;
        };
        let store = Arc::clone(&run.facts.store);
        // Where it is refused, the sender is dropped and whoever asked is told so.
        self.store(snapshot_writer::Job::Remove {
            run_id,
            store,
            id,
            done,
        });
    }

    /// A run's snapshots are others now.
    pub(super) fn list_snapshots(&mut self, run_id: RunId, snapshots: Vec<SnapshotInfo>) {
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.snapshots = snapshots.into();
            self.publish();
        }
    }

    fn ban(&mut self, identity: Digest, lasts: Option<Duration>, reason: String) {
        let now = self.clock.now();
        let until = lasts.map(|lasts| now + u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        self.handle(Input::Ban {
            identity,
            until,
            reason,
        });
    }

    /// Whether the worker is connected, and gets no more leases.
    fn drain(&mut self, worker_id: WorkerId) -> bool {
        let workers = self.coordinator.workers(self.clock.now());
        let is_connected = workers
            .iter()
            .any(|worker| worker.worker_id == worker_id && worker.connected);
        if is_connected {
            self.handle(Input::Drain { worker_id });
        }
        is_connected
    }
}

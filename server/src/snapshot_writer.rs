//! Everything that a run writes while it trains, on a thread of its own, in order.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tabswarm_model::Layout;
use tabswarm_protocol::RunId;
use tabswarm_store::{RunStore, Snapshot, SnapshotId, SnapshotInfo, StoreError};
use tokio::sync::oneshot;
use tracing::error;

use crate::history::History;
use crate::limits::WRITER_QUEUE_JOBS;

/// Something to write.
#[derive(Debug)]
pub(crate) enum Job {
    /// A snapshot and the history that belongs to it; answered with a [`Told::Written`].
    Snapshot(Box<SnapshotJob>),
    /// A history that a late evaluation has completed.
    History {
        /// Where.
        store: Arc<RunStore>,
        /// The history.
        history: Arc<History>,
    },
    /// Remove a snapshot that is not the newest; a [`Told::Listed`] tells what there is then.
    Remove {
        /// Of which run.
        run_id: RunId,
        /// Where.
        store: Arc<RunStore>,
        /// Which.
        id: SnapshotId,
        /// Told whether it was, or why it could not be.
        done: oneshot::Sender<Result<bool, String>>,
    },
}

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// What became of a snapshot.
    Written(Written),
    /// A run has these snapshots now, newest first.
    Listed(RunId, Vec<SnapshotInfo>),
}

/// A snapshot to write.
#[derive(Debug)]
pub(crate) struct SnapshotJob {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Where it goes.
    pub(crate) store: Arc<RunStore>,
    /// Names and shapes of the tensors.
    pub(crate) layout: Layout,
    /// So many snapshots are kept.
    pub(crate) keep: usize,
    /// The snapshot.
    pub(crate) snapshot: Snapshot,
    /// Loss curve up to its version.
    pub(crate) history: Arc<History>,
}

/// What became of a snapshot.
#[derive(Debug)]
pub(crate) struct Written {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// The last log entry in it.
    pub(crate) sequence: u64,
    /// What the run has now, or why it could not be written.
    pub(crate) outcome: Result<Kept, String>,
}

/// The snapshots of a run.
#[derive(Debug)]
pub(crate) struct Kept {
    /// All of them, newest first.
    pub(crate) snapshots: Vec<SnapshotInfo>,
    /// The log is not needed up to this entry.
    pub(crate) log_behind: u64,
}

/// The thread and its queue.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotWriter {
    /// Starts the thread; `report` is called on it.
    pub(crate) fn spawn(report: impl Fn(Told) + Send + 'static) -> io::Result<Self> {
        let (sender, jobs) = sync_channel(WRITER_QUEUE_JOBS);
        let thread = thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || work(&jobs, &report))?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues a job; false if the queue is full, because the disk does not keep up.
    pub(crate) fn submit(&self, job: Job) -> bool {
        self.jobs
            .as_ref()
            .is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

impl Drop for SnapshotWriter {
    /// Waits until everything queued is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

fn work(jobs: &Receiver<Job>, report: &impl Fn(Told)) {
    for job in jobs {
        match job {
            Job::Snapshot(job) => report(Told::Written(write_snapshot(&job))),
            Job::History { store, history } => {
                if let Err(error) = store.write_history(&*history) {
                    error!(%error, "the loss curve could not be stored and will be lost by a restart");
                }
            }
            Job::Remove {
                run_id,
                store,
                id,
                done,
            } => {
                let outcome = remove(&store, id).map(|(removed, listed)| {
                    report(Told::Listed(run_id, listed));
                    removed
                });
                // Whoever asked may have gone away.
                done.send(outcome.map_err(|error| error.to_string())).ok();
            }
        }
    }
}

fn remove(store: &RunStore, id: SnapshotId) -> Result<(bool, Vec<SnapshotInfo>), StoreError> {
    let snapshots = store.snapshots();
    let removed = snapshots.remove_older(id)?;
    Ok((removed, snapshots.list()?))
}

fn write_snapshot(job: &SnapshotJob) -> Written {
    let write = || {
        let log_behind = job
            .store
            .snapshots()
            .put(&job.snapshot, &job.layout, job.keep);
        let log_behind = log_behind.map_err(|error| error.to_string())?;
        let snapshots = job
            .store
            .snapshots()
            .list()
            .map_err(|error| error.to_string())?;
        let history = job.store.write_history(&*job.history);
        history.map_err(|error| error.to_string())?;
        Ok(Kept {
            snapshots,
            log_behind,
        })
    };
    Written {
        run_id: job.run_id,
        sequence: job.snapshot.state.sequence,
        outcome: write(),
    }
}

//! Everything that a run writes while it trains, on a thread of its own, in order.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tabswarm_coordinator::RunPhase;
use tabswarm_model::Layout;
use tabswarm_protocol::{ParamVersion, RunId};
use tokio::sync::oneshot;
use tracing::error;

use crate::history::History;
use crate::limits::WRITER_QUEUE_JOBS;
use crate::store::run_dir::RunDir;
use crate::store::snapshot::{Snapshot, SnapshotInfo};

/// Something to write.
#[derive(Debug)]
pub(crate) enum Job {
    /// A snapshot and the history that belongs to it; answered with a [`Written`].
    Snapshot(Box<SnapshotJob>),
    /// A changed phase.
    Phase {
        /// Where.
        dir: RunDir,
        /// The phase.
        phase: RunPhase,
    },
    /// A history that a late evaluation has completed.
    History {
        /// Where.
        dir: RunDir,
        /// The history.
        history: Arc<History>,
    },
    /// Tell that everything queued before is on stable storage.
    Acknowledge(oneshot::Sender<()>),
}

/// A snapshot to write.
#[derive(Debug)]
pub(crate) struct SnapshotJob {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Where.
    pub(crate) dir: RunDir,
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
    /// Its version.
    pub(crate) version: ParamVersion,
    /// All snapshots of the run now, or why it could not be written.
    pub(crate) outcome: Result<Vec<SnapshotInfo>, String>,
}

/// The thread and its queue.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotWriter {
    /// Starts the thread; `report` is called on it.
    pub(crate) fn spawn(report: impl Fn(Written) + Send + 'static) -> io::Result<Self> {
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

fn work(jobs: &Receiver<Job>, report: &impl Fn(Written)) {
    for job in jobs {
        match job {
            Job::Snapshot(job) => report(write_snapshot(&job)),
            // Whoever waited may have gone away.
            Job::Acknowledge(durable) => {
                durable.send(()).ok();
            }
            Job::Phase { dir, phase } => {
                if let Err(error) = dir.write_phase(phase) {
                    error!(%error, %phase, "the phase could not be stored and will be lost by a restart");
                }
            }
            Job::History { dir, history } => {
                if let Err(error) = dir.write_history(&history) {
                    error!(%error, "the loss curve could not be stored and will be lost by a restart");
                }
            }
        }
    }
}

fn write_snapshot(job: &SnapshotJob) -> Written {
    let snapshots = job.dir.snapshots();
    let written = snapshots
        .write(&job.snapshot, &job.layout, job.keep)
        .and_then(|()| snapshots.list())
        .map_err(|error| error.to_string())
        .and_then(|list| {
            job.dir
                .write_history(&job.history)
                .map_err(|error| error.to_string())?;
            Ok(list)
        });
    Written {
        run_id: job.run_id,
        version: job.snapshot.state.version,
        outcome: written,
    }
}

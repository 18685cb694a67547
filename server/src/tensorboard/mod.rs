//! A run's curves as event files for `TensorBoard`, written while it trains.
//!
//! Each run has one file in a folder of its own, so that `tensorboard --logdir DATA/tensorboard` shows the runs by
//! their names. The file is a projection: what a restart or a rollback takes back is taken out of it, what it lacks is
//! taken from the run's own curve, and no step is in it twice. Nobody waits for the disk, and where the file can't be
//! written training goes on without it.

mod curves;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tabswarm_protocol::RunId;
use tracing::warn;

use crate::history::{EvalPoint, History};
use crate::limits::EVENT_QUEUE_JOBS;
use curves::Curves;

/// Something to write.
#[derive(Debug)]
pub(crate) enum Job {
    /// A run begins, or goes on at a version.
    Open {
        /// Which run.
        run_id: RunId,
        /// Its name.
        name: String,
        /// Nothing later is kept.
        version: u64,
        /// Versions of the whole run.
        versions_total: u64,
        /// So many versions lie between evaluations.
        evaluate_every: u32,
        /// What is known of the time before.
        history: Arc<History>,
    },
    /// A step was committed.
    Step {
        /// Of which run.
        run_id: RunId,
        /// The version that it made.
        version: u64,
        /// Mean loss per sample.
        train_loss: f64,
    },
    /// An evaluation came.
    Evaluation {
        /// Of which run.
        run_id: RunId,
        /// The result.
        point: EvalPoint,
    },
}

/// The thread and its queue.
#[derive(Debug)]
pub(crate) struct EventFiles {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl EventFiles {
    /// Starts the thread, which writes below `folder`.
    pub(crate) fn spawn(folder: PathBuf) -> io::Result<Self> {
        let (sender, jobs) = sync_channel(EVENT_QUEUE_JOBS);
        let thread = thread::Builder::new()
            .name("event-files".to_owned())
            .spawn(move || Writer::new(folder).work(&jobs))?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
        })
    }

    /// Queues a job. Where the disk does not keep up a point is left out, and a warning says so.
    pub(crate) fn submit(&self, job: Job) {
        let queued = self.jobs.as_ref().map(|jobs| jobs.try_send(job));
        if let Some(Err(_full)) = queued {
            warn!("an event file lacks a point: the disk does not keep up");
        }
    }
}

impl Drop for EventFiles {
    /// Waits until everything queued is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

/// What the thread holds.
struct Writer {
    folder: PathBuf,
    /// Runs whose file can be written.
    runs: BTreeMap<RunId, Curves>,
}

impl Writer {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            runs: BTreeMap::new(),
        }
    }

    fn work(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.perform(job);
            for job in jobs.try_iter().take(EVENT_QUEUE_JOBS) {
                self.perform(job);
            }
            let ids: Vec<RunId> = self.runs.keys().copied().collect();
            for run_id in ids {
                self.with(run_id, Curves::flush);
            }
        }
    }

    fn perform(&mut self, job: Job) {
        match job {
            Job::Open {
                run_id,
                name,
                version,
                versions_total,
                evaluate_every,
                history,
            } => {
                // The file of before is closed first.
                self.runs.remove(&run_id);
                let opened = Curves::open(&self.folder.join(&name), version, &history);
                match opened {
                    Ok(curves) => {
                        let curves = curves.thinned(versions_total, evaluate_every.into());
                        self.runs.insert(run_id, curves);
                    }
                    Err(error) => {
                        warn!(run = name, %error, "the run has no event file; training goes on without it");
                    }
                }
            }
            Job::Step {
                run_id,
                version,
                train_loss,
            } => self.with(run_id, |curves| curves.step(version, train_loss)),
            Job::Evaluation { run_id, point } => {
                self.with(run_id, |curves| curves.evaluation(&point));
            }
        }
    }

    /// Writes to a run's file; one that can't be written is given up until the next start.
    fn with(&mut self, run_id: RunId, write: impl FnOnce(&mut Curves) -> io::Result<()>) {
        let Some(curves) = self.runs.get_mut(&run_id) else {
            return;
        };
        if let Err(error) = write(curves) {
            let path = curves.path().display().to_string();
            warn!(path, %error, "the event file can't be written and ends here; it is made up for at the next start");
            self.runs.remove(&run_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_run_whose_file_is_in_the_way_does_not_stop_the_others() {
        let scratch = Scratch::new("event-files");
        std::fs::write(scratch.path().join("first"), "in the way").unwrap();
        let files = EventFiles::spawn(scratch.path().to_owned()).unwrap();
        for (id, name) in [(1, "first"), (2, "second")] {
            let run_id = RunId(id);
            files.submit(Job::Open {
                run_id,
                name: name.to_owned(),
                version: 0,
                versions_total: 10,
                evaluate_every: 5,
                history: Arc::new(History::default()),
            });
            files.submit(Job::Step {
                run_id,
                version: 1,
                train_loss: 0.5,
            });
        }
        drop(files);
        let curves = Curves::open(&scratch.path().join("second"), 10, &History::default());
        assert_eq!(curves.unwrap().newest_step(), Some(1));
    }
}

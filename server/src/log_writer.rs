//! The thread that makes committed changes durable: it appends to the runs' logs and groups what came
//! meanwhile into one sync.
//!
//! Nothing is ever dropped here: an entry stays until it is on stable storage, however often the disk fails.
//! How much waits is bounded by the coordinator, which hands out no more work when too many steps do.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tabswarm_coordinator::LogEntry;
use tabswarm_model::master::AppliedSums;
use tabswarm_protocol::RunId;
use tabswarm_store::{Log, LogQueue, StoreError};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::limits::{LOG_GROUP_ENTRIES, LOG_RETRY, LOG_SEAL_AFTER, SPARE_SUMS};
use crate::metrics::Metrics;

/// Something to do for a log.
#[derive(Debug)]
pub(crate) enum Job {
    /// A log, open behind everything that is stored.
    Open {
        /// Of which run.
        run_id: RunId,
        /// The log.
        log: Box<Log>,
    },
    /// An entry.
    Append {
        /// Of which run.
        run_id: RunId,
        /// The entry.
        entry: Box<LogEntry>,
        /// The sums of a step, where they are logged.
        sums: Option<AppliedSums>,
    },
    /// Snapshots cover everything up to an entry: older segments can go.
    RemoveBehind {
        /// Of which run.
        run_id: RunId,
        /// The entry.
        sequence: u64,
    },
    /// Give the log back: somebody else works on the run's files. Everything appended is durable then.
    Close {
        /// Of which run.
        run_id: RunId,
        /// Told when it is closed; dropped where the log can't be written at present.
        closed: oneshot::Sender<()>,
    },
    /// Tell when everything appended so far is durable; dropped where the log can't be written at present.
    Acknowledge {
        /// Of which run.
        run_id: RunId,
        /// Told.
        durable: oneshot::Sender<()>,
    },
}

/// What became of a run's entries.
#[derive(Debug)]
pub(crate) struct Logged {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Everything up to an entry is durable, or why it is not.
    pub(crate) outcome: Result<u64, String>,
}

/// Sums that the log is done with, so that none are allocated while training.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareSums(Arc<Mutex<Vec<AppliedSums>>>);

impl SpareSums {
    /// Sums of any content, in the place of which a step's can be taken.
    pub(crate) fn take(&self, like: &AppliedSums) -> AppliedSums {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |sums: &AppliedSums| match (sums, like) {
            (AppliedSums::Exact(a), AppliedSums::Exact(b)) => a.len() == b.len(),
            (AppliedSums::F32(a), AppliedSums::F32(b)) => a.len() == b.len(),
            _ => false,
        };
        match spare.iter().position(fits) {
            Some(at) => spare.swap_remove(at),
            None => like.clone(),
        }
    }

    fn give_back(&self, sums: AppliedSums) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_SUMS {
            spare.push(sums);
        }
    }
}

/// The thread and its queue.
#[derive(Debug)]
pub(crate) struct LogWriter {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// For the steps to come.
    pub(crate) spare: SpareSums,
}

impl LogWriter {
    /// Starts the thread; `report` is called on it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the coordinator bounds what waits, and its thread must never wait for the disk"
    )]
    pub(crate) fn spawn(
        metrics: Arc<Metrics>,
        report: impl Fn(Logged) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let spare = SpareSums::default();
        let mut writer = Writer {
            logs: BTreeMap::new(),
            spare: spare.clone(),
            metrics,
            report,
        };
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.work(&jobs))?;
        Ok(Self {
            jobs: Some(sender),
            thread: Some(thread),
            spare,
        })
    }

    /// Queues a job.
    pub(crate) fn submit(&self, job: Job) {
        if let Some(jobs) = &self.jobs
            && jobs.send(job).is_err()
        {
            error!(
                "the log's thread has ended; nothing is acknowledged any more: restart the server"
            );
        }
    }
}

impl Drop for LogWriter {
    /// Waits until everything that can be written is.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            drop(thread.join());
        }
    }
}

struct Writer<R> {
    logs: BTreeMap<RunId, RunLog>,
    spare: SpareSums,
    metrics: Arc<Metrics>,
    report: R,
}

/// A log with the entries that it does not hold durably yet.
struct RunLog {
    queue: LogQueue,
    /// It failed, and is tried again then.
    retry_at: Option<Instant>,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    /// It may lack the record that says what is durable.
    unsealed: bool,
}

impl<R: Fn(Logged)> Writer<R> {
    fn work(&mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(LOG_SEAL_AFTER) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => self.seal(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for job in jobs.try_iter().take(LOG_GROUP_ENTRIES) {
                self.take(job);
            }
            self.flush();
        }
        self.flush();
        self.seal();
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Open { run_id, log } => {
                self.logs.insert(run_id, RunLog::new(*log));
            }
            Job::Append {
                run_id,
                entry,
                sums,
            } => {
                if let Some(run) = self.logs.get_mut(&run_id) {
                    run.queue.push(entry, sums);
                }
            }
            Job::RemoveBehind { run_id, sequence } => {
                if let Some(run) = self.logs.get_mut(&run_id)
                    && let Err(error) = run.queue.log().remove_behind(sequence)
                {
                    warn!(%run_id, %error, "old parts of the log could not be removed");
                }
            }
            Job::Close { run_id, closed } => {
                self.flush();
                self.seal();
                if let Some(run) = self.logs.remove(&run_id) {
                    if run.queue.is_empty() {
                        // Whoever asked may have gone away.
                        closed.send(()).ok();
                    } else {
                        self.logs.insert(run_id, run);
                    }
                }
            }
            Job::Acknowledge { run_id, durable } => {
                if let Some(run) = self.logs.get_mut(&run_id) {
                    run.acknowledge(durable);
                }
            }
        }
    }

    fn flush(&mut self) {
        for (&run_id, run) in &mut self.logs {
            if run.queue.is_empty() || run.retry_at.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            let started = Instant::now();
            let outcome = run.write(run_id, &self.spare);
            let elapsed = started.elapsed().as_micros();
            self.metrics
                .log_us
                .add(u64::try_from(elapsed).unwrap_or(u64::MAX));
            let outcome = match outcome {
                Ok(durable) => {
                    self.metrics.log_syncs.add(1);
                    run.settle(durable);
                    Ok(durable)
                }
                Err(error) => {
                    self.metrics.log_failures.add(1);
                    run.fail();
                    let problem = error.to_string();
                    error!(%run_id, problem, "the log can't be written: nothing is acknowledged until it can; free disk space or fix the data directory, it is tried again every second");
                    Err(problem)
                }
            };
            (self.report)(Logged { run_id, outcome });
        }
    }

    fn seal(&mut self) {
        for (run_id, run) in &mut self.logs {
            if run.unsealed && run.queue.is_empty() {
                run.unsealed = false;
                if let Err(error) = run.queue.log().seal() {
                    warn!(%run_id, %error, "the log could not be sealed");
                }
            }
        }
    }
}

impl RunLog {
    fn new(log: Log) -> Self {
        Self {
            queue: LogQueue::new(log),
            retry_at: None,
            waiting: Vec::new(),
            unsealed: false,
        }
    }

    /// Appends what is new and syncs.
    fn write(&mut self, run_id: RunId, spare: &SpareSums) -> Result<u64, StoreError> {
        if self.queue.write()? {
            let durable = self.queue.log().durable();
            info!(%run_id, durable, "the log goes on in a new segment");
        }
        let (durable, sums) = self.queue.sync()?;
        sums.into_iter().for_each(|sums| spare.give_back(sums));
        Ok(durable)
    }

    fn settle(&mut self, durable: u64) {
        self.retry_at = None;
        self.unsealed = true;
        for (_, waiting) in self
            .waiting
            .extract_if(.., |(sequence, _)| *sequence <= durable)
        {
            // Whoever waited may have gone away.
            waiting.send(()).ok();
        }
    }

    fn fail(&mut self) {
        self.retry_at = Some(Instant::now() + LOG_RETRY);
        // They are told that it takes longer.
        self.waiting.clear();
    }

    fn acknowledge(&mut self, durable: oneshot::Sender<()>) {
        match self.queue.newest() {
            None => drop(durable.send(())),
            Some(_) if self.retry_at.is_some() => {}
            Some(newest) => self.waiting.push((newest, durable)),
        }
    }
}

//! What the simulated server has open on its disk: the step log with its queue, and snapshots.
//!
//! The real store on a disk that fails on demand. This side dies with the process, the disk outlives it.

use std::path::Path;
use std::sync::Arc;

use tabswarm_coordinator::{LogEntry, RunPhase, RunState};
use tabswarm_model::Run;
use tabswarm_model::master::{AppliedSums, Master};
use tabswarm_model::rounds::RoundPlan;
use tabswarm_store::faults::FaultyDisk;
use tabswarm_store::{
    ChangeError, Disk, Hosting, LogOptions, LogQueue, Recovered, RecoveryReport, RunStore,
    Snapshot, StoreError,
};

use super::fixture::Job;
use super::server::RUN_ID;

pub(super) const RUN_DIR: &str = "/runs/sim";
/// So small that a run has many segments.
const SEGMENT_BYTES: u64 = 4_000;

/// An empty disk with the folder of runs.
pub(super) fn format(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    let made = disk.create_dir_all(Path::new("/runs"));
    made.and_then(|()| disk.sync_dir(Path::new("/")))
        .expect("nothing is planned yet");
    disk
}

/// What became of a group of entries.
pub(super) type Logged = Result<u64, String>;

/// A run as its files say it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) state: RunState,
    pub(super) master: Master,
    pub(super) report: RecoveryReport,
}

/// A server's side of the disk.
#[derive(Debug)]
pub(super) struct Storage {
    store: RunStore,
    queue: LogQueue,
    /// The last entry that the coordinator was told is durable.
    pub(super) durable: u64,
    /// The log's thread is at work, or waits until it tries again.
    pub(super) is_busy: bool,
    /// The newest record may not say yet that everything is durable.
    unsealed: bool,
    /// A snapshot whose last entry is not durable in the log yet.
    waiting_snapshot: Option<Box<Snapshot>>,
}

impl Storage {
    /// Opens the run, or makes it, as a starting server does.
    pub(super) fn open(
        disk: &FaultyDisk,
        job: &Job,
        secret: u64,
    ) -> Result<(Self, Found), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let dir = Path::new(RUN_DIR);
        let io = |source| StoreError::Io {
            path: dir.to_owned(),
            source,
        };
        let store = if disk.exists(dir).map_err(io)? {
            RunStore::open(disk, dir)?
        } else {
            let dataset = job.dataset();
            let hosting = Hosting {
                run_id: RUN_ID,
                dataset,
                test_set: dataset,
            };
            RunStore::create(disk, dir, &job.run_file, hosting)?
        };
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES,
            secret,
        };
        let mut recovered = store.recover(&job.base, options)?;
        let state = &mut recovered.state;
        let plan = RoundPlan::new(state.run(&job.base), job.samples());
        // It was finished, and went back because its log has no updates.
        if state.phase == RunPhase::Finished && state.version.0 < plan.versions_total() {
            state.phase = RunPhase::Running;
        }
        let Recovered {
            state,
            master,
            log,
            report,
        } = recovered;
        let storage = Self {
            store,
            durable: state.sequence,
            queue: LogQueue::new(log),
            is_busy: false,
            unsealed: false,
            waiting_snapshot: None,
        };
        let found = Found {
            state,
            master,
            report,
        };
        Ok((storage, found))
    }

    /// Writes other settings for a resting run whose files nobody else has.
    pub(super) fn change(
        disk: &FaultyDisk,
        job: &Job,
        to: &Run,
        secret: u64,
    ) -> Result<(), ChangeError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let store = RunStore::open(disk, Path::new(RUN_DIR))?;
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES,
            secret,
        };
        // Nothing follows from when the snapshot was made.
        tabswarm_store::change(&store, &job.base, (to, job.samples()), options, 0).map(drop)
    }

    /// Queues an entry; true if the log's thread has to be woken.
    pub(super) fn append(&mut self, entry: Box<LogEntry>, sums: Option<AppliedSums>) -> bool {
        self.queue.push(entry, sums);
        !std::mem::replace(&mut self.is_busy, true)
    }

    /// The log's thread appends what is queued.
    pub(super) fn write(&mut self) -> Result<(), String> {
        self.queue
            .write()
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// The log's thread makes durable what it appended.
    pub(super) fn sync(&mut self) -> Logged {
        let (durable, _) = self.queue.sync().map_err(|error| error.to_string())?;
        self.unsealed = true;
        Ok(durable)
    }

    /// A group is durable; true if the log's thread has more to do.
    pub(super) fn goes_on(&mut self) -> bool {
        self.is_busy = !self.queue.is_empty();
        self.is_busy
    }

    /// The log's thread writes down what is durable, if it has nothing better to do.
    pub(super) fn seal(&mut self) {
        if self.queue.is_empty() && std::mem::take(&mut self.unsealed) {
            // The next write finds out that the disk is in trouble.
            self.queue.log().seal().ok();
        }
    }

    /// Everything is written that can be: the orderly end of a process.
    pub(super) fn close(&mut self) {
        let written = self.queue.write().and_then(|_| self.queue.sync());
        if written.is_ok() {
            self.queue.log().seal().ok();
        }
    }

    /// A snapshot is wanted: it waits until the log holds everything that is in it.
    pub(super) fn want_snapshot(&mut self, snapshot: Snapshot) {
        self.waiting_snapshot = Some(Box::new(snapshot));
    }

    /// The snapshot that waits for nothing any more.
    pub(super) fn ready_snapshot(&mut self) -> Option<Box<Snapshot>> {
        let durable = self.durable;
        self.waiting_snapshot
            .take_if(|snapshot| snapshot.state.sequence <= durable)
    }

    /// The snapshot that would have to wait for a log that can't be written.
    pub(super) fn give_up_snapshot(&mut self) -> Option<u64> {
        let snapshot = self.waiting_snapshot.take();
        snapshot.map(|snapshot| snapshot.state.sequence)
    }

    /// Stores a snapshot and removes what of the log nobody needs then.
    pub(super) fn put(&mut self, snapshot: &Snapshot, job: &Job) -> Result<(), String> {
        let keep = job.run.snapshots_kept as usize;
        let behind = self
            .store
            .snapshots()
            .put(snapshot, &job.layout, keep)
            .map_err(|error| error.to_string())?;
        // What can't be removed now is removed after the next snapshot.
        self.queue.log().remove_behind(behind).ok();
        Ok(())
    }
}

//! Which chunks of the training set to fetch when: what a lease waits for first, then what comes next.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabswarm_model::batches::{LeaseError, StepShape};
use tabswarm_model::dataset::MAX_CHUNK_BYTES;
use tabswarm_protocol::LeaseId;
use tabswarm_protocol::client::MicroBatchRange;

use crate::fetch::HttpClient;
use crate::limits::{PARALLEL_FETCHES, PREFETCH_CHUNKS};
use crate::load::LoadedRun;

/// Plans the downloads of one run; it does not download.
#[derive(Debug)]
pub(crate) struct ChunkPlan {
    load: Arc<LoadedRun>,
    in_progress: BTreeSet<usize>,
    waiting: Option<WaitingLease>,
    /// The step whose samples, and those after it, are fetched ahead; none after a failure.
    ahead_of: Option<StepShape>,
}

#[derive(Debug, Clone, Copy)]
struct WaitingLease {
    lease_id: LeaseId,
    step: StepShape,
    range: MicroBatchRange,
}

/// What the end of a download means for the lease that waited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing.
    None,
    /// All of its samples are here.
    Ready(LeaseId),
    /// One of its chunks could not be had.
    Failed(LeaseId, String),
}

impl ChunkPlan {
    pub(crate) fn new(load: Arc<LoadedRun>) -> Self {
        Self {
            load,
            in_progress: BTreeSet::new(),
            waiting: None,
            ahead_of: None,
        }
    }

    pub(crate) fn load(&self) -> &Arc<LoadedRun> {
        &self.load
    }

    /// A lease needs its samples; true if they are all here.
    ///
    /// # Errors
    /// Where there can't be such a lease.
    pub(crate) fn prepare(
        &mut self,
        lease_id: LeaseId,
        version: u64,
        range: MicroBatchRange,
    ) -> Result<bool, LeaseError> {
        let step = self.load.plan.leased(version, range.first, range.count)?;
        self.ahead_of = Some(step);
        let lease = WaitingLease {
            lease_id,
            step,
            range,
        };
        let ready = self.missing(lease).is_empty();
        self.waiting = (!ready).then_some(lease);
        Ok(ready)
    }

    /// Parameters of a version came: leases of its step are likely next.
    pub(crate) fn expect_step(&mut self, version: u64) {
        // The version at the end of the run has no step.
        if version < self.load.plan.steps_total() {
            self.ahead_of
                .get_or_insert_with(|| self.load.plan.step(version));
        }
    }

    /// The lease is over.
    pub(crate) fn forget(&mut self, lease_id: LeaseId) {
        self.waiting = self.waiting.filter(|lease| lease.lease_id != lease_id);
    }

    /// The chunks to start fetching now, at most as many as may run in parallel.
    pub(crate) fn start(&mut self) -> Vec<usize> {
        let room = PARALLEL_FETCHES.saturating_sub(self.in_progress.len());
        if room == 0 || self.load_is_complete() {
            return Vec::new();
        }
        let mut wanted = self
            .waiting
            .map_or_else(Vec::new, |lease| self.missing(lease));
        if let Some(step) = self.ahead_of {
            let upcoming = self.load.store().upcoming_chunks(step);
            wanted.extend(upcoming.into_iter().take(PREFETCH_CHUNKS));
        }
        let mut started = Vec::new();
        for chunk_idx in wanted {
            if started.len() < room && self.in_progress.insert(chunk_idx) {
                started.push(chunk_idx);
            }
        }
        started
    }

    /// A download ended.
    pub(crate) fn done(&mut self, chunk_idx: usize, result: Result<(), String>) -> Progress {
        self.in_progress.remove(&chunk_idx);
        if result.is_err() {
            self.ahead_of = None;
        }
        let Some(lease) = self.waiting else {
            return Progress::None;
        };
        let missing = self.missing(lease);
        match result {
            _ if missing.is_empty() => {
                self.waiting = None;
                Progress::Ready(lease.lease_id)
            }
            Err(message) if missing.contains(&chunk_idx) => {
                self.waiting = None;
                Progress::Failed(lease.lease_id, message)
            }
            _ => Progress::None,
        }
    }

    fn missing(&self, lease: WaitingLease) -> Vec<usize> {
        let WaitingLease { step, range, .. } = lease;
        self.load
            .store()
            .missing_chunks(step, range.first, range.count)
    }

    fn load_is_complete(&self) -> bool {
        let store = self.load.store();
        store.chunks_present() == store.manifest().chunks.len()
    }
}

/// Fetches a chunk into the run's store. Blocks.
pub(crate) fn fetch_chunk(
    http: &HttpClient,
    load: &LoadedRun,
    chunk_idx: usize,
) -> Result<(), String> {
    let digest = load.store().manifest().chunks[chunk_idx];
    let path = format!("/api/chunks/{digest}");
    http.get(&path, MAX_CHUNK_BYTES, |bytes| {
        load.store()
            .insert(chunk_idx, bytes)
            .map_err(|error| error.to_string())
    })
    .map_err(|error| format!("Training data is not available: {error}"))
}

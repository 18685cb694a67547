//! Which chunks of the training set to fetch when: what a lease waits for first, then what comes next.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabswarm_model::batches::StepShape;
use tabswarm_model::dataset::MAX_CHUNK_BYTES;
use tabswarm_model::parts::Part;
use tabswarm_protocol::LeaseId;

use crate::fetch::HttpClient;
use crate::limits::{PARALLEL_FETCHES, PREFETCH_CHUNKS};
use crate::load::LoadedRun;

/// Plans the downloads of one run; it does not download.
#[derive(Debug)]
pub(crate) struct ChunkPlan {
    load: Arc<LoadedRun>,
    in_progress: BTreeSet<usize>,
    /// Oldest first.
    waiting: Vec<WaitingLease>,
    /// The step whose samples, and those after it, are fetched ahead; none after a failure.
    ahead_of: Option<StepShape>,
}

#[derive(Debug)]
struct WaitingLease {
    lease_id: LeaseId,
    parts: Vec<Part>,
}

/// What the end of a download means for a lease that waited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
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
            waiting: Vec::new(),
            ahead_of: None,
        }
    }

    pub(crate) fn load(&self) -> &Arc<LoadedRun> {
        &self.load
    }

    /// A lease needs its samples; true if they are all here.
    pub(crate) fn prepare(&mut self, lease_id: LeaseId, parts: &[Part]) -> bool {
        if let Some(last) = parts.last() {
            self.ahead_of = Some(last.step);
        }
        let ready = self.missing(parts).is_empty();
        if !ready {
            let parts = parts.to_vec();
            self.waiting.push(WaitingLease { lease_id, parts });
        }
        ready
    }

    /// Parameters of a version came: leases of its batches are likely next.
    pub(crate) fn expect_version(&mut self, version: u64) {
        let plan = &self.load.plan;
        let batch = plan.progress(version);
        // After the last version there is none.
        if batch < plan.batches().steps_total() {
            self.ahead_of
                .get_or_insert_with(|| plan.batches().step(batch));
        }
    }

    /// The lease is over.
    pub(crate) fn forget(&mut self, lease_id: LeaseId) {
        self.waiting.retain(|lease| lease.lease_id != lease_id);
    }

    /// The chunks to start fetching now, at most as many as may run in parallel.
    pub(crate) fn start(&mut self) -> Vec<usize> {
        let room = PARALLEL_FETCHES.saturating_sub(self.in_progress.len());
        if room == 0 || self.load_is_complete() {
            return Vec::new();
        }
        let needed = self.waiting.iter();
        let mut wanted: Vec<usize> = needed
            .flat_map(|lease| self.missing(&lease.parts))
            .collect();
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

    /// A download ended: what that means for leases that waited for it.
    pub(crate) fn done(&mut self, chunk_idx: usize, result: &Result<(), String>) -> Vec<Progress> {
        self.in_progress.remove(&chunk_idx);
        if result.is_err() {
            self.ahead_of = None;
        }
        let mut progress = Vec::new();
        for lease in std::mem::take(&mut self.waiting) {
            let missing = self.missing(&lease.parts);
            match result {
                _ if missing.is_empty() => progress.push(Progress::Ready(lease.lease_id)),
                Err(message) if missing.contains(&chunk_idx) => {
                    progress.push(Progress::Failed(lease.lease_id, message.clone()));
                }
                _ => self.waiting.push(lease),
            }
        }
        progress
    }

    /// Chunks that are not here, in the order in which the parts need them.
    fn missing(&self, parts: &[Part]) -> Vec<usize> {
        let mut store = self.load.store();
        let mut missing = Vec::new();
        for part in parts {
            let of_part = store.missing_chunks(part.step, part.first, part.count);
            missing.extend(
                of_part
                    .into_iter()
                    .filter(|chunk| !missing.contains(chunk))
                    .collect::<Vec<_>>(),
            );
        }
        missing
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

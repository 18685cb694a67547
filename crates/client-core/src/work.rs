//! The lease in progress: which micro-batches wait, which lanes have some, which are done.

use std::sync::Arc;

use tabswarm_protocol::LeaseId;
use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::Lease;

use crate::effect::Task;
use crate::input::TaskResult;

/// A lease being worked on.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) lease: Lease,
    exponents: Arc<[i8]>,
    /// Whether its samples are here.
    pub(crate) data_ready: bool,
    /// Ranges that nobody computes yet, in order.
    waiting: Vec<MicroBatchRange>,
    /// Ranges on lanes.
    in_flight: Vec<(u16, MicroBatchRange)>,
    /// Ranges whose sums are in the lease's accumulator, sorted and merged.
    done: Vec<MicroBatchRange>,
    samples: u32,
    loss_q20: i64,
    correct: u32,
    compute_us: u64,
}

impl Work {
    pub(crate) fn new(lease: Lease) -> Self {
        Self {
            exponents: lease.exponents.as_slice().into(),
            waiting: vec![lease.range],
            lease,
            data_ready: false,
            in_flight: Vec::new(),
            done: Vec::new(),
            samples: 0,
            loss_q20: 0,
            correct: 0,
            compute_us: 0,
        }
    }

    pub(crate) fn lease_id(&self) -> LeaseId {
        self.lease.lease_id
    }

    /// Micro-batches that wait for a lane.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.iter().map(|range| range.count).sum()
    }

    /// Whether a lane has some of it.
    pub(crate) fn in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Micro-batches done.
    pub(crate) fn done(&self) -> u32 {
        self.done.iter().map(|range| range.count).sum()
    }

    /// Whether every micro-batch is done.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Takes up to `size` consecutive micro-batches for a lane.
    pub(crate) fn take(&mut self, lane: u16, size: u32) -> Option<Task> {
        let next = self.waiting.first_mut()?;
        let range = MicroBatchRange {
            first: next.first,
            count: next.count.min(size.max(1)),
        };
        next.first += range.count;
        next.count -= range.count;
        if next.count == 0 {
            self.waiting.remove(0);
        }
        self.in_flight.push((lane, range));
        Some(Task {
            lease_id: self.lease.lease_id,
            version: self.lease.version,
            range,
            exponents: Arc::clone(&self.exponents),
        })
    }

    /// Whether a lane had this range; it has not any more.
    pub(crate) fn end_flight(&mut self, result: &TaskResult) -> bool {
        let entry = (result.lane, result.range);
        let position = self.in_flight.iter().position(|flight| *flight == entry);
        position.map(|at| self.in_flight.swap_remove(at)).is_some()
    }

    /// A lane's range is done.
    pub(crate) fn finish(&mut self, result: &TaskResult) {
        self.samples += result.samples;
        self.loss_q20 += result.loss_q20;
        self.correct += result.correct;
        self.compute_us += result.elapsed_us;
        let at = self
            .done
            .partition_point(|range| range.first < result.range.first);
        self.done.insert(at, result.range);
        self.done.dedup_by(|next, range| {
            let adjacent = range.first + range.count == next.first;
            if adjacent {
                range.count += next.count;
            }
            adjacent
        });
    }

    /// A lane's range waits again.
    pub(crate) fn give_back(&mut self, result: &TaskResult) {
        self.waiting.insert(0, result.range);
    }

    /// The control part of the update with what is done; the driver fills in the digest.
    pub(crate) fn update(&self) -> Update {
        Update {
            lease_id: self.lease.lease_id,
            done: self.done.clone(),
            samples: self.samples,
            loss_q20: self.loss_q20,
            correct: self.correct,
            compute_us: self.compute_us,
            digest: [0; 32],
        }
    }
}

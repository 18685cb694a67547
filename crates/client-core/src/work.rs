//! A lease in progress: what of it waits, which lanes have some, what is done.

use std::sync::Arc;

use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::{Lease, LeaseKind};
use tabswarm_protocol::{LeaseId, ParamVersion};

use crate::effect::Task;
use crate::input::TaskResult;

/// A lease being worked on.
///
/// Its pieces are micro-batches, which any lane may do in any order; or the inner steps of a shard, which one lane
/// does one after the other.
#[derive(Debug)]
pub(crate) struct Work {
    lease: Lease,
    exponents: Arc<[i8]>,
    /// Whether its samples are here.
    pub(crate) data_ready: bool,
    /// Pieces that nobody computes yet, in order.
    waiting: Vec<MicroBatchRange>,
    /// Pieces on lanes.
    in_flight: Vec<(u16, MicroBatchRange)>,
    /// Pieces that are done, sorted and merged.
    done: Vec<MicroBatchRange>,
    /// The lane that does the shard.
    lane: Option<u16>,
    samples: u32,
    loss_q20: i64,
    correct: u32,
    compute_us: u64,
}

impl Work {
    pub(crate) fn new(lease: Lease) -> Self {
        Self {
            exponents: lease.exponents.as_slice().into(),
            waiting: vec![all_pieces(&lease)],
            lease,
            data_ready: false,
            in_flight: Vec::new(),
            done: Vec::new(),
            lane: None,
            samples: 0,
            loss_q20: 0,
            correct: 0,
            compute_us: 0,
        }
    }

    pub(crate) fn lease_id(&self) -> LeaseId {
        self.lease.lease_id
    }

    /// Version of its parameters.
    pub(crate) fn version(&self) -> ParamVersion {
        self.lease.version
    }

    /// Whether its pieces are done one after the other.
    pub(crate) fn is_sequential(&self) -> bool {
        matches!(self.lease.kind, LeaseKind::Shard { .. })
    }

    /// The lane that does the shard.
    pub(crate) fn lane(&self) -> Option<u16> {
        self.lane
    }

    /// Whether a lane is at its shard.
    pub(crate) fn is_at(&self, lane: u16) -> bool {
        self.lane == Some(lane)
    }

    /// Pieces that wait for a lane.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.iter().map(|range| range.count).sum()
    }

    /// Whether a lane has some of it.
    pub(crate) fn in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Pieces done, and all pieces.
    pub(crate) fn progress(&self) -> (u32, u32) {
        let done = self.done.iter().map(|range| range.count).sum();
        (done, all_pieces(&self.lease).count)
    }

    /// Whether every piece is done.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Takes up to `size` consecutive pieces for a lane.
    pub(crate) fn take(&mut self, lane: u16, size: u32) -> Option<Task> {
        if self.is_sequential() {
            let is_another = self.lane.is_some_and(|owner| owner != lane);
            if is_another || self.in_flight() {
                return None;
            }
            self.lane = Some(lane);
        }
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
            batch: self.lease.batch,
            kind: self.lease.kind,
            first: self.lease.range.first,
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

    /// A lane's pieces are done.
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

    /// A lane's pieces wait again. What a lane knows of a shard is lost with it.
    pub(crate) fn give_back(&mut self, result: &TaskResult) {
        if self.is_sequential() {
            self.begin_again();
        } else {
            self.waiting.insert(0, result.range);
        }
    }

    /// A shard begins again, unless a lane has some of it, whose answer tells how that went.
    pub(crate) fn begin_again(&mut self) {
        if !self.in_flight() {
            *self = Self {
                data_ready: self.data_ready,
                compute_us: self.compute_us,
                ..Self::new(self.lease.clone())
            };
        }
    }

    /// The control part of the update with what is done; the driver fills in the digest. None where that is
    /// nothing, or too little to count.
    pub(crate) fn update(&self) -> Option<Update> {
        let is_whole = self.is_complete();
        let done = match self.lease.kind {
            LeaseKind::Step => self.done.clone(),
            LeaseKind::Batch | LeaseKind::Shard { .. } if is_whole => vec![self.lease.range],
            LeaseKind::Batch | LeaseKind::Shard { .. } => Vec::new(),
        };
        (!done.is_empty()).then_some(Update {
            lease_id: self.lease.lease_id,
            done,
            samples: self.samples,
            loss_q20: self.loss_q20,
            correct: self.correct,
            compute_us: self.compute_us,
            digest: [0; 32],
        })
    }
}

fn all_pieces(lease: &Lease) -> MicroBatchRange {
    match lease.kind {
        LeaseKind::Step | LeaseKind::Batch => lease.range,
        LeaseKind::Shard { inner_steps } => MicroBatchRange {
            first: 0,
            count: inner_steps.max(1),
        },
    }
}

//! The step in progress: which of its micro-batches are free, leased or done.

use std::collections::BTreeMap;

use tabswarm_model::batches::StepShape;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::{LeaseId, WorkerId};

use crate::undurable::Owed;

/// One micro-batch of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    Leased(LeaseId),
    Done,
}

/// What an accepted update brings besides its tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contribution {
    /// Whose it is.
    pub(crate) identity: Digest,
    pub(crate) worker_id: WorkerId,
    pub(crate) lease_id: LeaseId,
    pub(crate) samples: u32,
    pub(crate) loss_q20: i64,
}

/// The step in progress.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) shape: StepShape,
    slots: Vec<Slot>,
    n_free: u32,
    n_done: u32,
    /// No slot before it is free.
    first_free: usize,
    /// How often the step was started again.
    pub(crate) restarts: u32,
    pub(crate) samples: u64,
    pub(crate) loss_q20: i64,
    /// Samples by identity.
    pub(crate) contributions: BTreeMap<Digest, u64>,
    /// Workers that wait for an answer.
    pub(crate) owed: Vec<Owed>,
}

impl Step {
    pub(crate) fn new(shape: StepShape) -> Self {
        Self {
            shape,
            slots: vec![Slot::Free; shape.micro_batches as usize],
            n_free: shape.micro_batches,
            n_done: 0,
            first_free: 0,
            restarts: 0,
            samples: 0,
            loss_q20: 0,
            contributions: BTreeMap::new(),
            owed: Vec::new(),
        }
    }

    /// Begins again: nothing is leased, nothing is done. Gives the workers whose updates are void now.
    pub(crate) fn restart(&mut self) -> Vec<Owed> {
        let restarts = self.restarts + 1;
        let begun = std::mem::replace(self, Self::new(self.shape));
        self.restarts = restarts;
        begun.owed
    }

    pub(crate) fn n_free(&self) -> u32 {
        self.n_free
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.n_done == self.shape.micro_batches
    }

    /// Leases the first free consecutive micro-batches, at most `size`.
    pub(crate) fn lease(&mut self, lease_id: LeaseId, size: u32) -> Option<MicroBatchRange> {
        let start = (self.first_free..self.slots.len()).find(|&at| self.slots[at] == Slot::Free)?;
        let free = self.slots[start..]
            .iter_mut()
            .take(size as usize)
            .take_while(|slot| **slot == Slot::Free);
        let mut count = 0;
        for slot in free {
            *slot = Slot::Leased(lease_id);
            count += 1;
        }
        self.n_free -= count;
        self.first_free = start + count as usize;
        let first = u32::try_from(start).expect("micro-batches of a step are counted in u32");
        Some(MicroBatchRange { first, count })
    }

    /// Frees what a lease still holds.
    pub(crate) fn free(&mut self, range: MicroBatchRange, lease_id: LeaseId) {
        for at in indices(range) {
            if self.slots[at] == Slot::Leased(lease_id) {
                self.slots[at] = Slot::Free;
                self.n_free += 1;
                self.first_free = self.first_free.min(at);
            }
        }
    }

    /// Whether nobody else has or had these micro-batches.
    pub(crate) fn can_count(&self, ranges: &[MicroBatchRange], lease_id: LeaseId) -> bool {
        ranges.iter().flat_map(|&range| indices(range)).all(|at| {
            matches!(self.slots.get(at), Some(Slot::Free))
                || self.slots.get(at) == Some(&Slot::Leased(lease_id))
        })
    }

    /// Counts micro-batches as done; [`Self::can_count`] was true.
    pub(crate) fn count(&mut self, ranges: &[MicroBatchRange], contribution: Contribution) {
        for at in ranges.iter().flat_map(|&range| indices(range)) {
            if self.slots[at] == Slot::Free {
                self.n_free -= 1;
            }
            self.slots[at] = Slot::Done;
            self.n_done += 1;
        }
        let samples = u64::from(contribution.samples);
        self.samples += samples;
        self.loss_q20 += contribution.loss_q20;
        *self.contributions.entry(contribution.identity).or_default() += samples;
        self.owed.push(Owed {
            worker_id: contribution.worker_id,
            lease_id: contribution.lease_id,
            samples: contribution.samples,
        });
    }

    /// LEASE-ONCE and CREDIT-VERIFIED for a complete step: every sample counted once, and credited to someone.
    pub(crate) fn check_complete(&self) -> Result<(), String> {
        let expected = u64::from(self.shape.samples);
        let contributed: u64 = self.contributions.values().sum();
        if self.samples == expected && contributed == expected {
            return Ok(());
        }
        Err(format!(
            "the step has {expected} samples, {} were counted and {contributed} contributed",
            self.samples
        ))
    }
}

fn indices(range: MicroBatchRange) -> std::ops::Range<usize> {
    range.first as usize..range.first as usize + range.count as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, count: u32) -> MicroBatchRange {
        MicroBatchRange { first, count }
    }

    fn step() -> Step {
        Step::new(StepShape {
            epoch: 0,
            first_sample: 0,
            samples: 80,
            micro_batches: 8,
        })
    }

    fn contribution(samples: u32) -> Contribution {
        Contribution {
            identity: Digest([1; 32]),
            worker_id: WorkerId(1),
            lease_id: LeaseId(1),
            samples,
            loss_q20: 5,
        }
    }

    #[test]
    fn leases_are_consecutive_and_disjoint() {
        let mut step = step();
        assert_eq!(step.lease(LeaseId(1), 3), Some(range(0, 3)));
        assert_eq!(step.lease(LeaseId(2), 3), Some(range(3, 3)));
        step.free(range(0, 3), LeaseId(1));
        assert_eq!(step.lease(LeaseId(3), 8), Some(range(0, 3)));
        assert_eq!(step.lease(LeaseId(4), 8), Some(range(6, 2)));
        assert_eq!(step.lease(LeaseId(5), 1), None);
        assert_eq!(step.n_free(), 0);
    }

    #[test]
    fn a_lapsed_lease_counts_only_while_nobody_has_its_work() {
        let mut step = step();
        step.lease(LeaseId(1), 4);
        step.free(range(0, 4), LeaseId(1));
        assert!(step.can_count(&[range(0, 4)], LeaseId(1)));
        step.lease(LeaseId(2), 1);
        assert!(!step.can_count(&[range(0, 4)], LeaseId(1)));
        assert!(step.can_count(&[range(1, 3)], LeaseId(1)));
        assert!(!step.can_count(&[range(7, 2)], LeaseId(1)));
    }

    #[test]
    fn a_complete_step_has_every_sample_once() {
        let mut step = step();
        step.lease(LeaseId(1), 8);
        step.count(&[range(0, 2), range(4, 4)], contribution(60));
        step.free(range(0, 8), LeaseId(1));
        assert!(!step.is_complete());
        assert!(step.check_complete().is_err());
        assert_eq!(step.lease(LeaseId(2), 8), Some(range(2, 2)));
        step.count(&[range(2, 2)], contribution(20));
        assert!(step.is_complete());
        assert_eq!(step.check_complete(), Ok(()));
        assert_eq!(step.restart().len(), 2);
        assert_eq!((step.n_free(), step.restarts, step.samples), (8, 1, 0));
    }
}

//! The step or round in progress: which of its units are free, leased or done.

use std::collections::BTreeMap;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::{LeaseId, Timestamp, WorkerId};

use crate::status::{RoundPart, RoundStatus, UnitState};
use crate::undurable::Owed;

/// One unit: a micro-batch, or a shard.
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

/// Contributions added up.
#[derive(Debug, Default)]
pub(crate) struct Contributions {
    pub(crate) samples: u64,
    pub(crate) loss_q20: i64,
    /// Samples by identity.
    pub(crate) by_identity: BTreeMap<Digest, u64>,
    /// Workers that wait for an answer.
    pub(crate) owed: Vec<Owed>,
}

impl Contributions {
    pub(crate) fn add(&mut self, contribution: Contribution) {
        let samples = u64::from(contribution.samples);
        self.samples += samples;
        self.loss_q20 += contribution.loss_q20;
        *self.by_identity.entry(contribution.identity).or_default() += samples;
        self.owed.push(Owed {
            worker_id: contribution.worker_id,
            lease_id: contribution.lease_id,
            samples: contribution.samples,
        });
    }
}

/// The step or round in progress.
#[derive(Debug)]
pub(crate) struct Step {
    slots: Vec<Slot>,
    /// Samples of all units.
    expected_samples: u64,
    n_free: u32,
    n_done: u32,
    /// No slot before it is free.
    first_free: usize,
    /// How often the step was started again.
    pub(crate) restarts: u32,
    pub(crate) began: Timestamp,
    pub(crate) contributions: Contributions,
}

impl Step {
    pub(crate) fn new(units: u32, expected_samples: u64, began: Timestamp) -> Self {
        Self {
            slots: vec![Slot::Free; units as usize],
            expected_samples,
            n_free: units,
            n_done: 0,
            first_free: 0,
            restarts: 0,
            began,
            contributions: Contributions::default(),
        }
    }

    /// Begins again: nothing is leased, nothing is done. Gives the workers whose updates are void now.
    pub(crate) fn restart(&mut self) -> Vec<Owed> {
        let restarts = self.restarts + 1;
        let fresh = Self::new(self.units(), self.expected_samples, self.began);
        let begun = std::mem::replace(self, fresh);
        self.restarts = restarts;
        begun.contributions.owed
    }

    pub(crate) fn units(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("units are counted in u32")
    }

    pub(crate) fn n_free(&self) -> u32 {
        self.n_free
    }

    pub(crate) fn n_leased(&self) -> u32 {
        self.units() - self.n_free - self.n_done
    }

    pub(crate) fn n_done(&self) -> u32 {
        self.n_done
    }

    /// For operators.
    pub(crate) fn status(&self, now: Timestamp) -> RoundStatus {
        let same = |a: &Slot, b: &Slot| a == b;
        let parts = self.slots.chunk_by(same).map(|part| RoundPart {
            count: u32::try_from(part.len()).expect("units are counted in u32"),
            state: match part[0] {
                Slot::Free => UnitState::Free,
                Slot::Leased(lease_id) => UnitState::Leased(lease_id),
                Slot::Done => UnitState::Done,
            },
        });
        RoundStatus {
            age_ms: now.since_ms(self.began),
            restarts: self.restarts,
            parts: parts.collect(),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.n_done == self.units()
    }

    /// Leases the first free consecutive units, at most `size`.
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
        let first = u32::try_from(start).expect("units are counted in u32");
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

    /// What one lease holds is another's now: its first owner is gone, and the hedge goes on alone.
    pub(crate) fn hand_over(&mut self, range: MicroBatchRange, from: LeaseId, to: LeaseId) {
        for at in indices(range) {
            if self.slots[at] == Slot::Leased(from) {
                self.slots[at] = Slot::Leased(to);
            }
        }
    }

    /// Whether nobody but the lease, or the one that it hedges, has or had these units.
    pub(crate) fn can_count(
        &self,
        ranges: &[MicroBatchRange],
        lease_id: LeaseId,
        hedge: Option<LeaseId>,
    ) -> bool {
        let mut slots = ranges.iter().flat_map(|&range| indices(range));
        slots.all(|at| match self.slots.get(at) {
            Some(Slot::Free) => true,
            Some(Slot::Leased(owner)) => *owner == lease_id || Some(*owner) == hedge,
            Some(Slot::Done) | None => false,
        })
    }

    /// Counts units as done; [`Self::can_count`] was true.
    pub(crate) fn count(&mut self, ranges: &[MicroBatchRange], contribution: Contribution) {
        for at in ranges.iter().flat_map(|&range| indices(range)) {
            if self.slots[at] == Slot::Free {
                self.n_free -= 1;
            }
            self.slots[at] = Slot::Done;
            self.n_done += 1;
        }
        self.contributions.add(contribution);
    }

    /// LEASE-ONCE and CREDIT-VERIFIED for a step that is to be applied: every sample of a complete one was
    /// counted once, and all that were counted are credited to someone.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Contributions {
            samples,
            by_identity,
            ..
        } = &self.contributions;
        let contributed: u64 = by_identity.values().sum();
        let expected = self.expected_samples;
        let is_whole = !self.is_complete() || *samples == expected;
        if is_whole && *samples <= expected && contributed == *samples {
            return Ok(());
        }
        Err(format!(
            "the step has {expected} samples, {samples} were counted and {contributed} contributed"
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
        Step::new(8, 80, Timestamp(0))
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
        assert!(step.can_count(&[range(0, 4)], LeaseId(1), None));
        step.lease(LeaseId(2), 1);
        assert!(!step.can_count(&[range(0, 4)], LeaseId(1), None));
        assert!(step.can_count(&[range(1, 3)], LeaseId(1), None));
        assert!(!step.can_count(&[range(7, 2)], LeaseId(1), None));
    }

    #[test]
    fn the_first_of_two_hedged_leases_counts() {
        let mut step = step();
        step.lease(LeaseId(1), 4);
        assert!(!step.can_count(&[range(0, 4)], LeaseId(2), None));
        assert!(step.can_count(&[range(0, 4)], LeaseId(2), Some(LeaseId(1))));
        step.count(&[range(0, 4)], contribution(40));
        assert!(!step.can_count(&[range(0, 4)], LeaseId(1), Some(LeaseId(2))));
        step.lease(LeaseId(3), 4);
        step.hand_over(range(4, 4), LeaseId(3), LeaseId(4));
        assert!(step.can_count(&[range(4, 4)], LeaseId(4), None));
        assert!(!step.can_count(&[range(4, 4)], LeaseId(3), None));
    }

    #[test]
    fn units_that_stand_together_are_told_together() {
        let mut step = step();
        step.lease(LeaseId(1), 3);
        step.lease(LeaseId(2), 2);
        step.count(&[range(0, 3)], contribution(30));
        let status = step.status(Timestamp(7));
        let part = |count, state| RoundPart { count, state };
        let parts = [
            part(3, UnitState::Done),
            part(2, UnitState::Leased(LeaseId(2))),
            part(3, UnitState::Free),
        ];
        assert_eq!((status.age_ms, status.restarts), (7, 0));
        assert_eq!(status.parts, parts);
    }

    #[test]
    fn a_complete_step_has_every_sample_once() {
        let mut step = step();
        step.lease(LeaseId(1), 8);
        step.count(&[range(0, 2), range(4, 4)], contribution(60));
        step.free(range(0, 8), LeaseId(1));
        assert!(!step.is_complete());
        assert_eq!(step.check(), Ok(()));
        assert_eq!(step.lease(LeaseId(2), 8), Some(range(2, 2)));
        step.count(&[range(2, 2)], contribution(19));
        assert!(step.is_complete());
        assert!(step.check().is_err());
        assert_eq!(step.restart().len(), 2);
        let counted = step.contributions.samples;
        assert_eq!((step.n_free(), step.restarts, counted), (8, 1, 0));
    }
}

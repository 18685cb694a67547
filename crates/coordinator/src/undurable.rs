//! What is committed and not yet on stable storage: nobody is answered or credited for it before it is.

use std::collections::VecDeque;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::{LeaseId, WorkerId};

/// An update that counts, whose worker waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) worker_id: WorkerId,
    pub(crate) lease_id: LeaseId,
    pub(crate) samples: u32,
}

/// What follows when a log entry becomes durable.
#[derive(Debug, Default)]
pub(crate) struct Consequences {
    /// Workers to answer.
    pub(crate) owed: Vec<Owed>,
    /// Samples that are credited now, by identity.
    pub(crate) credits: Vec<(Digest, u64)>,
}

/// What follows from entries that became durable together.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Everything up to this entry was durable before.
    pub(crate) after: u64,
    /// Everything up to this entry is durable now.
    pub(crate) through: u64,
    /// Of all entries between, in their order.
    pub(crate) consequences: Consequences,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    is_step: bool,
    consequences: Consequences,
}

/// Log entries under way to stable storage, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Undurable {
    entries: VecDeque<Entry>,
    steps: usize,
}

impl Undurable {
    /// An entry other than a step was given to the log.
    pub(crate) fn push(&mut self, sequence: u64) {
        self.entries.push_back(Entry {
            sequence,
            is_step: false,
            consequences: Consequences::default(),
        });
    }

    /// A step was given to the log.
    pub(crate) fn push_step(&mut self, sequence: u64, consequences: Consequences) {
        self.steps += 1;
        self.entries.push_back(Entry {
            sequence,
            is_step: true,
            consequences,
        });
    }

    /// Everything up to an entry is durable: what follows from it. None if it was known already.
    pub(crate) fn settle(&mut self, sequence: u64) -> Option<Settled> {
        let first = self.entries.front()?.sequence;
        let mut through = None;
        let mut all = Consequences::default();
        while let Some(entry) = self.entries.pop_front_if(|e| e.sequence <= sequence) {
            self.steps -= usize::from(entry.is_step);
            through = Some(entry.sequence);
            all.owed.extend(entry.consequences.owed);
            all.credits.extend(entry.consequences.credits);
        }
        Some(Settled {
            after: first - 1,
            through: through?,
            consequences: all,
        })
    }

    /// The oldest entry that is not durable.
    pub(crate) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.sequence)
    }

    /// Committed steps that a crash would take back.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Samples of an identity that are committed and not credited yet.
    pub(crate) fn samples_of(&self, identity: Digest) -> u64 {
        let credits = self.entries.iter().flat_map(|e| &e.consequences.credits);
        credits
            .filter(|(id, _)| *id == identity)
            .map(|(_, samples)| samples)
            .sum()
    }

    /// Whether an update of this lease counts already.
    pub(crate) fn owes(&self, lease_id: LeaseId) -> bool {
        let mut owed = self.entries.iter().flat_map(|e| &e.consequences.owed);
        owed.any(|owed| owed.lease_id == lease_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_is_settled_once_and_in_order() {
        let mut undurable = Undurable::default();
        let id = Digest([1; 32]);
        undurable.push(1);
        for sequence in 2..5 {
            let owed = Owed {
                worker_id: WorkerId(1),
                lease_id: LeaseId(sequence),
                samples: 8,
            };
            let consequences = Consequences {
                owed: vec![owed],
                credits: vec![(id, 8)],
            };
            undurable.push_step(sequence, consequences);
        }
        assert_eq!((undurable.steps(), undurable.samples_of(id)), (3, 24));
        let first = undurable.settle(3).unwrap();
        assert_eq!((first.after, first.through), (0, 3));
        let Consequences { owed, credits } = first.consequences;
        assert_eq!((owed.len(), credits.len()), (2, 2));
        assert_eq!((undurable.steps(), undurable.samples_of(id)), (1, 8));
        assert!(undurable.owes(LeaseId(4)) && !undurable.owes(LeaseId(3)));
        assert!(undurable.settle(3).is_none());
        let last = undurable.settle(9).unwrap();
        assert_eq!((last.after, last.through), (3, 4));
        assert_eq!(last.consequences.owed.len(), 1);
        assert!(undurable.is_empty() && undurable.settle(9).is_none());
    }
}

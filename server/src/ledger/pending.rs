//! What waits for the next transaction: pure, bounded, and mergeable while the disk fails.

use std::collections::{BTreeMap, VecDeque};

use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::limits::{
    MAX_PENDING_CREDITS, MAX_PENDING_IDENTITIES, MAX_PENDING_RECORDS, MAX_PENDING_RUNS,
};
use super::records::{Audit, CreditBatch, Sighting};

/// A run to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunRecord {
    pub(super) name: String,
    pub(super) at_ms: u64,
}

/// An event or an audit, in the order in which they came.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    Event {
        at_ms: u64,
        kind: String,
        run: Option<RunId>,
        /// JSON.
        detail: String,
    },
    Audit {
        at_ms: u64,
        audit: Box<Audit>,
    },
}

/// Credits of consecutive entries of a run's log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct PendingCredits {
    pub(super) after: u64,
    pub(super) through: u64,
    pub(super) deltas: BTreeMap<Digest, u64>,
}

/// Everything that waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) runs: BTreeMap<RunId, RunRecord>,
    pub(super) identities: BTreeMap<Digest, Sighting>,
    pub(super) credits: BTreeMap<RunId, PendingCredits>,
    pub(super) records: VecDeque<Record>,
    /// Runs whose batches don't join on: their credits have to come whole, as of this sequence or a later one.
    out_of_step: BTreeMap<RunId, u64>,
}

impl Pending {
    /// Whether the next transaction has nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
            && self.identities.is_empty()
            && self.credits.is_empty()
            && self.records.is_empty()
    }

    /// A run to record; what is over the limit is recorded at the next start.
    pub(super) fn run(&mut self, run: RunId, record: RunRecord) {
        if self.runs.len() < MAX_PENDING_RUNS || self.runs.contains_key(&run) {
            self.runs.insert(run, record);
        }
    }

    /// A sighting; the latest one of an identity counts.
    pub(super) fn identity(&mut self, identity: Digest, sighting: Sighting) {
        if self.identities.len() < MAX_PENDING_IDENTITIES || self.identities.contains_key(&identity)
        {
            self.identities.insert(identity, sighting);
        }
    }

    /// An event or audit; false if it is dropped.
    pub(super) fn record(&mut self, record: Record) -> bool {
        let fits = self.records.len() < MAX_PENDING_RECORDS;
        if fits {
            self.records.push_back(record);
        }
        fits
    }

    /// Credits; false if the run is out of step now or was before.
    pub(super) fn credit(&mut self, batch: &CreditBatch) -> bool {
        if let Some(needed) = self.out_of_step.get_mut(&batch.run) {
            *needed = batch.through.max(*needed);
            return false;
        }
        if batch.after == batch.through && batch.deltas.is_empty() {
            return true;
        }
        let waiting: usize = self.credits.values().map(|run| run.deltas.len()).sum();
        let credits = self
            .credits
            .entry(batch.run)
            .or_insert_with(|| PendingCredits {
                after: batch.after,
                through: batch.after,
                deltas: BTreeMap::new(),
            });
        if batch.through <= credits.through && batch.after >= credits.after {
            // Told twice.
            return true;
        }
        let joins = batch.after == credits.through && batch.through > batch.after;
        if !joins || waiting + batch.deltas.len() > MAX_PENDING_CREDITS {
            self.lose_step(batch.run, batch.through);
            return false;
        }
        credits.through = batch.through;
        for &(identity, samples) in &batch.deltas {
            let sum = credits.deltas.entry(identity).or_default();
            *sum = sum.saturating_add(samples);
        }
        true
    }

    /// The run's credits have to come whole, as of `needed` or later; what waits of them is of no use.
    pub(super) fn lose_step(&mut self, run: RunId, needed: u64) {
        let waited = self
            .credits
            .remove(&run)
            .map_or(0, |credits| credits.through);
        let before = self.out_of_step.get(&run).copied().unwrap_or(0);
        self.out_of_step.insert(run, needed.max(waited).max(before));
    }

    /// The run's credits came whole as of a sequence: what waited is in them, unless something later got lost.
    pub(super) fn found_step(&mut self, run: RunId, sequence: u64) {
        self.credits.remove(&run);
        if self
            .out_of_step
            .get(&run)
            .is_some_and(|&needed| needed <= sequence)
        {
            self.out_of_step.remove(&run);
        }
    }

    /// Runs whose credits have to come whole.
    pub(super) fn out_of_step(&self) -> impl Iterator<Item = RunId> {
        self.out_of_step.keys().copied()
    }

    /// Everything was written, except for runs that have to come whole.
    pub(super) fn written(&mut self) {
        self.runs.clear();
        self.identities.clear();
        self.credits.clear();
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(1);

    fn batch(after: u64, through: u64, samples: u64) -> CreditBatch {
        CreditBatch {
            run: RUN,
            after,
            through,
            deltas: vec![(Digest::of(b"a"), samples)],
        }
    }

    #[test]
    fn batches_that_join_become_one() {
        let mut pending = Pending::default();
        for batch in [
            batch(3, 5, 10),
            batch(5, 6, 1),
            batch(5, 6, 1),
            batch(4, 5, 1),
        ] {
            assert!(pending.credit(&batch), "{batch:?}");
        }
        let credits = &pending.credits[&RUN];
        assert_eq!((credits.after, credits.through), (3, 6));
        assert_eq!(credits.deltas[&Digest::of(b"a")], 11);
    }

    #[test]
    fn a_gap_costs_the_step_until_the_credits_came_whole() {
        for gap in [
            batch(7, 8, 1),
            batch(2, 6, 1),
            batch(4, 6, 1),
            batch(1, 2, 1),
        ] {
            let mut pending = Pending::default();
            assert!(pending.credit(&batch(3, 5, 10)));
            assert!(!pending.credit(&gap), "{gap:?}");
            assert!(!pending.credit(&batch(5, 6, 1)));
            assert!(pending.is_empty() && pending.out_of_step().eq([RUN]));
            pending.found_step(RUN, 5);
            assert!(!pending.credit(&batch(8, 9, 1)), "6 to 8 are missing");
            pending.found_step(RUN, 9);
            assert!(pending.credit(&batch(9, 10, 1)));
        }
    }

    #[test]
    fn everything_that_waits_is_bounded() {
        let mut pending = Pending::default();
        let many: Vec<(Digest, u64)> = (0..=MAX_PENDING_CREDITS)
            .map(|i| (Digest::of(&i.to_le_bytes()), 1))
            .collect();
        let deltas = many[1..].to_vec();
        let full = CreditBatch {
            deltas,
            ..batch(0, 1, 0)
        };
        assert!(pending.credit(&full));
        assert!(!pending.credit(&batch(1, 2, 1)));
        for (idx, (identity, _)) in many.iter().enumerate() {
            let sighting = Sighting {
                kind: super::super::records::IdentityKind::Native,
                software: String::new(),
                at_ms: 0,
            };
            pending.identity(*identity, sighting);
            let run = RunId(u32::try_from(idx).unwrap());
            let name = String::new();
            pending.run(run, RunRecord { name, at_ms: 0 });
            let fits = pending.record(Record::Event {
                at_ms: 0,
                kind: String::new(),
                run: None,
                detail: String::new(),
            });
            assert_eq!(fits, idx < MAX_PENDING_RECORDS);
        }
        assert_eq!(pending.identities.len(), MAX_PENDING_IDENTITIES);
        assert_eq!(pending.runs.len(), MAX_PENDING_RUNS);
    }
}

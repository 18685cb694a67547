//! Leases: how many units a worker gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use tabswarm_model::fixed_point::MAX_LEASE_MICRO_BATCHES;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::server::LeaseKind;
use tabswarm_protocol::{LeaseId, ParamVersion, Timestamp, WorkerId};

use crate::speed::Speed;
use crate::status::LeaseStatus;

/// A lease that has not been answered.
#[derive(Debug, Clone)]
pub(crate) struct LeaseEntry {
    pub(crate) id: LeaseId,
    pub(crate) worker_id: WorkerId,
    /// Version of its parameters.
    pub(crate) version: ParamVersion,
    /// The position of the batch whose micro-batches it has.
    pub(crate) position: u64,
    pub(crate) range: MicroBatchRange,
    /// Exponents of its answer: of fixed point, or of the loss's scale.
    pub(crate) exponents: Arc<[i8]>,
    pub(crate) granted_at: Timestamp,
    pub(crate) deadline: Timestamp,
    /// The deadline passed or the worker is gone: its units are free for others, but an answer still counts
    /// while nobody else has them.
    pub(crate) lapsed: bool,
    /// Another worker has the same units, to be on the safe side.
    pub(crate) hedge: Option<LeaseId>,
    /// It is such a second lease.
    pub(crate) is_hedge: bool,
}

impl LeaseEntry {
    /// How many units of work it is, as speeds are measured.
    pub(crate) fn units(&self, kind: LeaseKind) -> u32 {
        match kind {
            LeaseKind::Step | LeaseKind::Shard { .. } => self.range.count,
            LeaseKind::Batch => 1,
        }
    }

    /// For operators.
    pub(crate) fn status(&self, now: Timestamp) -> LeaseStatus {
        LeaseStatus {
            lease_id: self.id,
            worker_id: self.worker_id,
            version: self.version,
            position: self.position,
            first: self.range.first,
            count: self.range.count,
            age_ms: now.since_ms(self.granted_at),
            left_ms: self.deadline.since_ms(now),
            lapsed: self.lapsed,
            is_hedge: self.is_hedge,
        }
    }
}

/// Leases of a run that have not been answered.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_id: BTreeMap<LeaseId, LeaseEntry>,
    n_lapsed: usize,
}

impl Leases {
    pub(crate) fn get(&self, id: LeaseId) -> Option<&LeaseEntry> {
        self.by_id.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LeaseEntry> {
        self.by_id.values()
    }

    pub(crate) fn insert(&mut self, entry: LeaseEntry) {
        self.by_id.insert(entry.id, entry);
    }

    /// A lease is over. Its partner, if it has one, is on its own.
    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<LeaseEntry> {
        let entry = self.by_id.remove(&id)?;
        self.n_lapsed -= usize::from(entry.lapsed);
        if let Some(partner) = entry.hedge.and_then(|id| self.by_id.get_mut(&id)) {
            partner.hedge = None;
            partner.is_hedge = false;
        }
        Some(entry)
    }

    /// Two leases have the same units from now on.
    pub(crate) fn pair(&mut self, first: LeaseId, hedge: LeaseId) {
        if let Some(entry) = self.by_id.get_mut(&first) {
            entry.hedge = Some(hedge);
        }
        if let Some(entry) = self.by_id.get_mut(&hedge) {
            entry.hedge = Some(first);
            entry.is_hedge = true;
        }
    }

    /// A lease lapses; gives it as it was, and none if it had lapsed before.
    pub(crate) fn lapse(&mut self, id: LeaseId) -> Option<LeaseEntry> {
        let entry = self.by_id.get_mut(&id).filter(|entry| !entry.lapsed)?;
        let before = entry.clone();
        entry.lapsed = true;
        self.n_lapsed += 1;
        Some(before)
    }

    /// Whether some leases have lapsed and may still be answered.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.n_lapsed > 0
    }
}

/// A worker that could do some of the free units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) speed: &'a Speed,
    /// How long it is still busy with what it has.
    pub(crate) ahead_ms: f64,
}

/// Size of each worker's lease, in the order of the candidates given.
///
/// All are to be done at the same time, as early as possible: a worker that would hold the others up gets
/// nothing, however idle it is. Nobody gets more than it is expected to do in `target_ms`, and workers of unknown
/// speed get one unit to be measured by.
pub(crate) fn shares(n_free: u32, candidates: &[Candidate<'_>], target_ms: u32) -> Vec<u32> {
    let mut free = n_free;
    let mut sizes: Vec<u32> = candidates
        .iter()
        .map(|candidate| {
            let size = u32::from(candidate.speed.rate().is_none() && free > 0);
            free -= size;
            size
        })
        .collect();
    let by = |time_ms: f64, candidate: &Candidate<'_>| {
        units_by(time_ms - candidate.ahead_ms, target_ms, candidate.speed)
    };
    let total = |time_ms: f64| -> u64 {
        let all = candidates.iter().map(|one| u64::from(by(time_ms, one)));
        all.sum()
    };
    let end_ms = earliest(total, u64::from(free));
    for (size, candidate) in sizes.iter_mut().zip(candidates) {
        if candidate.speed.rate().is_some() {
            *size = by(end_ms, candidate).min(free);
            free -= *size;
        }
    }
    sizes
}

/// Units that a worker can do by a time.
fn units_by(time_ms: f64, target_ms: u32, speed: &Speed) -> u32 {
    let Some(rate) = speed.rate() else {
        return 0;
    };
    let in_time = rate * (time_ms - speed.overhead_ms()).max(0.0);
    // A worker that is too slow for the target still does one unit, if the others wait for it.
    let in_target = (rate * f64::from(target_ms)).max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let units = (in_time + 1e-9).min(in_target) as u32;
    units.min(MAX_LEASE_MICRO_BATCHES)
}

/// The earliest time by which so many units are done, or by which all do as much as they may.
fn earliest(total: impl Fn(f64) -> u64, wanted: u64) -> f64 {
    let most = total(f64::MAX);
    let wanted = wanted.min(most);
    let (mut early, mut late) = (0.0, 1.0);
    while total(late) < wanted {
        early = late;
        late *= 2.0;
    }
    for _ in 0..24 {
        let middle = f64::midpoint(early, late);
        if total(middle) >= wanted {
            late = middle;
        } else {
            early = middle;
        }
    }
    late
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(rate: Option<f64>) -> Speed {
        let mut speed = Speed::default();
        if let Some(rate) = rate {
            let elapsed_ms = 1_000_000.0 / rate;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole numbers of milliseconds"
            )]
            let elapsed = elapsed_ms as u64;
            speed.measure(1_000_000, elapsed, elapsed_ms);
        }
        speed
    }

    fn at_once(speed: &Speed) -> Candidate<'_> {
        let ahead_ms = 0.0;
        Candidate { speed, ahead_ms }
    }

    #[test]
    fn something_is_left_for_those_who_are_busy() {
        let speed = speed(Some(1.0));
        let busy = Candidate {
            speed: &speed,
            ahead_ms: 10.0,
        };
        assert_eq!(shares(30, &[at_once(&speed), busy], 1_000), [20, 10]);
        assert_eq!(shares(8, &[at_once(&speed), busy], 1_000), [8, 0]);
    }

    /// (free units, rates per ms, target, sizes).
    type Row = (u32, &'static [Option<f64>], u32, &'static [u32]);

    #[test]
    fn all_are_done_at_the_same_time() {
        let cases: &[Row] = &[
            (4, &[None], 1_000, &[1]),
            (4, &[Some(1.0)], 1_000, &[4]),
            (4, &[Some(1.0); 4], 1_000, &[1, 1, 1, 1]),
            // Ten times as slow: the fast ones are done before it.
            (
                4,
                &[Some(10.0), Some(10.0), Some(1.0), Some(1.0)],
                1_000,
                &[2, 2, 0, 0],
            ),
            (40, &[Some(3.0), Some(1.0)], 1_000, &[30, 10]),
            (40, &[Some(3.0), Some(1.0)], 4, &[12, 4]),
            (2, &[Some(1.0); 4], 1_000, &[1, 1, 0, 0]),
            (1_000, &[Some(100.0)], 1_000, &[64]),
            (10, &[Some(0.001), None], 10, &[1, 1]),
            (0, &[Some(1.0), None], 10, &[0, 0]),
        ];
        for (free, rates, target_ms, expected) in cases {
            let speeds: Vec<Speed> = rates.iter().map(|rate| speed(*rate)).collect();
            let candidates: Vec<Candidate<'_>> = speeds.iter().map(at_once).collect();
            assert_eq!(
                shares(*free, &candidates, *target_ms),
                *expected,
                "{free} {rates:?}"
            );
        }
    }

    #[test]
    fn a_long_way_to_the_worker_counts() {
        let near = speed(Some(1.0));
        let mut far = Speed::default();
        far.measure(10, 30, 10.0);
        let candidates = [&near, &far].map(at_once);
        assert_eq!(shares(30, &candidates, 1_000), [25, 5]);
    }
}

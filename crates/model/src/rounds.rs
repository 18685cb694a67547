//! What a version is made of: a step of micro-batches, one batch, or a round of shards.
//!
//! The run file's mode decides; everything that counts versions, leases or progress asks here. Progress is
//! counted in global batches whatever the mode, so that schedules, evaluations and snapshots mean the same in
//! each of them.

use std::ops::Range;
use std::sync::Arc;

use crate::batches::{BatchPlan, StepShape};
use crate::run_file::{Mode, Origin, Run};
use crate::schedule::Schedule;

/// The division of a run into versions and of a version into units, the smallest parts that are leased.
///
/// | mode | version | unit | batches a version |
/// |---|---|---|---|
/// | sync | one batch | micro-batch | 1 |
/// | async | one batch, in the order of arrival | the whole batch | 1 |
/// | local | a round of `shards` | shard: `inner_steps` batches one after the other | `shards · inner_steps` |
///
/// Batches are taken in the order of their **positions**: position `p` is batch `p`, but for a run whose
/// settings were changed when some batches had been overtaken by later ones. Those come first then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundPlan {
    batches: BatchPlan,
    kind: Kind,
    /// Version and position at which these settings begin to hold.
    begins: (u64, u64),
    /// The batches of the first positions.
    overtaken: Arc<[u64]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sync,
    Async,
    Local { inner_steps: u32, shards: u32 },
}

impl RoundPlan {
    /// The plan of a run over `samples` training samples (at least one).
    pub fn new(run: &Run, samples: u32) -> Self {
        Self {
            batches: BatchPlan::new(run, samples),
            kind: match run.mode {
                Mode::Sync => Kind::Sync,
                Mode::Async { .. } => Kind::Async,
                Mode::Local(local) => Kind::Local {
                    inner_steps: local.inner_steps,
                    shards: local.shards,
                },
            },
            begins: (run.origin.version, run.origin.batches),
            overtaken: run.origin.missing.as_slice().into(),
        }
    }

    /// Sync over `samples` samples, for one epoch.
    #[cfg(test)]
    pub(crate) fn synthetic_sync(samples: u32, micro_batch: u32, global_batch: u32) -> Self {
        Self {
            batches: BatchPlan::synthetic(samples, micro_batch, global_batch, 1),
            kind: Kind::Sync,
            begins: (0, 0),
            overtaken: Arc::new([]),
        }
    }

    /// Whether units are shards: batches one after the other.
    pub fn has_shards(&self) -> bool {
        matches!(self.kind, Kind::Local { .. })
    }

    /// The batches.
    pub fn batches(&self) -> &BatchPlan {
        &self.batches
    }

    /// Versions of the whole run.
    pub fn versions_total(&self) -> u64 {
        let (version, batches) = self.begins;
        let rest = self.batches.steps_total().saturating_sub(batches);
        version + rest.div_ceil(self.stride())
    }

    /// The batch at a position.
    pub fn batch_at(&self, position: u64) -> u64 {
        let place = position.checked_sub(self.begins.1);
        let overtaken = place.and_then(|place| self.overtaken.get(usize::try_from(place).ok()?));
        overtaken.copied().unwrap_or(position)
    }

    /// Where other settings would begin after a version: what is behind it, and which batches that leaves out.
    /// `missing` are positions before the newest one that are still to be applied, ascending.
    pub fn origin_after(&self, version: u64, missing: &[u64]) -> Origin {
        let batches = self.progress(version);
        let next = batches + missing.len() as u64;
        let behind = self.begins.1 + self.overtaken.len() as u64;
        let left = missing.iter().copied().chain(next..behind.max(next));
        Origin {
            version,
            batches,
            missing: left.map(|position| self.batch_at(position)).collect(),
        }
    }

    /// Batches that make a version; fewer in the last round.
    fn stride(&self) -> u64 {
        match self.kind {
            Kind::Sync | Kind::Async => 1,
            Kind::Local {
                inner_steps,
                shards,
            } => u64::from(inner_steps) * u64::from(shards),
        }
    }

    /// Batches in the first `version` versions, which is also the position of the next one: the run's global
    /// progress. Not for versions before these settings.
    pub fn progress(&self, version: u64) -> u64 {
        let (begins, batches) = self.begins;
        let since = version.saturating_sub(begins).saturating_mul(self.stride());
        batches
            .saturating_add(since)
            .min(self.batches.steps_total())
    }

    /// Whether something that is done every so many batches is due when a version is made.
    pub fn is_due(&self, version: u64, every_batches: u32) -> bool {
        let every = u64::from(every_batches.max(1));
        version > 0 && self.progress(version) / every > self.progress(version - 1) / every
    }

    /// Units of the version that follows `version`.
    pub fn units(&self, version: u64) -> u32 {
        match self.kind {
            Kind::Sync => self.step_at(self.progress(version)).micro_batches,
            Kind::Async => 1,
            Kind::Local { inner_steps, .. } => {
                let batches = self.progress(version + 1) - self.progress(version);
                u32::try_from(batches.div_ceil(u64::from(inner_steps)))
                    .expect("not more than shards")
            }
        }
    }

    /// The shape of the batch at a position.
    pub fn step_at(&self, position: u64) -> StepShape {
        self.batches.step(self.batch_at(position))
    }

    /// The positions of a shard of the round that follows `version`, in their order; empty where there is none.
    pub fn shard(&self, version: u64, shard: u32) -> Range<u64> {
        let Kind::Local { inner_steps, .. } = self.kind else {
            return 0..0;
        };
        let end_of_round = self.progress(version + 1);
        let first = self.progress(version) + u64::from(shard) * u64::from(inner_steps);
        first.min(end_of_round)..(first + u64::from(inner_steps)).min(end_of_round)
    }

    /// Progress at which the schedule is read for an inner step of any shard: as if all shards went one step
    /// at a time together.
    pub fn inner_progress(&self, version: u64, inner_step: u32) -> u64 {
        let Kind::Local { shards, .. } = self.kind else {
            return self.progress(version);
        };
        let ahead = u64::from(inner_step) * u64::from(shards);
        (self.progress(version) + ahead).min(self.batches.steps_total())
    }

    /// The schedule's factors for `count` inner steps from `first` of any shard of the round that follows
    /// `version`.
    pub fn inner_rate_factors(
        &self,
        schedule: &Schedule,
        version: u64,
        first: u32,
        count: u32,
    ) -> Vec<f64> {
        let total = self.batches.steps_total();
        let steps = first..first.saturating_add(count);
        steps
            .map(|step| schedule.factor(self.inner_progress(version, step), total))
            .collect()
    }

    /// Samples of `count` units from `first` of the version that follows `version`; `position` is that of an
    /// async lease.
    pub fn samples_of(&self, version: u64, position: u64, first: u32, count: u32) -> u64 {
        match self.kind {
            Kind::Sync => {
                let step = self.step_at(self.progress(version));
                u64::from(self.batches.samples_of(step, first, count))
            }
            Kind::Async => u64::from(self.step_at(position).samples),
            Kind::Local { .. } => (first..first + count)
                .flat_map(|shard| self.shard(version, shard))
                .map(|position| u64::from(self.step_at(position).samples))
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 samples in batches of 8, 8 and 4, for two epochs: six batches.
    fn plan(kind: Kind) -> RoundPlan {
        RoundPlan {
            batches: BatchPlan::synthetic(20, 2, 8, 2),
            kind,
            begins: (0, 0),
            overtaken: Arc::new([]),
        }
    }

    /// Other settings behind a version.
    fn changed(plan: &RoundPlan, kind: Kind, version: u64, missing: &[u64]) -> RoundPlan {
        let origin = plan.origin_after(version, missing);
        RoundPlan {
            kind,
            begins: (origin.version, origin.batches),
            overtaken: origin.missing.into(),
            ..plan.clone()
        }
    }

    #[test]
    fn a_version_is_a_batch_unless_there_are_rounds() {
        for (kind, units) in [(Kind::Sync, [4, 4, 2]), (Kind::Async, [1; 3])] {
            let plan = plan(kind);
            assert_eq!(plan.versions_total(), 6);
            assert_eq!([0, 1, 2].map(|version| plan.units(version)), units);
            assert_eq!(plan.progress(4), 4);
            assert!(plan.is_due(4, 2) && !plan.is_due(3, 2));
        }
        assert_eq!(plan(Kind::Sync).samples_of(2, 2, 0, 2), 4);
        assert_eq!(plan(Kind::Async).samples_of(0, 2, 0, 1), 4);
    }

    #[test]
    fn shards_cover_every_batch_once() {
        for (inner_steps, shards) in [(1, 1), (2, 2), (1, 4), (4, 1), (2, 3), (5, 7)] {
            let plan = plan(Kind::Local {
                inner_steps,
                shards,
            });
            let mut seen = Vec::new();
            let mut samples = 0;
            for version in 0..plan.versions_total() {
                let units = plan.units(version);
                assert!((1..=shards).contains(&units));
                seen.extend((0..units).flat_map(|shard| plan.shard(version, shard)));
                samples += plan.samples_of(version, 0, 0, units);
                assert_eq!(plan.progress(version + 1), seen.len() as u64);
                assert!(plan.shard(version, units).is_empty());
            }
            assert_eq!(seen, (0..6).collect::<Vec<u64>>(), "{inner_steps} {shards}");
            assert_eq!(samples, 40);
        }
    }

    #[test]
    fn after_a_change_every_batch_that_is_left_comes_once() {
        let local = Kind::Local {
            inner_steps: 2,
            shards: 1,
        };
        // Positions 0, 1 and 4 were applied; 2, 3 and 5 are left.
        let plan = changed(&plan(Kind::Async), Kind::Sync, 3, &[2, 3]);
        assert_eq!((plan.versions_total(), plan.progress(3)), (6, 3));
        let all = |plan: &RoundPlan, from: u64| -> Vec<u64> {
            (from..6).map(|position| plan.batch_at(position)).collect()
        };
        assert_eq!(all(&plan, 3), [2, 3, 5]);
        // The fifth batch is the last of its epoch, which is shorter.
        assert_eq!([3, 4, 5].map(|version| plan.units(version)), [2, 4, 2]);
        assert_eq!(plan.samples_of(3, 0, 0, 2), 4);
        // Another change before all of them are made up for.
        let again = changed(&plan, Kind::Async, 4, &[]);
        assert_eq!(all(&again, 4), [3, 5]);
        assert_eq!(again.samples_of(0, 4, 0, 1), 8);
        let rounds = changed(&plan, local, 4, &[]);
        assert_eq!((rounds.versions_total(), rounds.units(4)), (5, 1));
        assert_eq!((rounds.shard(4, 0), all(&rounds, 4)), (4..6, vec![3, 5]));
        // Out of order again: position 5 came before 4.
        let last = changed(&again, Kind::Sync, 5, &[4]);
        assert_eq!((all(&last, 5), last.versions_total()), (vec![3], 6));
    }

    #[test]
    fn what_is_due_is_due_once_however_long_rounds_are() {
        let plan = plan(Kind::Local {
            inner_steps: 2,
            shards: 2,
        });
        assert_eq!(plan.versions_total(), 2);
        assert!(plan.is_due(1, 3) && plan.is_due(2, 3) && plan.is_due(1, 1));
        assert!(!plan.is_due(0, 1) && !plan.is_due(1, 5) && plan.is_due(2, 5));
        assert_eq!(plan.inner_progress(0, 1), 2);
        assert_eq!(plan.inner_progress(1, 1), 6);
    }
}

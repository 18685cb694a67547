//! What a version is made of: a step of micro-batches, one batch, or a round of shards.
//!
//! The run file's mode decides; everything that counts versions, leases or progress asks here. Progress is
//! counted in global batches whatever the mode, so that schedules, evaluations and snapshots mean the same in
//! each of them.

use std::ops::Range;

use crate::batches::BatchPlan;
use crate::run_file::{Mode, Run};
use crate::schedule::Schedule;

/// The division of a run into versions and of a version into units, the smallest parts that are leased.
///
/// | mode | version | unit | batches a version |
/// |---|---|---|---|
/// | sync | one batch | micro-batch | 1 |
/// | async | one batch, in the order of arrival | the whole batch | 1 |
/// | local | a round of `shards` | shard: `inner_steps` batches one after the other | `shards · inner_steps` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundPlan {
    batches: BatchPlan,
    kind: Kind,
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
        }
    }

    /// Sync over `samples` samples, for one epoch.
    #[cfg(test)]
    pub(crate) fn synthetic_sync(samples: u32, micro_batch: u32, global_batch: u32) -> Self {
        Self {
            batches: BatchPlan::synthetic(samples, micro_batch, global_batch, 1),
            kind: Kind::Sync,
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
        self.batches.steps_total().div_ceil(self.stride())
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

    /// Batches in the first `version` versions: the run's global progress.
    pub fn progress(&self, version: u64) -> u64 {
        version
            .saturating_mul(self.stride())
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
            Kind::Sync => self.batches.step(version).micro_batches,
            Kind::Async => 1,
            Kind::Local { inner_steps, .. } => {
                let batches = self.progress(version + 1) - self.progress(version);
                u32::try_from(batches.div_ceil(u64::from(inner_steps)))
                    .expect("not more than shards")
            }
        }
    }

    /// The batches of a shard of the round that follows `version`, in their order; empty where there is none.
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

    /// Samples of `count` units from `first` of the version that follows `version`; `batch` is the one that
    /// an async lease names.
    pub fn samples_of(&self, version: u64, batch: u64, first: u32, count: u32) -> u64 {
        match self.kind {
            Kind::Sync => {
                let step = self.batches.step(version);
                u64::from(self.batches.samples_of(step, first, count))
            }
            Kind::Async => u64::from(self.batches.step(batch).samples),
            Kind::Local { .. } => (first..first + count)
                .flat_map(|shard| self.shard(version, shard))
                .map(|batch| u64::from(self.batches.step(batch).samples))
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

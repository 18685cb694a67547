//! What is to be done of a run: units that are given away, come back, or count.

use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::Mode;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::server::LeaseKind;
use tabswarm_protocol::{LeaseId, ParamVersion, Timestamp};

use super::HostedRun;
use crate::lease::LeaseEntry;
use crate::limits::{LEASES_AHEAD, MAX_LEASES_OF_WORKER};
use crate::registry::Worker;
use crate::run_state::RunState;
use crate::step::Step;
use crate::stream::Stream;
use crate::undurable::Owed;

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// The units of the next version.
    Round(Step),
    /// Batches, each of which makes a version when it arrives.
    Stream(Stream),
}

impl Work {
    /// What there is to do after a state.
    pub(super) fn after(plan: &RoundPlan, mode: Mode, state: &RunState, now: Timestamp) -> Self {
        match mode {
            Mode::Async { .. } => {
                let total = plan.batches().steps_total();
                let missing = &state.missing_batches;
                Self::Stream(Stream::new(state.next_position(), missing, total))
            }
            Mode::Sync | Mode::Local(_) => Self::Round(round(plan, state.version, now)),
        }
    }

    /// Units that nobody has.
    pub(crate) fn n_free(&self) -> u32 {
        match self {
            Self::Round(step) => step.n_free(),
            Self::Stream(stream) => u32::try_from(stream.n_free()).unwrap_or(u32::MAX),
        }
    }

    /// The round in progress, if there are rounds.
    pub(crate) fn round(&mut self) -> Option<&mut Step> {
        match self {
            Self::Round(step) => Some(step),
            Self::Stream(_) => None,
        }
    }

    /// A lapsed lease is answered after all: nobody else gets its batch.
    pub(crate) fn reclaim(&mut self, lease: &LeaseEntry) {
        if let Self::Stream(stream) = self
            && lease.lapsed
        {
            stream.reclaim(lease.position);
        }
    }

    /// Workers whose updates count and are not applied yet.
    pub(super) fn owed(&self) -> &[Owed] {
        match self {
            Self::Round(step) => &step.contributions.owed,
            Self::Stream(_) => &[],
        }
    }

    pub(super) fn into_owed(self) -> Vec<Owed> {
        match self {
            Self::Round(step) => step.contributions.owed,
            Self::Stream(_) => Vec::new(),
        }
    }
}

/// The round that follows a version.
pub(super) fn round(plan: &RoundPlan, version: ParamVersion, now: Timestamp) -> Step {
    let units = plan.units(version.0);
    let samples = plan.samples_of(version.0, version.0, 0, units);
    Step::new(units, samples, now)
}

impl HostedRun {
    /// Most leases of a worker at a time: one is computed while the next waits for its turn, and a shard takes
    /// a lane of its own.
    pub(crate) fn lease_depth(&self, lanes: u16) -> usize {
        match self.spec.mode {
            Mode::Sync | Mode::Async { .. } => LEASES_AHEAD,
            Mode::Local(_) => usize::from(lanes).clamp(1, MAX_LEASES_OF_WORKER),
        }
    }

    /// Whether a worker has enough to do with what it should have done by now.
    pub(crate) fn is_late(&self, worker: &Worker) -> bool {
        let is_late = |id: &LeaseId| self.leases.get(*id).is_none_or(|lease| lease.lapsed);
        worker.leases.iter().any(is_late)
    }

    /// Whether a worker may get work that it can't begin at once: it is known how long that takes, and what is
    /// left would keep everybody busy once more. Otherwise it is better with whoever is ready first.
    pub(crate) fn may_queue(&self, worker: &Worker) -> bool {
        if self.is_late(worker) {
            return false;
        }
        let is_known = worker.speed.rate().is_some();
        match (&self.work, self.spec.mode) {
            (_, Mode::Local(_)) => true,
            (Work::Stream(_), _) => is_known,
            (Work::Round(step), _) => is_known && step.n_free() >= step.n_leased(),
        }
    }

    /// So many lanes could work for it at a time.
    pub(crate) fn capacity(&self) -> u64 {
        match &self.work {
            Work::Round(_) => self.plan.units(self.state.version.0).into(),
            Work::Stream(stream) => stream.n_free() + self.leases.iter().count() as u64,
        }
    }

    /// Samples per second of a worker that does so many units per ms.
    pub(crate) fn samples_per_s_at(&self, units_per_ms: f64, lanes: u16) -> f64 {
        let samples = match self.spec.mode {
            Mode::Sync => f64::from(self.spec.micro_batch),
            Mode::Async { .. } => f64::from(self.spec.global_batch),
            // Shards of several lanes are under way together.
            Mode::Local(local) => {
                f64::from(local.inner_steps) * f64::from(self.spec.global_batch) * f64::from(lanes)
            }
        };
        units_per_ms * 1_000.0 * samples
    }

    /// What kind of work its leases are.
    pub(crate) fn lease_kind(&self) -> LeaseKind {
        match self.spec.mode {
            Mode::Sync => LeaseKind::Step,
            Mode::Async { .. } => LeaseKind::Batch,
            Mode::Local(local) => LeaseKind::Shard {
                inner_steps: local.inner_steps,
            },
        }
    }

    /// What is to be done for a lease: the last shards of a run may be shorter.
    pub(crate) fn kind_of(&self, lease: &LeaseEntry) -> LeaseKind {
        match self.lease_kind() {
            LeaseKind::Shard { .. } => {
                let positions = self.plan.shard(lease.version.0, lease.range.first);
                let steps = positions.end - positions.start;
                LeaseKind::Shard {
                    inner_steps: u32::try_from(steps).expect("not more than the run file says"),
                }
            }
            kind => kind,
        }
    }

    /// Takes units for a lease: the position of the batch that they belong to, and which they are.
    pub(crate) fn take_units(
        &mut self,
        lease_id: LeaseId,
        size: u32,
    ) -> Option<(u64, MicroBatchRange)> {
        let version = self.state.version.0;
        match &mut self.work {
            Work::Round(step) => {
                let size = match self.spec.mode {
                    Mode::Local(_) => 1,
                    Mode::Sync | Mode::Async { .. } => size,
                };
                Some((self.plan.progress(version), step.lease(lease_id, size)?))
            }
            Work::Stream(stream) => {
                let position = stream.take()?;
                let count = self.plan.step_at(position).micro_batches;
                Some((position, MicroBatchRange { first: 0, count }))
            }
        }
    }

    /// Whether versions are made of several leases, so that the last one is waited for.
    pub(crate) fn has_rounds(&self) -> bool {
        matches!(self.work, Work::Round(_))
    }

    /// Units that a worker has to do for the leases that it has.
    pub(crate) fn units_ahead(&self, leases: &[LeaseId]) -> u32 {
        let kind = self.lease_kind();
        if matches!(kind, LeaseKind::Shard { .. }) {
            // Shards have lanes of their own.
            return 0;
        }
        let leases = leases.iter().filter_map(|id| self.leases.get(*id));
        leases.map(|lease| lease.units(kind)).sum()
    }

    /// What a lease has becomes free, or its hedge's.
    pub(crate) fn give_back(&mut self, entry: &LeaseEntry) {
        match &mut self.work {
            Work::Round(step) => match entry.hedge.filter(|_| !entry.is_hedge) {
                Some(hedge) if self.leases.get(hedge).is_some_and(|h| !h.lapsed) => {
                    step.hand_over(entry.range, entry.id, hedge);
                }
                _ => step.free(entry.range, entry.id),
            },
            // What has lapsed was given back then.
            Work::Stream(stream) if !entry.lapsed => stream.give_back(entry.position),
            Work::Stream(_) => {}
        }
    }

    /// Whether these units of a lease can be counted: nobody else has done them or has them.
    pub(crate) fn can_count(&self, ranges: &[MicroBatchRange], entry: &LeaseEntry) -> bool {
        match &self.work {
            Work::Round(step) => {
                entry.version == self.version() && step.can_count(ranges, entry.id, entry.hedge)
            }
            Work::Stream(stream) => !entry.lapsed || stream.has(entry.position),
        }
    }

    /// Whether nobody waits any more for a lease that has lapsed.
    pub(crate) fn is_overtaken(&self, entry: &LeaseEntry) -> bool {
        entry.lapsed && !self.can_count(&[entry.range], entry)
    }
}

//! From files to a run: the newest usable snapshot, and the entries behind it.
//!
//! Entries behind the last one that can be read are a **torn tail** unless something says that they were on
//! stable storage: a later record, a later segment's name, or a snapshot. Then stored data was damaged, and
//! recovery refuses rather than go back behind what was acknowledged.

mod plan;
mod replay;
mod report;

#[cfg(test)]
mod tests;

use std::path::Path;

use tabswarm_coordinator::RunState;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::log::reader::{self, Scan};
use crate::log::segment;
use crate::snapshot::{Snapshot, SnapshotId, Snapshots};
pub(crate) use plan::{PathStep, Plan, PlanError, rollback_of};
use replay::Replay;
pub use report::{Alarm, RecoveryReport, ReplayedStep};

/// Where a run's files are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The run's folder.
    pub(crate) dir: &'a Path,
    pub(crate) snapshots: &'a Snapshots,
}

/// What a run's files say, before anything is replayed or written.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) scan: Scan,
    /// The newest usable snapshot; none for a run that begins at its first entry.
    pub(crate) base: Option<Snapshot>,
    /// How its entries lead to the end.
    pub(crate) plan: Plan,
    /// The last entry that counts.
    pub(crate) end: u64,
    /// Snapshots whose files are damaged.
    pub(crate) damaged: Vec<SnapshotId>,
    /// Snapshots of versions that a rollback discarded.
    pub(crate) discarded: Vec<SnapshotId>,
    pub(crate) alarms: Vec<Alarm>,
}

/// What is wanted of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Lost entries that were stored are an error.
    Refuse,
    /// The end is before the first lost entry, whatever was stored behind it.
    GiveUp,
}

/// Reads everything, and finds the base and the entries behind it.
pub(crate) fn survey(
    places: Places<'_>,
    run: &Run,
    scan: Scan,
    tolerance: Tolerance,
) -> Result<Survey, StoreError> {
    let mut scan = scan;
    let ids = places.snapshots.ids()?;
    // A snapshot is taken of durable entries only, so it proves that they were, even when it can't be read.
    let newest = ids.first().map_or(0, |id| id.sequence);
    scan.proved = scan.proved.max(newest);
    let (mut damaged, mut discarded, mut alarms) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let snapshot = match places.snapshots.load(id, run) {
            Ok(snapshot) => snapshot,
            Err(StoreError::Damaged { path, problem, .. }) => {
                alarms.push(Alarm { path, problem });
                damaged.push(id);
                continue;
            }
            // It may be readable again tomorrow: going back now would lose steps for nothing.
            Err(error) => return Err(error),
        };
        let base = Base {
            state: &snapshot.state,
            digest: snapshot.params_digest,
        };
        match follow(places, &scan, &base, tolerance) {
            Ok(plan) => {
                alarms.extend(covered_damage(&scan, plan.state.sequence));
                return Ok(Survey {
                    damaged,
                    discarded,
                    alarms,
                    ..Survey::of(scan, Some(snapshot), plan)
                });
            }
            Err(Unusable::NeedsOlder) => discarded.push(id),
            Err(Unusable::Error(error)) => return Err(error),
        }
    }
    let fresh = RunState::fresh(run);
    if scan.proved > 0 && scan.entry(1).is_none() {
        let version = discarded.last().map_or(0, |id| id.version);
        let dir = places.dir.to_owned();
        return Err(StoreError::NoBase { version, dir });
    }
    let digest = Digest::of_params(Master::new(run).params());
    let base = Base {
        state: &fresh,
        digest,
    };
    let plan = follow(places, &scan, &base, tolerance).map_err(|unusable| match unusable {
        Unusable::Error(error) => error,
        Unusable::NeedsOlder => StoreError::NoBase {
            version: 0,
            dir: places.dir.to_owned(),
        },
    })?;
    alarms.extend(covered_damage(&scan, plan.state.sequence));
    Ok(Survey {
        damaged,
        discarded,
        alarms,
        ..Survey::of(scan, None, plan)
    })
}

/// What entries are applied to.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    pub(crate) state: &'a RunState,
    pub(crate) digest: Digest,
}

enum Unusable {
    /// The entries go back behind this snapshot.
    NeedsOlder,
    Error(StoreError),
}

fn follow(
    places: Places<'_>,
    scan: &Scan,
    base: &Base<'_>,
    tolerance: Tolerance,
) -> Result<Plan, Unusable> {
    let plan = plan_of(scan, base).map_err(|error| match error {
        PlanError::NeedsOlder => Unusable::NeedsOlder,
        PlanError::Inconsistent { sequence, problem } => {
            let (path, offset) = scan.place_of(sequence);
            Unusable::Error(StoreError::Damaged {
                path,
                problem: format!("entry {sequence} at byte {offset} {problem}"),
                dir: places.dir.to_owned(),
            })
        }
    })?;
    let end = plan.state.sequence;
    if scan.proved > end && tolerance == Tolerance::Refuse {
        let (path, offset) = scan.place_of(end + 1);
        return Err(Unusable::Error(StoreError::LogDamaged {
            path,
            offset,
            first_lost: end + 1,
            last_lost: scan.proved,
            dir: places.dir.to_owned(),
        }));
    }
    Ok(plan)
}

/// The plan of everything that the log has behind a base.
pub(crate) fn plan_of(scan: &Scan, base: &Base<'_>) -> Result<Plan, PlanError> {
    let chain = scan.chain(base.state.sequence).filter_map(|located| {
        let entry = located.entry.as_ref()?;
        Some((entry, located.header.has_tensor()))
    });
    plan::plan(base, chain)
}

/// Damage that costs nothing: a snapshot or another record covers it, or it is a header that its name replaces.
fn covered_damage(scan: &Scan, end: u64) -> Vec<Alarm> {
    let covered = scan
        .bad
        .iter()
        .filter(|bad| bad.expected <= end || bad.offset == 0);
    covered
        .map(|bad| Alarm {
            path: scan.dir.join(segment::name(bad.segment)),
            problem: format!(
                "{} bytes from byte {} on are damaged; nothing that is needed was in them",
                bad.bytes, bad.offset
            ),
        })
        .collect()
}

impl Survey {
    /// What follows from a base alone.
    pub(crate) fn of(scan: Scan, base: Option<Snapshot>, plan: Plan) -> Self {
        Self {
            scan,
            base,
            end: plan.state.sequence,
            plan,
            damaged: Vec::new(),
            discarded: Vec::new(),
            alarms: Vec::new(),
        }
    }

    /// Bytes of the torn tail, and how many whole records are among them.
    pub(crate) fn torn(&self) -> (u64, u64) {
        let bad = self.scan.bad.iter();
        let torn = bad.filter(|bad| bad.expected > self.end && bad.offset > 0);
        let stranded = self.scan.entries.range(self.end + 1..);
        let (mut bytes, mut records) = (torn.map(|bad| bad.bytes).sum(), 0);
        for (_, located) in stranded {
            bytes += located.header.record_bytes() as u64;
            records += 1;
        }
        (bytes, records)
    }

    /// Replays steps of the plan, with the settings that they were made with. The master has those that hold
    /// behind them.
    pub(crate) fn replay(
        &self,
        places: Places<'_>,
        base: &Run,
        steps: &[PathStep],
        replayed: impl FnMut(ReplayedStep),
    ) -> Result<Master, StoreError> {
        let (master, held) = match &self.base {
            Some(snapshot) => (snapshot.master(base), snapshot.state.settings.len()),
            None => (Master::new(base), 0),
        };
        let (before, behind) = self.plan.state.settings.split_at(held);
        let mut replay = Replay {
            places,
            scan: &self.scan,
            run: before.last().map_or(base, |settings| &settings.run),
            settings: behind,
            master,
        };
        replay.steps(steps, replayed)?;
        replay.settle(self.plan.after(steps).version)?;
        Ok(replay.master)
    }

    /// The first entry of the segment that recovery begins, and the records that it carries over: those that
    /// can't be proved to be durable. What was read may only be what the system remembers of a failed write.
    pub(crate) fn carried(
        &self,
        disk: &dyn Disk,
        mark: [u8; 8],
        first: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        for located in self.scan.chain(first - 1) {
            if located.header.sequence > self.end {
                break;
            }
            let raw = reader::read_record(disk, &self.scan.dir, located)?;
            bytes.extend(crate::log::record::copy(
                &raw,
                mark,
                located.header,
                first - 1,
            ));
        }
        Ok(bytes)
    }
}

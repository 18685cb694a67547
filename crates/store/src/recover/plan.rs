//! Which steps lead to the end: a pure function of entries, without their sums.

use tabswarm_coordinator::{Change, LogEntry, Rollback, RunPhase, RunState};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;

use super::Base;

/// A step that counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PathStep {
    /// Its entry.
    pub(crate) sequence: u64,
    /// Whether its sums are in the log.
    pub(crate) has_tensor: bool,
    /// The state of the version that it made, in the form that a rollback to it has.
    pub(crate) at: Rollback,
}

/// How entries lead from a base to the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The base in the form that a rollback to it has.
    pub(crate) base: Rollback,
    /// Steps that no rollback discarded, in order.
    pub(crate) path: Vec<PathStep>,
    /// After all entries.
    pub(crate) state: RunState,
    /// So many entries.
    pub(crate) entries: u64,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// A rollback goes back behind the base.
    NeedsOlder,
    /// An entry does not follow from those before it.
    Inconsistent {
        /// Which.
        sequence: u64,
        /// How.
        problem: String,
    },
}

/// Follows entries, each with whether its sums are in the log.
pub(crate) fn plan<'a>(
    base: &Base<'_>,
    entries: impl Iterator<Item = (&'a LogEntry, bool)>,
) -> Result<Plan, PlanError> {
    let mut plan = Plan {
        base: rollback_of(base.state, base.digest),
        path: Vec::new(),
        state: base.state.clone(),
        entries: 0,
    };
    for (entry, has_tensor) in entries {
        let inconsistent = |problem: String| PlanError::Inconsistent {
            sequence: entry.sequence,
            problem,
        };
        if let Change::RolledBack(to) = &entry.change {
            if to.version < plan.base.version {
                return Err(PlanError::NeedsOlder);
            }
            plan.path.retain(|step| step.at.version <= to.version);
            let reached = plan.reached();
            if (reached.version, reached.digest) != (to.version, to.digest) {
                return Err(inconsistent(format!(
                    "goes back to version {}, which is not in the log with that digest",
                    to.version.0
                )));
            }
        }
        let applied = plan.state.apply(entry);
        applied.map_err(|error| inconsistent(format!("does not fit: {error}")))?;
        plan.entries += 1;
        match &entry.change {
            Change::Step(step) => plan.path.push(PathStep {
                sequence: entry.sequence,
                has_tensor,
                at: rollback_of(&plan.state, step.digest),
            }),
            // They hold at the version that they follow: going back there does not undo them.
            Change::Settings(_) => {
                let digest = plan.reached().digest;
                let at = rollback_of(&plan.state, digest);
                match plan.path.last_mut() {
                    Some(step) => step.at = at,
                    None => plan.base = at,
                }
            }
            Change::Phase { .. } | Change::RolledBack(_) => {}
        }
    }
    Ok(plan)
}

/// A state in the form that a rollback to it has.
pub(crate) fn rollback_of(state: &RunState, digest: Digest) -> Rollback {
    Rollback {
        version: state.version,
        digest,
        samples_committed: state.samples_committed,
        exponents: state.exponents.clone(),
        exponent_rises: state.exponent_rises.clone(),
        missing_batches: state.missing_batches.clone(),
    }
}

impl Plan {
    /// Where the path ends.
    fn reached(&self) -> &Rollback {
        self.path.last().map_or(&self.base, |step| &step.at)
    }

    /// The steps that can be replayed: up to the first whose sums are not in the log.
    pub(crate) fn replayable(&self) -> &[PathStep] {
        let whole = self.path.iter().take_while(|step| step.has_tensor);
        &self.path[..whole.count()]
    }

    /// The steps that lead to a version, if it can be reached.
    pub(crate) fn steps_to(&self, version: ParamVersion) -> Option<&[PathStep]> {
        if version == self.base.version {
            return Some(&[]);
        }
        let all = self.replayable();
        let at = all.iter().position(|step| step.at.version == version)?;
        Some(&all[..=at])
    }

    /// What holds after some of the path's first steps.
    pub(crate) fn after<'a>(&'a self, steps: &'a [PathStep]) -> &'a Rollback {
        steps.last().map_or(&self.base, |step| &step.at)
    }

    /// The entries that recovery has to append where not all steps can be replayed.
    pub(crate) fn correction(&self) -> Vec<LogEntry> {
        let steps = self.replayable();
        if steps.len() == self.path.len() {
            return Vec::new();
        }
        let to = self.after(steps).clone();
        let mut changes = vec![Change::RolledBack(to)];
        if self.state.phase == RunPhase::Finished {
            changes.push(Change::Phase {
                phase: RunPhase::Running,
                reason: Some("its last steps have to be computed again".to_owned()),
            });
        }
        (self.state.sequence + 1..)
            .zip(changes)
            .map(|(sequence, change)| LogEntry { sequence, change })
            .collect()
    }
}

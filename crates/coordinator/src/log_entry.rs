//! What the coordinator wants written down: every change of a run that a crash must not undo.
//!
//! A snapshot is the state after some entry; replaying the entries behind it gives the state at the end. The
//! running coordinator changes its state by the same function ([`RunState::apply`]), so that replay can't
//! drift from what happened.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;
use thiserror::Error;

use crate::limits::{MAX_CREDITED_IDENTITIES, MAX_SETTINGS};
use crate::phase::RunPhase;
use crate::run_state::{RunState, Settings};

/// One change of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Grows by one from entry to entry of a run, and never goes back, whatever the version does.
    pub sequence: u64,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A step was committed. The edge adds the accumulated update where the run file wants it logged.
    Step(StepChange),
    /// The run is in another phase.
    Phase {
        /// The new phase.
        phase: RunPhase,
        /// Why, where it was not an operator's command.
        reason: Option<String>,
    },
    /// The run went back to an earlier version, by an operator's command or because what came after it can't
    /// be replayed. Samples stay credited: the work was done.
    RolledBack(Rollback),
    /// An operator gave it other settings.
    Settings(SettingsChange),
}

/// Other settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsChange {
    /// They hold from the version at this entry on.
    pub settings: Settings,
    /// Exponents of the step after it.
    pub exponents: Vec<i8>,
    /// Their rise counters.
    pub exponent_rises: Vec<u32>,
}

/// A committed step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepChange {
    /// The version that it made.
    pub version: ParamVersion,
    /// The position of the batch that it applied: where batches are applied as they arrive, not the one of its
    /// version.
    pub batch: u64,
    /// Its samples.
    pub samples: u64,
    /// What its sums were divided by: the samples, or the shards of a round; 0 where the step was skipped.
    pub divisor: u64,
    /// Sum of their losses in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Fixed-point exponents of its updates, one per tensor; for the `f32` codec empty, or that of the loss's scale.
    pub exponents: Vec<i8>,
    /// The factor of the learning rate: the schedule's, less where the update was stale.
    pub rate_factor: f64,
    /// Of the parameters after it.
    pub digest: Digest,
    /// Exponents of the next step.
    pub next_exponents: Vec<i8>,
    /// Their rise counters.
    pub next_rises: Vec<u32>,
    /// Samples by identity (digest of its token), sorted.
    pub credits: Vec<(Digest, u64)>,
}

/// Where a run went back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The version that holds again.
    pub version: ParamVersion,
    /// Of its parameters.
    pub digest: Digest,
    /// Samples in the steps up to it.
    pub samples_committed: u64,
    /// Exponents of the step after it.
    pub exponents: Vec<i8>,
    /// Their rise counters.
    pub exponent_rises: Vec<u32>,
    /// Batches that are still to be applied before the newest one.
    pub missing_batches: Vec<u64>,
}

/// An entry does not follow from the state before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// Entries are missing or doubled.
    #[error("entry {got} follows entry {last}")]
    Sequence {
        /// The last one that was applied.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// Steps are missing or doubled.
    #[error("a step to version {got} follows version {last}")]
    Version {
        /// The version before.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// Settings are those of another version.
    #[error("settings for version {got} follow version {last}")]
    Origin {
        /// The version before.
        last: u64,
        /// Theirs.
        got: u64,
    },
    /// More than [`MAX_SETTINGS`].
    #[error("settings change more than {MAX_SETTINGS} times")]
    TooManySettings,
}

impl RunState {
    /// Applies the next entry.
    ///
    /// # Errors
    /// See [`ReplayError`]; the state is as before.
    pub fn apply(&mut self, entry: &LogEntry) -> Result<(), ReplayError> {
        if entry.sequence != self.sequence + 1 {
            return Err(ReplayError::Sequence {
                last: self.sequence,
                got: entry.sequence,
            });
        }
        match &entry.change {
            Change::Step(step) => self.apply_step(step)?,
            Change::Phase { phase, .. } => self.phase = *phase,
            Change::RolledBack(rollback) => {
                self.version = rollback.version;
                self.samples_committed = rollback.samples_committed;
                self.exponents.clone_from(&rollback.exponents);
                self.exponent_rises.clone_from(&rollback.exponent_rises);
                self.missing_batches.clone_from(&rollback.missing_batches);
                self.settings
                    .retain(|settings| settings.version() <= rollback.version);
            }
            Change::Settings(change) => self.apply_settings(change)?,
        }
        self.sequence = entry.sequence;
        Ok(())
    }

    fn apply_step(&mut self, step: &StepChange) -> Result<(), ReplayError> {
        if step.version.0 != self.version.0 + 1 {
            return Err(ReplayError::Version {
                last: self.version.0,
                got: step.version.0,
            });
        }
        self.apply_batch(step.batch);
        self.version = step.version;
        self.samples_committed += step.samples;
        self.exponents.clone_from(&step.next_exponents);
        self.exponent_rises.clone_from(&step.next_rises);
        self.credit(step);
        Ok(())
    }

    fn apply_settings(&mut self, change: &SettingsChange) -> Result<(), ReplayError> {
        let version = change.settings.version();
        if version != self.version {
            return Err(ReplayError::Origin {
                last: self.version.0,
                got: version.0,
            });
        }
        if self.settings.len() >= MAX_SETTINGS {
            return Err(ReplayError::TooManySettings);
        }
        self.exponents.clone_from(&change.exponents);
        self.exponent_rises.clone_from(&change.exponent_rises);
        // They are in the origin now.
        self.missing_batches.clear();
        self.settings.push(change.settings.clone());
        Ok(())
    }

    fn apply_batch(&mut self, position: u64) {
        let next = self.next_position();
        if position >= next {
            self.missing_batches.extend(next..position);
        } else {
            self.missing_batches.retain(|missing| *missing != position);
        }
    }

    /// The first position behind all that were applied or skipped, where each version applies one.
    pub fn next_position(&self) -> u64 {
        let origin = self.settings.last().map(|settings| &settings.run.origin);
        let (begins, batches) = origin.map_or((0, 0), |at| (at.version, at.batches));
        batches + (self.version.0 - begins) + self.missing_batches.len() as u64
    }

    /// Credits a step's samples without taking the step: it was durable, but its update is not in the log.
    pub fn credit(&mut self, step: &StepChange) {
        self.samples_verified += step.samples;
        for &(identity, samples) in &step.credits {
            match self.credits.binary_search_by_key(&identity, |(id, _)| *id) {
                Ok(at) => self.credits[at].1 += samples,
                Err(at) if self.credits.len() < MAX_CREDITED_IDENTITIES => {
                    self.credits.insert(at, (identity, samples));
                }
                Err(_) => {}
            }
        }
    }
}

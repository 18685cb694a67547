//! Changing the settings of a run that rests: what is allowed, and the entry that records it.

use tabswarm_model::Run;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::{MAX_MISSING_BATCHES, RunFileError};
use thiserror::Error;

use crate::limits::MAX_SETTINGS;
use crate::log_entry::{Change, SettingsChange};
use crate::phase::RunPhase;
use crate::run_state::{RunState, Settings, first_exponents};

/// Why a run's settings can't be changed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SettingsError {
    /// It does not rest, or is stopped for good.
    #[error("the run is {phase}; settings change while it is created, paused or finished")]
    Phase {
        /// Its phase.
        phase: RunPhase,
    },
    /// They are wrong, or change what can't change.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// They leave nothing to do to a run that is not finished.
    #[error(
        "train.epochs: the run has {batches} batches behind it, which is all that {epochs} epochs have; write more, or stop the run"
    )]
    NothingLeft {
        /// Batches in its versions.
        batches: u64,
        /// What was asked for.
        epochs: u32,
    },
    /// Changed too often.
    #[error("the run's settings were changed {MAX_SETTINGS} times; go on with a fork of it")]
    TooMany,
    /// Too many batches are late.
    #[error(
        "{missing} batches that later ones overtook are still to be done, at most {MAX_MISSING_BATCHES} can be carried over; let the run go on with fewer workers for a while"
    )]
    TooManyMissing {
        /// So many.
        missing: usize,
    },
}

impl RunState {
    /// The changes that give a resting run the settings of `to`; none where they are the same. `base` is the
    /// run of the run file and `samples` the size of its training set.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn change_settings(
        &self,
        base: &Run,
        to: &Run,
        samples: u32,
    ) -> Result<Vec<Change>, SettingsError> {
        if matches!(self.phase, RunPhase::Running | RunPhase::Stopped) {
            return Err(SettingsError::Phase { phase: self.phase });
        }
        let from = self.run(base);
        let plan = RoundPlan::new(from, samples);
        let origin = plan.origin_after(self.version.0, &self.missing_batches);
        if origin.missing.len() > MAX_MISSING_BATCHES {
            return Err(SettingsError::TooManyMissing {
                missing: origin.missing.len(),
            });
        }
        let batches = origin.batches;
        if from.changed(to, from.origin.clone())? == *from {
            return Ok(Vec::new());
        }
        let run = from.changed(to, origin)?;
        if self.settings.len() >= MAX_SETTINGS {
            return Err(SettingsError::TooMany);
        }
        let is_over = RoundPlan::new(&run, samples).versions_total() <= self.version.0;
        let is_finished = self.phase == RunPhase::Finished;
        if is_over && !is_finished {
            let epochs = run.epochs;
            return Err(SettingsError::NothingLeft { batches, epochs });
        }
        let (exponents, exponent_rises) = if from.keeps_exponents(&run) {
            (self.exponents.clone(), self.exponent_rises.clone())
        } else {
            let first = first_exponents(&run, self.exponents.len());
            (first.current().to_vec(), first.rises().to_vec())
        };
        let mut changes = vec![Change::Settings(SettingsChange {
            // As it will be read again.
            settings: Settings::parse(&run.to_json())?,
            exponents,
            exponent_rises,
        })];
        if is_finished && !is_over {
            changes.push(Change::Phase {
                phase: RunPhase::Paused,
                reason: Some("its settings leave more to do".to_owned()),
            });
        }
        Ok(changes)
    }
}

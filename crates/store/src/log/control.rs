//! Control parts of records: the stored form of an entry. Fields are appended with a new format only.

use serde::{Deserialize, Serialize};
use tabswarm_coordinator::{
    Change, LogEntry, Rollback, RunPhase, Settings, SettingsChange, StepChange,
};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;

/// What kind of record it is; the numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A committed step.
    Step = 1,
    /// A new phase.
    Phase = 2,
    /// The run went back.
    RolledBack = 3,
    /// Nothing changed; it only says what is durable.
    Sync = 4,
    /// Other settings.
    Settings = 5,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Step,
            Self::Phase,
            Self::RolledBack,
            Self::Sync,
            Self::Settings,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }

    pub(crate) fn of(change: &Change) -> Self {
        match change {
            Change::Step(_) => Self::Step,
            Change::Phase { .. } => Self::Phase,
            Change::RolledBack(_) => Self::RolledBack,
            Change::Settings(_) => Self::Settings,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredStep {
    version: u64,
    batch: u64,
    samples: u64,
    divisor: u64,
    loss_q20: i64,
    exponents: Vec<i8>,
    rate_factor: f64,
    digest: [u8; 32],
    next_exponents: Vec<i8>,
    next_rises: Vec<u32>,
    credits: Vec<([u8; 32], u64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredPhase {
    phase: String,
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredRollback {
    version: u64,
    digest: [u8; 32],
    samples_committed: u64,
    exponents: Vec<i8>,
    exponent_rises: Vec<u32>,
    missing_batches: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredSettings {
    /// Canonical JSON of the run with them.
    run_json: String,
    exponents: Vec<i8>,
    exponent_rises: Vec<u32>,
}

/// Appends the control part of a change.
pub(crate) fn encode(change: &Change, bytes: Vec<u8>) -> Vec<u8> {
    let encoded = match change {
        Change::Step(step) => {
            let stored = StoredStep {
                version: step.version.0,
                batch: step.batch,
                samples: step.samples,
                divisor: step.divisor,
                loss_q20: step.loss_q20,
                exponents: step.exponents.clone(),
                rate_factor: step.rate_factor,
                digest: step.digest.0,
                next_exponents: step.next_exponents.clone(),
                next_rises: step.next_rises.clone(),
                credits: step.credits.iter().map(|&(id, n)| (id.0, n)).collect(),
            };
            postcard::to_extend(&stored, bytes)
        }
        Change::Phase { phase, reason } => {
            let stored = StoredPhase {
                phase: phase.as_str().to_owned(),
                reason: reason.clone(),
            };
            postcard::to_extend(&stored, bytes)
        }
        Change::RolledBack(rollback) => {
            let stored = StoredRollback {
                version: rollback.version.0,
                digest: rollback.digest.0,
                samples_committed: rollback.samples_committed,
                exponents: rollback.exponents.clone(),
                exponent_rises: rollback.exponent_rises.clone(),
                missing_batches: rollback.missing_batches.clone(),
            };
            postcard::to_extend(&stored, bytes)
        }
        Change::Settings(change) => {
            let stored = StoredSettings {
                run_json: change.settings.json.as_ref().to_owned(),
                exponents: change.exponents.clone(),
                exponent_rises: change.exponent_rises.clone(),
            };
            postcard::to_extend(&stored, bytes)
        }
    };
    encoded.expect("a vector takes everything, and all lengths are known")
}

/// Reads the control part of an entry.
pub(crate) fn decode(kind: Kind, sequence: u64, bytes: &[u8]) -> Result<LogEntry, String> {
    let change = match kind {
        Kind::Step => {
            let stored: StoredStep = parse(bytes)?;
            let is_skipped = stored.samples == 0 && stored.credits.is_empty();
            if !stored.rate_factor.is_finite() || stored.divisor == 0 && !is_skipped {
                return Err("the step has impossible values".to_owned());
            }
            Change::Step(StepChange {
                version: ParamVersion(stored.version),
                batch: stored.batch,
                divisor: stored.divisor,
                samples: stored.samples,
                loss_q20: stored.loss_q20,
                exponents: stored.exponents,
                rate_factor: stored.rate_factor,
                digest: Digest(stored.digest),
                next_exponents: stored.next_exponents,
                next_rises: stored.next_rises,
                credits: stored
                    .credits
                    .into_iter()
                    .map(|(id, samples)| (Digest(id), samples))
                    .collect(),
            })
        }
        Kind::Phase => {
            let stored: StoredPhase = parse(bytes)?;
            let phase = RunPhase::from_word(&stored.phase);
            Change::Phase {
                phase: phase.ok_or_else(|| format!("the phase {:?} is unknown", stored.phase))?,
                reason: stored.reason,
            }
        }
        Kind::RolledBack => {
            let stored: StoredRollback = parse(bytes)?;
            Change::RolledBack(Rollback {
                version: ParamVersion(stored.version),
                digest: Digest(stored.digest),
                samples_committed: stored.samples_committed,
                exponents: stored.exponents,
                exponent_rises: stored.exponent_rises,
                missing_batches: stored.missing_batches,
            })
        }
        Kind::Settings => {
            let stored: StoredSettings = parse(bytes)?;
            if stored.exponents.len() != stored.exponent_rises.len() {
                return Err("the settings have impossible exponents".to_owned());
            }
            Change::Settings(SettingsChange {
                settings: Settings::parse(&stored.run_json).map_err(|error| error.to_string())?,
                exponents: stored.exponents,
                exponent_rises: stored.exponent_rises,
            })
        }
        Kind::Sync => return Err("a sync record has no entry".to_owned()),
    };
    Ok(LogEntry { sequence, change })
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes behind the control part", rest.len())),
        Err(error) => Err(format!("the control part can't be read: {error}")),
    }
}

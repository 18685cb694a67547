//! The stored form of a snapshot's manifest. Only this module knows it; a change raises the format, except for
//! a key that is left out where it says nothing: an older server refuses it where it does.

use serde::{Deserialize, Serialize};
use tabswarm_coordinator::{RunPhase, RunState, Settings};
use tabswarm_model::digest::Digest;
use tabswarm_model::optim::AdamState;
use tabswarm_protocol::{ParamVersion, RunId};

use super::Snapshot;

/// Everything of a snapshot but its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredSnapshot {
    pub(crate) run_id: u32,
    pub(crate) sequence: u64,
    pub(crate) version: u64,
    pub(crate) phase: String,
    pub(crate) samples_committed: u64,
    pub(crate) samples_verified: u64,
    pub(crate) exponents: Vec<i8>,
    pub(crate) exponent_rises: Vec<u32>,
    pub(crate) missing_batches: Vec<u64>,
    pub(crate) credits: Vec<(Digest, u64)>,
    /// Canonical JSON of the run with each of the settings that an operator gave it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) settings: Vec<String>,
    /// When it was made, in milliseconds since 1970. Snapshots of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made_ms: Option<u64>,
    /// Bits of two `f64`: they must come back exactly, and decimal text is no place for that.
    pub(crate) beta_power_bits: [u64; 2],
    /// Of the master parameters.
    pub(crate) params_digest: Digest,
    /// Of the parameters that workers have: the same ones today.
    pub(crate) published_digest: Digest,
    /// The objects beside the manifest.
    pub(crate) files: Vec<StoredFile>,
}

/// An object beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredFile {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) digest: Digest,
}

impl StoredSnapshot {
    /// The manifest of a snapshot; name and content of its tensors follow.
    pub(super) fn new(run_id: RunId, snapshot: &Snapshot, tensors: (String, &[u8])) -> Self {
        let state = &snapshot.state;
        let mut stored = Self {
            run_id: run_id.0,
            sequence: state.sequence,
            version: state.version.0,
            phase: state.phase.as_str().to_owned(),
            samples_committed: state.samples_committed,
            samples_verified: state.samples_verified,
            exponents: state.exponents.clone(),
            exponent_rises: state.exponent_rises.clone(),
            missing_batches: state.missing_batches.clone(),
            credits: state.credits.clone(),
            settings: state
                .settings
                .iter()
                .map(|settings| settings.json.as_ref().to_owned())
                .collect(),
            made_ms: snapshot.made_ms,
            beta_power_bits: snapshot
                .optimizer
                .adam_state()
                .beta_powers
                .map(f64::to_bits),
            params_digest: snapshot.params_digest,
            published_digest: snapshot.params_digest,
            files: Vec::new(),
        };
        stored.set_file(tensors.0, tensors.1);
        stored
    }

    /// Names the tensors.
    pub(super) fn set_file(&mut self, name: String, bytes: &[u8]) {
        self.files = vec![StoredFile {
            name,
            bytes: bytes.len() as u64,
            digest: Digest::of(bytes),
        }];
    }

    /// The coordinator's part and the optimizer's scalars.
    pub(super) fn restore(&self) -> Result<(RunState, AdamState), String> {
        let phase = RunPhase::from_word(&self.phase)
            .ok_or_else(|| format!("the phase {:?} is unknown", self.phase))?;
        let settings = self.settings.iter().map(|json| Settings::parse(json));
        let settings: Result<Vec<Settings>, _> = settings.collect();
        let state = RunState {
            sequence: self.sequence,
            version: ParamVersion(self.version),
            phase,
            samples_committed: self.samples_committed,
            samples_verified: self.samples_verified,
            exponents: self.exponents.clone(),
            exponent_rises: self.exponent_rises.clone(),
            missing_batches: self.missing_batches.clone(),
            credits: self.credits.clone(),
            settings: settings.map_err(|error| format!("its settings are no run: {error}"))?,
        };
        if !state.credits.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("its credits are not sorted".to_owned());
        }
        let versions = state.settings.iter().map(Settings::version);
        let newest = state.settings.last().map(Settings::version);
        if !versions.is_sorted() || newest.is_some_and(|version| version > state.version) {
            return Err("its settings are not those of its versions".to_owned());
        }
        let adam = AdamState {
            beta_powers: self.beta_power_bits.map(f64::from_bits),
        };
        Ok((state, adam))
    }
}

//! The coordinator's part of a snapshot.

use std::sync::Arc;

use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::run_file::{Precision, RunFileError};
use tabswarm_model::{Run, loss_scale};
use tabswarm_protocol::ParamVersion;

use crate::phase::RunPhase;

/// Settings that an operator gave a run after it was created.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The run with them; its origin says where they begin to hold.
    pub run: Arc<Run>,
    /// Its canonical JSON, which is what is stored: the run is always read from the same text.
    pub json: Arc<str>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// [`RunFileError`] where it is not what [`Run::to_json`] gave.
    pub fn parse(json: &str) -> Result<Self, RunFileError> {
        Ok(Self {
            run: Arc::new(Run::from_json(json)?),
            json: json.into(),
        })
    }

    /// The version after which they hold.
    pub fn version(&self) -> ParamVersion {
        ParamVersion(self.run.origin.version)
    }
}

/// The exponents of a run's first step: of fixed point, or of the loss's scale.
pub(crate) fn first_exponents(run: &Run, tensors: usize) -> Exponents {
    match run.precision {
        Precision::Single => Exponents::first(tensors),
        Precision::Half => loss_scale::first(tensors),
    }
}

/// The coordinator's part of a snapshot. The edge has its own stored form.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The last log entry whose change is in this state; none was written before entry 1.
    pub sequence: u64,
    /// Steps committed.
    pub version: ParamVersion,
    /// Phase when the snapshot was taken.
    pub phase: RunPhase,
    /// Samples in the steps up to this version.
    pub samples_committed: u64,
    /// Samples in all steps that were ever committed, those of discarded versions too: the sum of all credits.
    pub samples_verified: u64,
    /// Fixed-point exponents of the next step, one per tensor; in half precision all are that of the loss's scale.
    pub exponents: Vec<i8>,
    /// Their rise counters.
    pub exponent_rises: Vec<u32>,
    /// Positions of batches that are still to be applied before the newest one, ascending: where batches are
    /// applied as they arrive, some come late.
    pub missing_batches: Vec<u64>,
    /// Samples earned by each identity (digest of its token) in all steps ever committed, sorted.
    pub credits: Vec<(Digest, u64)>,
    /// What an operator changed, oldest first; the last one holds.
    pub settings: Vec<Settings>,
}

impl RunState {
    /// The run with the settings that hold now; `base` is that of its run file.
    pub fn run<'a>(&'a self, base: &'a Run) -> &'a Run {
        self.settings.last().map_or(base, |settings| &settings.run)
    }

    /// Samples of an identity in all steps ever committed.
    pub fn credit_of(&self, identity: Digest) -> u64 {
        match self.credits.binary_search_by_key(&identity, |(id, _)| *id) {
            Ok(at) => self.credits[at].1,
            Err(_) => 0,
        }
    }

    /// The state of a run that has not begun.
    pub fn fresh(run: &Run) -> Self {
        let exponents = first_exponents(run, run.graph().layout.tensors().len());
        Self {
            sequence: 0,
            version: ParamVersion(0),
            phase: RunPhase::Created,
            samples_committed: 0,
            samples_verified: 0,
            exponents: exponents.current().to_vec(),
            exponent_rises: exponents.rises().to_vec(),
            missing_batches: Vec::new(),
            credits: Vec::new(),
            settings: Vec::new(),
        }
    }
}

//! The coordinator's part of a snapshot.

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_protocol::ParamVersion;

use crate::phase::RunPhase;

/// The coordinator's part of a snapshot. The edge has its own stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Fixed-point exponents of the next step, one per tensor.
    pub exponents: Vec<i8>,
    /// Their rise counters.
    pub exponent_rises: Vec<u32>,
    /// Batches that are still to be applied before the newest one, ascending: where batches are applied as
    /// they arrive, some come late.
    pub missing_batches: Vec<u64>,
    /// Samples earned by each identity (digest of its token) in all steps ever committed, sorted.
    pub credits: Vec<(Digest, u64)>,
}

impl RunState {
    /// Samples of an identity in all steps ever committed.
    pub fn credit_of(&self, identity: Digest) -> u64 {
        match self.credits.binary_search_by_key(&identity, |(id, _)| *id) {
            Ok(at) => self.credits[at].1,
            Err(_) => 0,
        }
    }

    /// The state of a run that has not begun.
    pub fn fresh(run: &Run) -> Self {
        let exponents = Exponents::first(run.graph().layout.tensors().len());
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
        }
    }
}

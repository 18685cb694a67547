//! One run: its phase, its step in progress, its credits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::Exponents;
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::{ParamVersion, RunId, Timestamp};

use crate::input::{NewRun, RunCommand};
use crate::limits::MAX_CREDITED_IDENTITIES;
use crate::step::Step;

/// Where a run is in its life.
///
/// ```text
/// created ──start──> running ──last step──> finished
///                    │    ▲
///              pause ▼    │ start           stop leads from any of the first three to stopped
///                    paused
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunPhase {
    /// Not started yet.
    Created,
    /// Workers get leases.
    Running,
    /// Workers get no leases for now.
    Paused,
    /// All steps are committed.
    Finished,
    /// Ended by the operator.
    Stopped,
}

impl RunPhase {
    /// The word used in the API and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }

    /// Parses what [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Created,
            Self::Running,
            Self::Paused,
            Self::Finished,
            Self::Stopped,
        ];
        all.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Whether a command makes sense now.
    pub fn allows(self, command: RunCommand) -> bool {
        match command {
            RunCommand::Start => matches!(self, Self::Created | Self::Paused),
            RunCommand::Pause => self == Self::Running,
            RunCommand::Stop => matches!(self, Self::Created | Self::Running | Self::Paused),
        }
    }
}

impl fmt::Display for RunPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The coordinator's part of a snapshot. The edge has its own stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    /// Steps committed.
    pub version: ParamVersion,
    /// Phase when the snapshot was taken.
    pub phase: RunPhase,
    /// Samples in committed steps.
    pub samples_committed: u64,
    /// Fixed-point exponents of the next step, one per tensor.
    pub exponents: Vec<i8>,
    /// Their rise counters.
    pub exponent_rises: Vec<u32>,
    /// Samples earned by each identity (digest of its token) in committed steps, sorted.
    pub credits: Vec<(Digest, u64)>,
}

impl RunState {
    /// The state of a run that has not begun.
    pub fn fresh(run: &Run) -> Self {
        let exponents = Exponents::first(run.graph().layout.tensors().len());
        Self {
            version: ParamVersion(0),
            phase: RunPhase::Created,
            samples_committed: 0,
            exponents: exponents.current().to_vec(),
            exponent_rises: exponents.rises().to_vec(),
            credits: Vec::new(),
        }
    }
}

/// A hosted run.
#[derive(Debug)]
pub(crate) struct Run_ {
    pub(crate) id: RunId,
}

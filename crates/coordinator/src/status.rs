//! What the coordinator tells about itself: copies for the API, never its own structures.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{PauseReason, WorkerKind};
use tabswarm_protocol::{ParamVersion, RunId, WorkerId};

use crate::phase::RunPhase;

/// A run at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStatus {
    /// Which run.
    pub run_id: RunId,
    /// Its phase.
    pub phase: RunPhase,
    /// Why it is in that phase, where it was not an operator's command.
    pub reason: Option<String>,
    /// Why its log can't be written, while it can't: the run is degraded, and nothing is acknowledged.
    pub degraded: Option<String>,
    /// Steps committed that a crash would take back.
    pub undurable_steps: usize,
    /// Steps committed.
    pub version: ParamVersion,
    /// Steps of the whole run.
    pub steps_total: u64,
    /// Digest of the parameters of `version`.
    pub params_digest: Digest,
    /// Samples in committed steps.
    pub samples_committed: u64,
    /// Samples committed per second, over the last seconds.
    pub samples_per_s: f64,
    /// Mean loss of the newest step.
    pub train_loss: Option<f64>,
    /// Connected workers.
    pub workers: usize,
    /// Their lanes.
    pub lanes: usize,
}

/// A worker at a moment.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by its name"
)]
pub struct WorkerStatus {
    /// Who.
    pub worker_id: WorkerId,
    /// Digest of its token, under which it is credited.
    pub identity: Digest,
    /// It gets no more leases, and is sent away once it has answered those that it has.
    pub draining: bool,
    /// It may not work here.
    pub banned: bool,
    /// Time since it was last heard.
    pub silent_ms: u64,
    /// Leases that it is expected to answer.
    pub leases: usize,
    /// Version of the parameters that it has.
    pub params: Option<ParamVersion>,
    /// Its memory, where it says.
    pub memory_mib: u32,
    /// Whether it has a GPU that computes.
    pub gpu: bool,
    /// Kind of program.
    pub kind: WorkerKind,
    /// Name and version of the program.
    pub software: String,
    /// Parallel compute contexts.
    pub lanes: u16,
    /// Whether a connection is open.
    pub connected: bool,
    /// Why it wants no leases, if so.
    pub paused: Option<PauseReason>,
    /// The run that it works for.
    pub run_id: Option<RunId>,
    /// Micro-batches per second, measured.
    pub micro_batches_per_s: Option<f64>,
    /// Samples in accepted updates.
    pub samples_accepted: u64,
    /// Samples credited.
    pub samples_credited: u64,
    /// Updates rejected.
    pub updates_rejected: u64,
}

//! What the coordinator tells about itself: copies for the API, never its own structures.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{PauseReason, WorkerKind};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, WorkerId};

use crate::limits::STALENESS_BOUNDS;
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
    /// How stale the updates were that it accepted since it is hosted.
    pub staleness: Staleness,
}

/// Accepted updates by their staleness: how many versions were committed since the one that they were computed with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staleness {
    /// One count for each of [`STALENESS_BOUNDS`], and one for what is older.
    pub updates: [u64; STALENESS_BOUNDS.len() + 1],
    /// Versions, of all updates together.
    pub versions: u64,
}

impl Staleness {
    /// Counts an update.
    pub(crate) fn note(&mut self, staleness: u64) {
        let at = STALENESS_BOUNDS.partition_point(|&bound| bound < staleness);
        self.updates[at] += 1;
        self.versions = self.versions.saturating_add(staleness);
    }
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

/// What of a run is being worked on at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkStatus {
    /// Versions committed: what is in progress makes the next one.
    pub version: ParamVersion,
    /// The round in progress; none where batches make versions as they arrive.
    pub round: Option<RoundStatus>,
    /// Whether a version is being made of what arrived, so that nothing is handed out.
    pub applying: bool,
    /// Leases that were not answered yet, also lapsed ones that still may be, by id.
    pub leases: Vec<LeaseStatus>,
    /// Updates accepted since the run is hosted.
    pub staleness: Staleness,
    /// Updates rejected as too old since the run is hosted.
    pub too_stale: u64,
    /// The power of two by which the loss is scaled, in half precision.
    pub loss_scale_exponent: Option<i8>,
    /// Gradients that were too large for half precision since the run is hosted: steps skipped for one, and batches
    /// computed again where they are applied one by one.
    pub loss_overflows: u64,
}

/// A round at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundStatus {
    /// Since it began.
    pub age_ms: u64,
    /// How often it was begun again because a value did not fit.
    pub restarts: u32,
    /// Its units in their order, those of the same kind that stand together in one part.
    pub parts: Vec<RoundPart>,
}

/// Units of a round that stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundPart {
    /// How many.
    pub count: u32,
    /// What became of them.
    pub state: UnitState,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Nobody has it.
    Free,
    /// A lease has it.
    Leased(LeaseId),
    /// It counts.
    Done,
}

/// A lease at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Which.
    pub lease_id: LeaseId,
    /// Whose.
    pub worker_id: WorkerId,
    /// Version of its parameters.
    pub version: ParamVersion,
    /// Position of the batch whose micro-batches it has.
    pub position: u64,
    /// Its first unit.
    pub first: u32,
    /// Its units.
    pub count: u32,
    /// Since it was granted.
    pub age_ms: u64,
    /// Until its deadline; 0 where that is over.
    pub left_ms: u64,
    /// Its deadline passed or its worker is gone.
    pub lapsed: bool,
    /// It repeats what another lease has, to be on the safe side.
    pub is_hedge: bool,
}

//! What happened, for logs, metrics and the event list.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::WorkerKind;
use tabswarm_protocol::server::{RefusalCode, RejectReason};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, WorkerId};

use crate::invariants::InvariantId;
use crate::phase::RunPhase;

/// Something worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker joined or came back.
    WorkerJoined {
        /// Who.
        worker_id: WorkerId,
        /// Whether it went on as an earlier one.
        resumed: bool,
        /// Digest of its token, under which it is credited.
        identity: Digest,
        /// What it is.
        kind: WorkerKind,
        /// Its name and version of itself.
        software: String,
    },
    /// A worker's connection is gone.
    WorkerLeft {
        /// Who.
        worker_id: WorkerId,
        /// For good, rather than by a lost connection.
        goodbye: bool,
    },
    /// A connection was refused or cut.
    Refused {
        /// Why.
        code: RefusalCode,
        /// What the worker was told.
        message: String,
    },
    /// A lease was granted.
    LeaseGranted {
        /// Which.
        lease_id: LeaseId,
        /// To whom.
        worker_id: WorkerId,
        /// First micro-batch.
        first: u32,
        /// Micro-batches.
        count: u32,
    },
    /// A lease's deadline passed or its worker is gone.
    LeaseLapsed {
        /// Which.
        lease_id: LeaseId,
        /// Whose.
        worker_id: WorkerId,
    },
    /// An update counts.
    UpdateAccepted {
        /// Whose.
        worker_id: WorkerId,
        /// Of which lease.
        lease_id: LeaseId,
        /// Its samples.
        samples: u32,
    },
    /// An update does not count.
    UpdateRejected {
        /// Whose.
        worker_id: WorkerId,
        /// Of which lease.
        lease_id: LeaseId,
        /// Why.
        reason: RejectReason,
    },
    /// A step runs again with smaller exponents.
    StepRestarted {
        /// Of which run.
        run_id: RunId,
        /// The version that it starts from.
        version: ParamVersion,
        /// Attempts so far.
        attempts: u32,
    },
    /// A gradient was too large for half precision: its step is skipped, or its batch, where batches are applied one
    /// by one, computed again.
    LossOverflowed {
        /// Of which run.
        run_id: RunId,
        /// The version that it starts from.
        version: ParamVersion,
        /// Exponent of the scale of the loss.
        exponent: i8,
    },
    /// A step was committed.
    StepCommitted {
        /// Of which run.
        run_id: RunId,
        /// The version that it made.
        version: ParamVersion,
        /// Of the new parameters.
        digest: Digest,
        /// Mean loss of the step's samples, in nats; of a step that was skipped the one before it, not a number
        /// where there is none.
        train_loss: f64,
        /// Norm of the mean gradient.
        gradient_norm: f64,
    },
    /// A run changed its phase.
    PhaseChanged {
        /// Which run.
        run_id: RunId,
        /// Its new phase.
        phase: RunPhase,
        /// Why, where it was not an operator's command.
        reason: Option<String>,
    },
    /// A run's log can't be written: nothing is acknowledged until it can.
    LogFailed {
        /// Which run.
        run_id: RunId,
        /// What happened.
        reason: String,
    },
    /// A run's log can be written again.
    LogRecovered {
        /// Which run.
        run_id: RunId,
    },
    /// A run went back to an earlier version.
    RolledBack {
        /// Which run.
        run_id: RunId,
        /// The version that holds again.
        version: ParamVersion,
    },
    /// A resting run has other settings.
    SettingsChanged {
        /// Which run.
        run_id: RunId,
        /// The version from which on they hold.
        version: ParamVersion,
    },
    /// A run is no longer hosted.
    RunRemoved {
        /// Which run.
        run_id: RunId,
    },
    /// An invariant does not hold: a bug.
    InvariantViolated {
        /// Which.
        id: InvariantId,
        /// Details.
        detail: String,
    },
}

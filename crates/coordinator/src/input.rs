//! What the coordinator is told.

use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::{Diverged, StepReport};
use tabswarm_protocol::client::{Hello, Update};
use tabswarm_protocol::server::RejectReason;
use tabswarm_protocol::{ClientMessage, ParamVersion, RunId, Timestamp, Token, WorkerId};

use crate::phase::RunCommand;
use crate::run_state::RunState;

/// One connection of a worker; never used again after it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The decoded tensor of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Fixed-point sums of the `exact` codec.
    Exact(Vec<i32>),
    /// Sums of the `f32` codec.
    F32(Vec<f32>),
}

/// An update as the edge received it: decoded and checked for shape, finiteness and digest.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedUpdate {
    /// The control part.
    pub header: Update,
    /// The tensor, or why it is none.
    pub payload: Result<Payload, RejectReason>,
}

/// A run to host.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Chosen by the edge, never used before.
    pub run_id: RunId,
    /// The run with the settings that hold in its state.
    pub run: Arc<Run>,
    /// Digest of the training set's manifest.
    pub dataset: Digest,
    /// Samples of the training set.
    pub samples: u32,
    /// Fresh, or from a snapshot.
    pub state: RunState,
    /// Digest of the parameters at the state's version.
    pub params_digest: Digest,
}

/// What became of an [`crate::Effect::ApplyStep`].
pub type StepOutcome = Result<StepReport, Diverged>;

/// Everything that the coordinator may be told.
#[derive(Debug, Clone)]
pub enum Input {
    /// A worker introduced itself.
    Hello {
        /// Where.
        connection: ConnectionId,
        /// What it said.
        hello: Hello,
        /// A fresh random token, used if the worker is new.
        fresh_token: Token,
    },
    /// Any other message but an update.
    Message {
        /// Where.
        connection: ConnectionId,
        /// What it said; a hello or an update here is a protocol error.
        message: ClientMessage,
    },
    /// An update.
    Update {
        /// Where.
        connection: ConnectionId,
        /// Decoded by the edge.
        update: ReceivedUpdate,
    },
    /// A connection is closed, whoever closed it.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// The deadline passed.
    Tick,
    /// Host a run.
    CreateRun(Box<NewRun>),
    /// An operator's command; validity was checked with [`crate::RunPhase::allows`].
    Command {
        /// Which run.
        run_id: RunId,
        /// What to do.
        command: RunCommand,
    },
    /// A step was applied, or could not be.
    StepApplied {
        /// Which run.
        run_id: RunId,
        /// The version that the step made or would have made.
        version: ParamVersion,
        /// What became of it.
        outcome: StepOutcome,
    },
    /// A run's log is on stable storage up to an entry.
    LogDurable {
        /// Which run.
        run_id: RunId,
        /// The entry.
        sequence: u64,
    },
    /// A run's log can't be written at present; the edge goes on trying, and the next
    /// [`Self::LogDurable`] says that it can again.
    LogFailed {
        /// Which run.
        run_id: RunId,
        /// For operators: what happened.
        reason: String,
    },
    /// A snapshot is on stable storage, and with it all entries up to its own.
    SnapshotDurable {
        /// Which run.
        run_id: RunId,
        /// The last entry in it.
        sequence: u64,
    },
    /// A snapshot could not be written; the run goes on and a later one will cover it.
    SnapshotFailed {
        /// Which run.
        run_id: RunId,
        /// The last entry that it would have held.
        sequence: u64,
    },
    /// The edge took a resting run back to an earlier version or gave it other settings, and has stored that
    /// already. [`crate::Coordinator::may_replace`] was true.
    Replace {
        /// Which run.
        run_id: RunId,
        /// The run with the settings that hold now.
        run: Arc<Run>,
        /// Where it is now.
        state: Box<RunState>,
        /// Digest of its parameters.
        params_digest: Digest,
    },
    /// Forget a run that is over. [`crate::Coordinator::may_remove`] was true.
    RemoveRun {
        /// Which run.
        run_id: RunId,
    },
    /// Send an identity away and keep it out. A later ban of the same one takes the place of this one.
    Ban {
        /// Digest of its token.
        identity: Digest,
        /// It is over then; never if none.
        until: Option<Timestamp>,
        /// In the operator's words; the worker is told.
        reason: String,
    },
    /// Let an identity in again.
    Unban {
        /// Digest of its token.
        identity: Digest,
    },
    /// Give a worker no more leases, and send it away once it has answered those that it has.
    Drain {
        /// Which worker.
        worker_id: WorkerId,
    },
    /// The server goes down: snapshots are taken and workers are told.
    Shutdown {
        /// Workers shall come back after so long.
        reconnect_in_ms: u32,
    },
}

//! Messages from the server to a worker.
//!
//! Variants and fields are append-only: postcard numbers them by position.

use serde::{Deserialize, Serialize};

use crate::client::MicroBatchRange;
use crate::ids::{LeaseId, ParamVersion, RunId, Token, WorkerId};

/// Everything that the server may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerMessage {
    /// Answer to a hello.
    Welcome(Welcome),
    /// The run that the worker shall load.
    Run(RunAssignment),
    /// Parameters; the tensor part holds them as `f32`.
    Params(ParamsHeader),
    /// Work.
    Lease(Lease),
    /// What became of an update.
    Receipt {
        /// The lease that was answered.
        lease_id: LeaseId,
        /// Accepted or not.
        verdict: Verdict,
    },
    /// A lease is void; an answer to it would be refused.
    Revoke {
        /// The lease.
        lease_id: LeaseId,
        /// Why.
        reason: RevokeReason,
    },
    /// Samples credited to the worker in all: verified, committed and durable.
    Credited {
        /// In all.
        samples: u64,
    },
    /// Why there is no lease for the worker at present.
    Idle {
        /// Why.
        reason: IdleReason,
    },
    /// To be answered with a pong of the same nonce.
    Ping {
        /// Any number.
        nonce: u64,
    },
    /// The server goes down and expects to be back.
    Restarting {
        /// Come back after so long, plus a random part of as much again.
        reconnect_in_ms: u32,
        /// Keep trying for so long.
        try_for_ms: u32,
    },
    /// The worker is too fast for a limit.
    Throttle {
        /// Say nothing for so long.
        retry_in_ms: u32,
    },
    /// The server will not work with this worker; the connection closes.
    Refused {
        /// For programs.
        code: RefusalCode,
        /// For people: what happened and what to do.
        message: String,
    },
}

/// Answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The worker's id.
    pub worker_id: WorkerId,
    /// Goes into the hello of the next connection.
    pub resume_token: Token,
    /// Whether the worker goes on as the one that its token named.
    pub resumed: bool,
    /// Name and version of the server.
    pub software: String,
    /// The server pings at least so often; silence of three times as long means that it is gone.
    pub heartbeat_ms: u32,
    /// Samples credited so far.
    pub credited_samples: u64,
}

/// A run to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAssignment {
    /// Named in leases and parameters.
    pub run_id: RunId,
    /// The run file as canonical JSON.
    pub run_json: String,
    /// Digest of the training set's manifest, served over HTTP.
    pub dataset: [u8; 32],
}

/// The control part of parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamsHeader {
    /// The run.
    pub run_id: RunId,
    /// Their version.
    pub version: ParamVersion,
    /// blake3 digest of the tensor part.
    pub digest: [u8; 32],
}

/// Work: micro-batches of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its id.
    pub lease_id: LeaseId,
    /// The run.
    pub run_id: RunId,
    /// Version of the parameters to use, already sent; the step that makes `version + 1`.
    pub version: ParamVersion,
    /// The micro-batches.
    pub range: MicroBatchRange,
    /// Fixed-point exponents, one per tensor; for the `f32` codec the exponent of the loss's scale in half precision,
    /// else none.
    pub exponents: Vec<i8>,
    /// The answer is expected within so long.
    pub deadline_ms: u32,
    /// The batch whose micro-batches these are: with [`LeaseKind::Step`] the one of its version, with
    /// [`LeaseKind::Shard`] not used.
    pub batch: u64,
    /// What is to be done.
    pub kind: LeaseKind,
}

/// What is to be done for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LeaseKind {
    /// Gradients of some micro-batches of a step. An answer for some of them counts for those.
    Step,
    /// The gradient of a whole batch. Only an answer for all of it counts.
    Batch,
    /// A shard of a round: optimizer steps one after the other, and what they moved. Only an answer for all of
    /// it counts.
    Shard {
        /// Steps of a full shard; the last round of a run may have shorter ones.
        inner_steps: u32,
    },
}

impl LeaseKind {
    /// Inner steps of a shard; none for micro-batches.
    pub fn inner_steps(self) -> Option<u32> {
        match self {
            Self::Step | Self::Batch => None,
            Self::Shard { inner_steps } => Some(inner_steps),
        }
    }
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It counts, and its step is on stable storage: it can't be lost any more.
    Accepted {
        /// Its samples.
        samples: u32,
    },
    /// It does not count.
    Rejected(RejectReason),
}

/// Why an update does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RejectReason {
    /// The tensor part can't be decoded.
    Malformed,
    /// A value is infinite, not a number or out of range.
    OutOfRange,
    /// The digest is not that of the tensor part.
    WrongDigest,
    /// The ranges or counts do not fit the lease.
    WrongCounts,
    /// The lease is not this worker's, or was answered already.
    UnknownLease,
    /// Its step is over, was started again, or others did the work meanwhile.
    Superseded,
    /// The run does not take updates now.
    RunInactive,
    /// Too many versions were made since its parameters.
    Stale,
}

impl RejectReason {
    /// A sentence for the volunteer.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Malformed => "the update could not be read",
            Self::OutOfRange => "the update held impossible numbers",
            Self::WrongDigest => "the update was damaged on its way",
            Self::WrongCounts => "the update did not fit its lease",
            Self::UnknownLease => "the lease was unknown or already answered",
            Self::Superseded => "it came too late: others had done the work",
            Self::RunInactive => "the run was paused or over",
            Self::Stale => "it came too late: the model had moved on",
        }
    }
}

/// Why a lease is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RevokeReason {
    /// The step runs again with other exponents, or is skipped.
    StepRestarted,
    /// The deadline passed and others have the work now.
    Expired,
    /// The run was paused.
    RunPaused,
    /// The run was stopped or rolled back.
    RunStopped,
}

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IdleReason {
    /// No run is active that this worker can work for.
    NoRun,
    /// All micro-batches of the step are with other workers; the next step begins soon.
    StepTail,
    /// The operator paused the run.
    RunPaused,
    /// The run is finished.
    RunFinished,
    /// The operator stopped the run.
    RunStopped,
    /// The server's disk does not keep up, or can't be written.
    ServerStorage,
    /// The runs that are active require what this device does not have: memory, speed, a GPU, an arithmetic class.
    Requirements,
}

impl IdleReason {
    /// A sentence for the volunteer.
    pub fn explain(self) -> &'static str {
        match self {
            Self::NoRun => "Waiting: no run needs this device right now.",
            Self::StepTail => "Waiting for the other workers to finish this step.",
            Self::RunPaused => "The operator has paused the run.",
            Self::RunFinished => "The run is finished. Thank you!",
            Self::RunStopped => "The operator has stopped the run.",
            Self::ServerStorage => "Waiting for the server to store what was done so far.",
            Self::Requirements => {
                "Waiting: the runs that go on need more memory, speed or another processor than this device has."
            }
        }
    }
}

/// Why the server refuses a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// Another protocol version.
    VersionMismatch,
    /// A frame or message that can't be read or is out of place.
    ProtocolError,
    /// No run of the name that the worker asked for.
    UnknownRun,
    /// The run needs an arithmetic class that the worker does not have.
    Unsupported,
    /// A join token is needed or wrong.
    Unauthorized,
    /// The server has as many workers as it takes.
    Full,
    /// The worker was silent for too long.
    TimedOut,
    /// The worker did not take its messages fast enough.
    TooSlow,
    /// Another connection uses the same resume token.
    Replaced,
}

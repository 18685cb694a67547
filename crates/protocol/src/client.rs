//! Messages from a worker to the server.
//!
//! Variants and fields are append-only: postcard numbers them by position.

use serde::{Deserialize, Serialize};

use crate::error::FrameError;
use crate::ids::{LeaseId, RunId, Token};
use crate::{PROTOCOL_VERSION, RawMessage, older};

/// Everything that a worker may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// First message of a connection.
    Hello(Hello),
    /// The run is loaded and the worker wants leases; also sent when a pause ends.
    Ready {
        /// The run that is loaded.
        run_id: RunId,
    },
    /// The worker wants no leases for now. It has answered or released the ones it had.
    Pause {
        /// Why.
        reason: PauseReason,
    },
    /// An answer to a lease; the tensor part holds the accumulated gradient.
    Update(Update),
    /// A micro-batch does not fit the lease's exponents; the lease is over.
    Overflow {
        /// The lease.
        lease_id: LeaseId,
        /// Per exponent of the lease the largest that fits its micro-batches so far.
        fits: Vec<i8>,
    },
    /// A lease given back without an answer.
    Release {
        /// The lease.
        lease_id: LeaseId,
        /// Why.
        reason: ReleaseReason,
    },
    /// Answer to a ping.
    Pong {
        /// From the ping.
        nonce: u64,
    },
    /// The worker leaves for good; its token is void.
    Goodbye,
    /// The worker has another number of parallel compute contexts than it said.
    Lanes {
        /// From now on.
        lanes: u16,
    },
}

impl ClientMessage {
    /// Reads a message of a peer that speaks `version`, this one or the one before.
    ///
    /// # Errors
    /// [`FrameError::Control`] where the bytes are no message of that version.
    pub fn read(raw: &RawMessage, version: u16) -> Result<Self, FrameError> {
        if version < PROTOCOL_VERSION {
            older::read_client_message(raw)
        } else {
            raw.control()
        }
    }
}

/// Who a worker is and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What kind of program it is.
    pub kind: WorkerKind,
    /// Name and version of the program, for operators.
    pub software: String,
    /// The run it wants to work for; any if none.
    pub run: Option<String>,
    /// Token of an earlier connection, to go on as the same worker.
    pub resume: Option<Token>,
    /// Token that a closed server or run asks for.
    pub join_token: Option<Token>,
    /// Parallel compute contexts.
    pub lanes: u16,
    /// Arithmetic classes that its known-answer test found.
    pub classes: Vec<Class>,
    /// Memory of the device in MiB, as far as it is told; 0 where it is not.
    pub memory_mib: u32,
    /// Whether a GPU computes.
    pub gpu: bool,
}

/// Kind of worker program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkerKind {
    /// A tab.
    Browser,
    /// A headless process.
    Native,
}

/// Arithmetic class on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Multiply, round, add, round.
    Portable,
    /// Fused multiply-add.
    Fused,
}

/// Why a worker does not want leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PauseReason {
    /// Its owner said so.
    User,
    /// The tab is hidden and its owner wants it to rest then.
    Hidden,
    /// The device runs on battery.
    OnBattery,
    /// The battery is low.
    BatteryLow,
    /// The data limit is reached.
    DataCap,
    /// Its engine has to start again.
    EngineRestart,
}

/// Why a lease is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// The worker pauses.
    Paused,
    /// The data could not be loaded.
    DataUnavailable,
    /// The engine failed.
    EngineFailed,
    /// The shard's own steps gave parameters that are infinite or not a number.
    Diverged,
}

/// Micro-batches `first..first + count` of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MicroBatchRange {
    /// Index within the step.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// The control part of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The lease that it answers.
    pub lease_id: LeaseId,
    /// The micro-batches in it: the whole lease, or what was done of it when the worker had to stop.
    pub done: Vec<MicroBatchRange>,
    /// Samples in them.
    pub samples: u32,
    /// Sum of the samples' losses in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Samples whose largest score was the label's.
    pub correct: u32,
    /// Time that lanes spent computing, summed over lanes.
    pub compute_us: u64,
    /// blake3 digest of the tensor part.
    pub digest: [u8; 32],
}

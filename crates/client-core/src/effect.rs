//! What a session wants done.

use std::sync::Arc;

use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::{LeaseKind, RunAssignment};
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId};

/// A piece of a lease for one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The lease that its sums are added to.
    pub lease_id: LeaseId,
    /// Parameters to use.
    pub version: ParamVersion,
    /// The batch whose micro-batches these are; for a shard, see `first`.
    pub batch: u64,
    /// Whether these are micro-batches or inner steps of a shard.
    pub kind: LeaseKind,
    /// First unit of the lease: for a shard, its number within the round.
    pub first: u32,
    /// Micro-batches of the batch, or inner steps of the shard; inner steps come in order, and on one lane.
    pub range: MicroBatchRange,
    /// Fixed-point exponents; empty for the `f32` codec.
    pub exponents: Arc<[i8]>,
}

/// One thing to do. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the socket; answer with `SocketOpened` or `SocketClosed`.
    Connect,
    /// Close the socket, if it is open; no answer is needed.
    CloseSocket,
    /// Send a message without tensor.
    Send(ClientMessage),
    /// Load a run; answer with `RunLoaded` or `RunFailed`.
    LoadRun(RunAssignment),
    /// These parameters are going to be used; older ones may still be.
    UseParams {
        /// Of which run.
        run_id: RunId,
        /// Which version.
        version: ParamVersion,
    },
    /// No task will use these parameters any more.
    ForgetParams {
        /// Of which run.
        run_id: RunId,
        /// Which version.
        version: ParamVersion,
    },
    /// Fetch what a lease needs, unless it is there; answer with `DataReady` or `DataFailed`.
    PrepareData {
        /// Which lease.
        lease_id: LeaseId,
        /// Version of its parameters.
        version: ParamVersion,
        /// Its batch; not used for a shard.
        batch: u64,
        /// Its micro-batches, or its shard.
        range: MicroBatchRange,
        /// What it is.
        kind: LeaseKind,
    },
    /// Compute on a lane; answer with `TaskDone`.
    Compute {
        /// Which lane.
        lane: u16,
        /// What.
        task: Task,
    },
    /// Replace a lane that failed.
    RestartLane {
        /// Which.
        lane: u16,
    },
    /// A lane failed too often: end it and tell the owner why.
    RetireLane {
        /// Which.
        lane: u16,
        /// A sentence for the owner.
        message: String,
    },
    /// Encode the lease's sums, fill in the digest, send, and keep the bytes until `ForgetUpdate`.
    SendUpdate(Update),
    /// Send the kept update again.
    ResendUpdate {
        /// Of which lease.
        lease_id: LeaseId,
    },
    /// The kept update was answered.
    ForgetUpdate {
        /// Of which lease.
        lease_id: LeaseId,
    },
    /// The lease is over without an update: its sums can go; results of tasks under way are dropped.
    DropLease {
        /// Which.
        lease_id: LeaseId,
    },
}

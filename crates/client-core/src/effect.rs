//! What a session wants done.

use std::sync::Arc;

use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::RunAssignment;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId};

/// A piece of a lease for one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The lease that its sums are added to.
    pub lease_id: LeaseId,
    /// Parameters to use.
    pub version: ParamVersion,
    /// Micro-batches of the step.
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
    /// Lanes use these parameters from the next task on; older ones can be forgotten.
    UseParams {
        /// Of which run.
        run_id: RunId,
        /// Which version.
        version: ParamVersion,
    },
    /// Fetch what a lease needs, unless it is there; answer with `DataReady` or `DataFailed`.
    PrepareData {
        /// Which lease.
        lease_id: LeaseId,
        /// Version of its parameters: it tells the step.
        version: ParamVersion,
        /// Its micro-batches.
        range: MicroBatchRange,
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

//! What a session is told.

use tabswarm_protocol::client::{Class, MicroBatchRange, PauseReason, WorkerKind};
use tabswarm_protocol::{LeaseId, RunId, ServerMessage, Token};

/// What a worker is, fixed for the session.
#[derive(Debug, Clone)]
pub struct Config {
    /// Kind of program.
    pub kind: WorkerKind,
    /// Name and version of the program.
    pub software: String,
    /// The run to work for; any if none.
    pub run: Option<String>,
    /// For closed servers.
    pub join_token: Option<Token>,
    /// Parallel compute contexts, at least one.
    pub lanes: u16,
    /// Arithmetic classes that the known-answer test found.
    pub classes: Vec<Class>,
    /// Memory of the device in MiB; 0 where that is not known.
    pub memory_mib: u32,
    /// Whether a GPU computes.
    pub gpu: bool,
    /// Share of time that lanes may compute, 1 to 100.
    pub duty_percent: u8,
    /// Seed of the random part of waits; different for every worker.
    pub seed: u64,
}

/// What a lane did.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// Which lane.
    pub lane: u16,
    /// For which lease.
    pub lease_id: LeaseId,
    /// Which micro-batches.
    pub range: MicroBatchRange,
    /// Samples in them.
    pub samples: u32,
    /// Sum of losses in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Samples classified correctly.
    pub correct: u32,
    /// Time spent computing.
    pub elapsed_us: u64,
    /// Whether the sums were added to the lease's.
    pub outcome: Result<(), TaskFault>,
}

/// Why a task gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskFault {
    /// A value does not fit the exponents; per tensor the largest exponent that does.
    Overflow {
        /// One per tensor.
        fits: Vec<i8>,
    },
    /// The shard's own steps gave parameters that are infinite or not a number, as they would anywhere.
    Diverged,
    /// The engine or the lane failed.
    Engine {
        /// What it said.
        message: String,
    },
}

/// Everything that a session may be told.
#[derive(Debug, Clone)]
pub enum Input {
    /// Its owner said start.
    Start,
    /// The socket is open.
    SocketOpened,
    /// The socket is closed, or could not be opened.
    SocketClosed {
        /// A sentence for the owner.
        reason: String,
    },
    /// A message; the driver has kept the tensor of parameters under their run and version.
    Message(ServerMessage),
    /// The assigned run is loaded: graph built, manifest checked, lanes ready.
    RunLoaded {
        /// Which.
        run_id: RunId,
    },
    /// The assigned run could not be loaded.
    RunFailed {
        /// Which.
        run_id: RunId,
        /// A sentence for the owner.
        message: String,
    },
    /// All samples of a lease are here.
    DataReady {
        /// Which lease.
        lease_id: LeaseId,
    },
    /// Samples of a lease could not be fetched.
    DataFailed {
        /// Which lease.
        lease_id: LeaseId,
        /// A sentence for the owner.
        message: String,
    },
    /// A lane finished a task.
    TaskDone(TaskResult),
    /// A lane died while it had no task.
    LaneLost {
        /// Which.
        lane: u16,
        /// A sentence for the owner.
        message: String,
    },
    /// Stop computing for a reason; replaces an earlier reason.
    Pause(PauseReason),
    /// Compute again.
    Resume,
    /// Finish the current lease, then leave.
    Finish,
    /// Reconnect now rather than after the wait.
    RetryNow,
    /// The device lost or regained its network.
    Online(bool),
    /// Change the duty cycle, 1 to 100.
    SetDuty(u8),
    /// Change the number of lanes; the driver has them.
    SetLanes(u16),
    /// The deadline passed.
    Tick,
}

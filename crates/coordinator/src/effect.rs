//! What the coordinator wants done.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId, ServerMessage};

use crate::event::Event;
use crate::input::{ConnectionId, Payload};
use crate::log_entry::LogEntry;
use crate::run_state::RunState;

/// Why a snapshot is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotCause {
    /// The run file's interval.
    Interval,
    /// The run was started: a restarted server goes on with it, and the page can show what the model knew
    /// before it learned.
    Started,
    /// The run was paused.
    Paused,
    /// The run was stopped.
    Stopped,
    /// The run is finished.
    Finished,
    /// The server goes down.
    Shutdown,
}

/// One thing to do. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a message.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// What.
        message: ServerMessage,
    },
    /// Send the run's current parameters, whose version is given; encode them once for all connections.
    SendParams {
        /// To whom.
        connection: ConnectionId,
        /// Of which run.
        run_id: RunId,
        /// Their version.
        version: ParamVersion,
    },
    /// Close a connection after what was sent.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Add an update to the step in progress.
    Accumulate {
        /// Of which run.
        run_id: RunId,
        /// First micro-batch in it: `f32` updates are added in this order.
        first: u32,
        /// The tensor.
        payload: Payload,
    },
    /// Forget the updates of the step in progress.
    ResetAccumulator {
        /// Of which run.
        run_id: RunId,
    },
    /// Apply the step and answer with [`crate::Input::StepApplied`].
    ApplyStep {
        /// Of which run.
        run_id: RunId,
        /// The version that it makes.
        version: ParamVersion,
        /// Exponents of the step's leases.
        exponents: Vec<i8>,
        /// What the sums are divided by: samples, or shards.
        divisor: u64,
        /// Factor of the learning rate: the schedule's, less where the update is stale.
        rate_factor: f64,
    },
    /// Append an entry to the run's log and answer with [`crate::Input::LogDurable`] once it is on stable
    /// storage, or with [`crate::Input::LogFailed`] while it can't be. Entries of a run come in order, and the
    /// edge keeps what is not durable until it is.
    Append {
        /// Of which run.
        run_id: RunId,
        /// The entry; for a step, the accumulated update that was just applied belongs to it.
        entry: Box<LogEntry>,
    },
    /// Evaluate the current parameters on the test set.
    Evaluate {
        /// Of which run.
        run_id: RunId,
        /// Their version.
        version: ParamVersion,
    },
    /// Write a snapshot of the current parameters, the optimizer and this state, and answer with
    /// [`crate::Input::SnapshotDurable`] or [`crate::Input::SnapshotFailed`].
    TakeSnapshot {
        /// Of which run.
        run_id: RunId,
        /// Why.
        cause: SnapshotCause,
        /// The coordinator's part.
        state: RunState,
    },
    /// Log entries became durable, and with them these credits: for whoever keeps a list of them. The pieces of
    /// a run join on to each other, from the state that it was created with on; after [`crate::Input::Replace`]
    /// from the new one.
    Credited {
        /// Of which run.
        run_id: RunId,
        /// The last entry before the piece.
        after: u64,
        /// The last entry of the piece.
        through: u64,
        /// Samples by identity, in the order of entries; an identity may come more than once, or nobody.
        credits: Vec<(Digest, u64)>,
    },
    /// Something for the log and the metrics.
    Event(Event),
}

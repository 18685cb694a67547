//! What the coordinator's thread may be told.

use std::sync::Arc;
use std::time::Duration;

use tabswarm_coordinator::{
    ConnectionId, ReceivedUpdate, RunCommand, RunPhase, WorkStatus, WorkerStatus,
};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::Hello;
use tabswarm_protocol::{ClientMessage, RunId, Token, WorkerId};
use tabswarm_store::{SnapshotId, SnapshotInfo};
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::Span;

use super::PreparedRun;
use super::outbox::{Outbox, Traffic};
use crate::evaluation::Evaluated;
use crate::hosting::Reopened;
use crate::log_writer::Logged;
use crate::snapshot_writer::Written;

/// What the thread may be told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A worker introduced itself on a new socket.
    Hello {
        /// The socket.
        connection: ConnectionId,
        /// What it said.
        hello: Hello,
        /// A fresh random token.
        fresh_token: Token,
        /// The way back.
        outbox: Outbox,
    },
    /// Another message of a worker.
    Worker {
        /// The socket.
        connection: ConnectionId,
        /// What it said.
        message: ClientMessage,
    },
    /// A decoded update.
    Update {
        /// The socket.
        connection: ConnectionId,
        /// The update.
        update: ReceivedUpdate,
        /// Its trace.
        span: Span,
    },
    /// A socket is gone.
    Disconnected {
        /// The socket.
        connection: ConnectionId,
    },
    /// Host a run.
    Create {
        /// The run.
        prepared: Box<PreparedRun>,
        /// Answered when it is in the published view.
        done: oneshot::Sender<()>,
    },
    /// An operator's command.
    Command {
        /// Which run.
        run_id: RunId,
        /// What to do.
        command: Command,
        /// Answered when its effects are in the published view.
        done: oneshot::Sender<Result<Durable, Forbidden>>,
    },
    /// Let go of a resting run's files: somebody will work on them.
    Detach {
        /// Which run.
        run_id: RunId,
        /// Answered with what is told when its log is closed; or the phase in which it does not rest.
        done: oneshot::Sender<Result<Durable, Forbidden>>,
    },
    /// Work on a run's files is done.
    Attach {
        /// Which run.
        run_id: RunId,
        /// What they say now.
        reopened: Box<Reopened>,
        /// Answered when it is in the published view.
        done: oneshot::Sender<()>,
    },
    /// What an operator wants besides a run's phase.
    Order(Order),
    /// The snapshots of a run are others now.
    Snapshots {
        /// Of which run.
        run_id: RunId,
        /// All of them, newest first.
        snapshots: Vec<SnapshotInfo>,
    },
    /// Give the ledger the credits of a run whole, or those of all runs.
    Reconcile {
        /// Which run.
        run_id: Option<RunId>,
    },
    /// Who is there?
    Workers {
        /// The answer.
        reply: oneshot::Sender<Vec<WorkerStatus>>,
    },
    /// What of a run is being worked on?
    Work {
        /// Which run.
        run_id: RunId,
        /// The answer, and the bytes of its workers; none where it is not hosted any more.
        reply: oneshot::Sender<Option<(WorkStatus, Arc<Traffic>)>>,
    },
    /// An evaluation is done.
    Evaluated(Evaluated),
    /// Log entries are durable, or could not be made so.
    Logged(Logged),
    /// A snapshot is written, or could not be.
    Written(Written),
    /// Take snapshots, tell workers, end.
    Shutdown,
}

/// What an operator may want besides a run's phase.
#[derive(Debug)]
pub(crate) enum Order {
    /// Forget a run that is over: its files will be put away.
    Remove {
        /// Which run.
        run_id: RunId,
        /// Answered as [`Message::Detach`], when it is not in the published view any more.
        done: oneshot::Sender<Result<Durable, Forbidden>>,
    },
    /// Remove a snapshot that is not the newest.
    RemoveSnapshot {
        /// Of which run.
        run_id: RunId,
        /// Which.
        id: SnapshotId,
        /// Answered with whether it was, or why it could not be.
        done: oneshot::Sender<Result<bool, String>>,
    },
    /// Send an identity away and keep it out.
    Ban {
        /// Whose.
        identity: Digest,
        /// It is over after so long; never if none.
        lasts: Option<Duration>,
        /// The worker is told.
        reason: String,
    },
    /// Let an identity in again.
    Unban {
        /// Whose.
        identity: Digest,
    },
    /// Give a worker no more leases, and send it away once it has answered those that it has.
    Drain {
        /// Which.
        worker_id: WorkerId,
        /// Answered with whether it is connected.
        done: oneshot::Sender<bool>,
    },
}

/// What an operator may want of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Begin, or go on after a pause.
    Start,
    /// No more leases.
    Pause,
    /// Go on after a pause.
    Resume,
    /// End for good.
    Stop,
}

/// Told when a command's effects will survive a restart; dropped if the log can't be written.
pub(crate) type Durable = oneshot::Receiver<()>;

/// A command that makes no sense in the run's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the run is {phase}")]
pub(crate) struct Forbidden {
    /// The phase.
    pub(crate) phase: RunPhase,
}

impl Command {
    pub(super) fn check(self, phase: RunPhase) -> Result<RunCommand, Forbidden> {
        let command = match self {
            Self::Start => RunCommand::Start,
            Self::Resume if phase == RunPhase::Paused => RunCommand::Start,
            Self::Resume => return Err(Forbidden { phase }),
            Self::Pause => RunCommand::Pause,
            Self::Stop => RunCommand::Stop,
        };
        if phase.allows(command) {
            Ok(command)
        } else {
            Err(Forbidden { phase })
        }
    }
}

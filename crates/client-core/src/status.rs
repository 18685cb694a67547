//! A session at a moment, for its owner.

use tabswarm_protocol::client::PauseReason;

use crate::stats::Stats;

/// Where a session is.
///
/// ```text
///            ┌──────────────────── socket lost ───────────────────┐
///            ▼                                                    │
/// stopped  backoff ──> connecting ──> joining ──> loading ──> idle <──> computing
///                                                              └─ pause ─> paused
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started, finished, or refused.
    Stopped,
    /// Opening the socket.
    Connecting,
    /// Waiting for the welcome.
    Joining,
    /// Loading the run or a lease's data.
    Loading,
    /// Ready, without work.
    Idle,
    /// Computing.
    Computing,
    /// Paused by its owner's rules.
    Paused,
    /// Waiting before the next connection attempt.
    Backoff,
}

impl State {
    /// The word used on the page and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Connecting => "connecting",
            Self::Joining => "joining",
            Self::Loading => "loading",
            Self::Idle => "idle",
            Self::Computing => "computing",
            Self::Paused => "paused",
            Self::Backoff => "backoff",
        }
    }
}

/// Why a session is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCode {
    /// Not started yet.
    NotStarted,
    /// Its owner finished.
    Finished,
    /// The server speaks another protocol version.
    VersionMismatch,
    /// The server refuses this worker.
    Refused,
    /// The engine failed again and again, or gives wrong answers.
    EngineFailed,
}

impl StopCode {
    /// The word used on the page and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Finished => "finished",
            Self::VersionMismatch => "version_mismatch",
            Self::Refused => "refused",
            Self::EngineFailed => "engine_failed",
        }
    }
}

/// Everything that an owner may want to see.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where the session is.
    pub state: State,
    /// A sentence, whenever it is not computing.
    pub reason: Option<String>,
    /// Why it is paused, if so.
    pub pause_reason: Option<PauseReason>,
    /// Time to the next connection attempt, in backoff.
    pub retry_in_ms: Option<u64>,
    /// Why it is stopped, if so.
    pub stop_code: Option<StopCode>,
    /// Whether the server says that the run is finished.
    pub run_finished: bool,
    /// Version of the newest parameters received.
    pub version: u64,
    /// Micro-batches done and in all of the current lease.
    pub lease: Option<(u32, u32)>,
    /// Lanes that are not retired.
    pub lanes: u16,
    /// Samples per second over the last seconds.
    pub samples_per_s: f64,
    /// Share of the lanes' time spent computing, 0 to 1.
    pub busy_ratio: f64,
    /// Counts.
    pub stats: Stats,
}

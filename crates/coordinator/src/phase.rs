//! Where a run is in its life, and what moves it on.

use std::fmt;

/// Where a run is in its life.
///
/// ```text
/// created ──start──> running ──last step──> finished
///                    │    ▲
///              pause ▼    │ start           stop leads from any of the first three to stopped
///                    paused
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunPhase {
    /// Not started yet.
    Created,
    /// Workers get leases.
    Running,
    /// Workers get no leases for now.
    Paused,
    /// All steps are committed.
    Finished,
    /// Ended by the operator.
    Stopped,
}

impl RunPhase {
    /// The word used in the API and on the page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }

    /// Parses what [`Self::as_str`] gave.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Created,
            Self::Running,
            Self::Paused,
            Self::Finished,
            Self::Stopped,
        ];
        all.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Whether it is the last one.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped)
    }

    /// Whether a command makes sense now.
    pub fn allows(self, command: RunCommand) -> bool {
        match command {
            RunCommand::Start => matches!(self, Self::Created | Self::Paused),
            RunCommand::Pause => self == Self::Running,
            RunCommand::Stop => matches!(self, Self::Created | Self::Running | Self::Paused),
        }
    }
}

impl fmt::Display for RunPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator wants of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCommand {
    /// Begin, or go on after a pause.
    Start,
    /// No more leases until started again.
    Pause,
    /// End for good.
    Stop,
}

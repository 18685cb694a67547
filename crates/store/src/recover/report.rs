//! What recovery tells operators.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tabswarm_coordinator::Rollback;
use tabswarm_protocol::ParamVersion;

use crate::snapshot::SnapshotId;

/// Damage that recovery found a way around; somebody should look at the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// A step that was applied again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayedStep {
    /// The version that it made.
    pub version: ParamVersion,
    /// Sum of its samples' losses in units of 2^-20 nats.
    pub loss_q20: i64,
    /// Its samples.
    pub samples: u64,
}

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The snapshot that it began with; none for the beginning of the run.
    pub snapshot: Option<SnapshotId>,
    /// Newer snapshots that could not be used; they were set aside.
    pub fallbacks: Vec<SnapshotId>,
    /// Entries behind the snapshot.
    pub entries: u64,
    /// Steps applied again.
    pub replayed: Vec<ReplayedStep>,
    /// Bytes of a torn tail, which nobody was told of; they do not count any more.
    pub torn_bytes: u64,
    /// Whole records among them.
    pub torn_records: u64,
    /// Where the run went back to because the log has no sums, and the version that it had.
    pub rolled_back: Option<(ParamVersion, Rollback)>,
    /// Damage.
    pub alarms: Vec<Alarm>,
    /// How long it took.
    pub elapsed: Duration,
}

impl RecoveryReport {
    /// Whether something was damaged that had been stored.
    pub fn has_damage(&self) -> bool {
        !self.alarms.is_empty()
    }
}

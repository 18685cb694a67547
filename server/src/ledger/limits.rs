//! Every limit of the ledger, with its reason.

use std::time::Duration;

/// Requests waiting for the ledger's task. A transaction takes milliseconds and requests come a few hundred a
/// second at most, so a full queue means that the disk hangs.
pub(crate) const QUEUE_REQUESTS: usize = 4_096;
/// Writes wait so long for others, which then share their transaction and its fsync.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// The longest pause between two attempts to write to a failing disk.
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A run that is out of step is asked for again after so long.
pub(crate) const RECONCILE_REMINDER: Duration = Duration::from_secs(5);
/// Events and audits that wait for a failing disk; what comes on top is dropped and counted.
pub(crate) const MAX_PENDING_RECORDS: usize = 4_096;
/// Identities whose latest sighting waits for a failing disk; others are seen again.
pub(crate) const MAX_PENDING_IDENTITIES: usize = 10_000;
/// Runs to record that wait for a failing disk: more than a server can host.
pub(crate) const MAX_PENDING_RUNS: usize = 256;
/// Rows of credits, of all runs, that wait for a failing disk: a few megabytes. Beyond it a run's credits are
/// taken from the run itself once the disk works.
pub(crate) const MAX_PENDING_CREDITS: usize = 50_000;
/// Largest detail of an event or audit, as JSON: a digest or two, names, a message.
pub(crate) const MAX_DETAIL_BYTES: usize = 8 << 10;
/// Longest name of a kind, outcome, label or software; longer ones are cut.
pub(crate) const MAX_TEXT_BYTES: usize = 200;
/// Newest events and audits that are kept, each: about 200 MB of disk, and years of a busy server.
pub(crate) const MAX_STORED_RECORDS: u64 = 1_000_000;
/// Most tokens; each was issued by an operator.
pub(crate) const MAX_TOKENS: u64 = 10_000;
/// Most bans that hold; each was an operator's decision.
pub(crate) const MAX_BANS: u64 = 10_000;
/// Most volunteers with a name; each has done work for it.
pub(crate) const MAX_VOLUNTEERS: u64 = 100_000;
/// Most identities of one volunteer: years of daily sessions.
pub(crate) const MAX_MEMBERSHIPS: u64 = 10_000;
/// Most rows that one read returns; further ones have to be asked for.
pub(crate) const MAX_ROWS: u32 = 1_000;
/// Connections that read. They don't wait for the writer, nor it for them.
pub(crate) const READERS: u32 = 4;
/// A request waits so long for one of them.
pub(crate) const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// A statement waits so long for another process, such as a backup, to let go of the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// A ledger that could not be opened at the start is tried again so often.
pub(crate) const OPEN_RETRY: Duration = Duration::from_secs(5);
/// What waits at the end is written within so long, or taken from the runs at the next start.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Damaged ledgers that are kept beside the good one.
pub(crate) const MAX_DAMAGED: u32 = 100;

//! Every limit of object storage, with its reason.

use std::time::Duration;

/// Objects are sent in pieces of this size, each of which can be repeated by itself; smaller ones in one piece.
/// S3 takes 10,000 pieces of at least 5 MiB.
pub(super) const PART_BYTES: usize = 16 << 20;
/// Largest object that is stored or fetched. A snapshot is held in memory, like the run that it belongs to.
pub(super) const MAX_OBJECT_BYTES: u64 = 32 << 30;
/// Most names below one prefix: far more than a run keeps snapshots. More of them mean a wrong prefix.
pub(super) const MAX_NAMES: usize = 100_000;
/// Longest name of an object; a snapshot's has about 50 bytes.
pub(super) const MAX_NAME_BYTES: usize = 200;
/// Longest prefix, so that names stay below S3's 1,024 bytes.
pub(super) const MAX_PREFIX_BYTES: usize = 500;
/// A connection is made within so long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that brings nothing for so long is given up.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// A request, with its piece of an object, takes no longer: 16 MiB in two minutes are 1.2 Mbit/s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// A request that failed in a way that may pass is repeated so often.
pub(super) const MAX_RETRIES: usize = 4;
/// And no repetition begins later than so long after the first attempt.
pub(super) const RETRY_TIMEOUT: Duration = Duration::from_mins(2);
/// Pauses between repetitions grow from this…
pub(super) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
/// … to this.
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Whatever is asked for takes no longer than this, and a second more for each [`MIN_BYTES_PER_S`].
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_mins(5);
/// The slowest link that snapshots can be kept up with.
pub(super) const MIN_BYTES_PER_S: u64 = 128 << 10;

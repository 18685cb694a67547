//! Every limit of the driver, with its reason.

/// Requests in flight at most: browsers give one origin six connections, and the page needs some of them.
pub(crate) const MAX_FETCHES: usize = 4;
/// Of those, requests for chunks that no lease waits for.
pub(crate) const MAX_PREFETCHES: usize = 2;
/// A request is tried again so often before its lease is given back.
pub(crate) const FETCH_RETRIES: u32 = 3;
/// The first wait before a retry; each further one is twice as long.
pub(crate) const RETRY_WAIT_MS: u64 = 500;
/// A request is given up after so long: a large chunk must get through a slow link.
pub(crate) const FETCH_TIMEOUT_MS: u32 = 60_000;
/// Chunks are fetched ahead of need only while all chunks held are smaller than this.
pub(crate) const MAX_PREFETCHED_BYTES: usize = 256 << 20;
/// Shortest time between two statuses while the state stays the same.
pub(crate) const STATUS_MIN_MS: u64 = 100;
/// Longest time between two statuses: speeds change even when nothing happens.
pub(crate) const STATUS_MAX_MS: u64 = 1_000;
/// At the end of a run a worker stays so long for its last credit, which comes when the end is on disk.
pub(crate) const CREDIT_WAIT_MS: u64 = 5_000;
/// Most lanes: more than any browser's logical cores that help.
pub(crate) const MAX_LANES: u16 = 64;

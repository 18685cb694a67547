//! Every limit of the headless worker, with its reason.

use std::time::Duration;

use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::limits::MAX_FRAME_BODY_BYTES;

/// Largest WebSocket message taken. One frame of ours is the rule; twice that leaves room for a server that
/// puts several short ones into one message.
pub(crate) const MAX_SOCKET_MESSAGE_BYTES: usize = 2 * (MAX_FRAME_BODY_BYTES + HEADER_BYTES);
/// The socket reads so much at a time: parameters of small models come in one piece.
pub(crate) const SOCKET_READ_BYTES: usize = 512 << 10;
/// Most frames that wait for a slow uplink: two updates of the largest model, and then some. A server that
/// makes this worker queue more has stopped reading.
pub(crate) const OUTBOX_FRAMES: usize = 1_024;
/// Opening TCP, TLS and the WebSocket together may take so long; the session gives up a little later.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(12);
/// A closing socket gets so long to send what is queued.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts to fetch one thing over HTTP before the lease that needs it is given back.
pub(crate) const FETCH_ATTEMPTS: u32 = 3;
/// Wait after the first failed attempt; it doubles with each.
pub(crate) const FETCH_RETRY_WAIT: Duration = Duration::from_millis(250);
/// One HTTP exchange may take so long, body included: a 32 MiB chunk at 1 MiB/s.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(40);
/// Connecting for HTTP may take so long.
pub(crate) const FETCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Parallel downloads: enough to hide a round trip, few enough for a home's line.
pub(crate) const PARALLEL_FETCHES: usize = 4;
/// Chunks fetched ahead of need: one shuffle window of a usual run.
pub(crate) const PREFETCH_CHUNKS: usize = 8;

/// The status is shown so often while nothing special happens.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// A waiting state that is over sooner is not logged: leases take milliseconds.
pub(crate) const LOG_WAITING_AFTER: Duration = Duration::from_secs(1);
/// After its run is finished a worker stays so long for the credit of its last samples, which comes when
/// the server has stored them.
pub(crate) const CREDIT_PATIENCE: Duration = Duration::from_secs(5);
/// A progress line is logged so often.
pub(crate) const LOG_INTERVAL: Duration = Duration::from_secs(10);

//! Every limit of the server's edge, with its reason.

use std::time::Duration;

/// A request's head must arrive within so long, on kept-alive connections too: an idle browser opens a new
/// one at no cost, a slow-loris attacker loses its hold.
pub(crate) const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest request head; browsers send 2 KiB at most.
pub(crate) const MAX_HEAD_BYTES: usize = 16 << 10;
/// A worker must introduce itself within so long.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A refusal is worth so long a wait, no more.
pub(crate) const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages waiting for one worker. A lease takes about three, and the answers of all steps that waited for the
/// disk come at once; a full queue means that it reads nothing.
pub(crate) const OUTBOX_MESSAGES: usize = 512;
/// Messages waiting for the coordinator: beyond it sockets wait, and with them their workers.
pub(crate) const ACTOR_QUEUE_MESSAGES: usize = 1_024;
/// Jobs waiting for the snapshot writer: a snapshot, a phase and a history for every run.
pub(crate) const WRITER_QUEUE_JOBS: usize = 256;
/// A certificate is looked at so often: two calls of the system.
pub(crate) const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// Longest `X-Forwarded-For` that is read: a few proxies' addresses.
pub(crate) const MAX_FORWARDED_BYTES: usize = 1 << 10;
/// Points waiting for the event files: some seconds of the fastest runs.
pub(crate) const EVENT_QUEUE_JOBS: usize = 4_096;
/// Most points of each curve in a run's event file: more than a chart shows.
pub(crate) const MAX_EVENT_POINTS: u64 = 10_000;
/// Longest event file that is read back: ours stay below a tenth of it.
pub(crate) const MAX_EVENT_FILE_BYTES: u64 = 32 << 20;
/// Violated invariants that a start writes into the ledger; they come in torrents, and the counter has them all.
pub(crate) const MAX_VIOLATION_EVENTS: u32 = 100;
/// A run that has come to rest has so long to write its last snapshot before its files are worked on.
pub(crate) const DETACH_PATIENCE: Duration = Duration::from_secs(10);
/// It is asked so often whether it has.
pub(crate) const DETACH_RETRY: Duration = Duration::from_millis(50);
/// Log entries that are made durable together at most.
pub(crate) const LOG_GROUP_ENTRIES: usize = 256;
/// A log that can't be written is tried again so often.
pub(crate) const LOG_RETRY: Duration = Duration::from_secs(1);
/// A log without news for so long gets a record that says what of it is durable.
pub(crate) const LOG_SEAL_AFTER: Duration = Duration::from_millis(500);
/// Vectors of the models' sizes that are kept for the next steps.
pub(crate) const SPARE_SUMS: usize = 8;
/// Largest WebSocket message. Tensors come in frames of 1 MiB, one or a few in a message.
pub(crate) const MAX_WS_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes read from a socket at once. Every socket keeps a buffer of this size, idle or not; a large message gets one of its own size.
pub(crate) const WS_READ_BUFFER_BYTES: usize = 4 << 10;
/// Unsent bytes of a socket beyond which a write fails: a message and some control frames.
pub(crate) const WS_WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Messages per second of a socket; a fast worker sends about 50.
pub(crate) const WS_MESSAGES_PER_S: u32 = 500;
/// Bytes per second of a socket: more than a gigabit link brings.
pub(crate) const WS_BYTES_PER_S: u32 = 256 << 20;
/// Tensors longer than this are decoded on a thread of their own: a few hundred microseconds.
pub(crate) const INLINE_DECODE_BYTES: usize = 512 << 10;
/// Runs are published to the API so often at most.
pub(crate) const PUBLISH_INTERVAL_MS: u64 = 100;
/// And so often at least: rates decay while nothing happens.
pub(crate) const REFRESH_INTERVAL_MS: u64 = 1_000;
/// Published parameters that can still be fetched, per run: a page fetches what it was told seconds ago.
pub(crate) const RECENT_PARAMS: usize = 128;
/// Memory of those.
pub(crate) const RECENT_PARAMS_BYTES: usize = 64 << 20;
/// Memory of chunks and snapshots' parameters that were served lately.
pub(crate) const BLOB_CACHE_BYTES: usize = 256 << 20;
/// Memory of a run's test set, which every evaluation reads; what is behind it is read from the disk each time.
pub(crate) const RESIDENT_TEST_SET_BYTES: usize = 64 << 20;
/// JSON of more than this is compressed.
pub(crate) const COMPRESS_JSON_BYTES: usize = 1 << 10;
/// Workers come back after so long when the server restarts.
pub(crate) const RECONNECT_IN_MS: u32 = 2_000;
/// Snapshots must be durable within so long at shutdown; service managers kill after 90 s.
pub(crate) const SNAPSHOT_DEADLINE: Duration = Duration::from_mins(1);
/// A start waits so long for the ledger to say who is banned.
pub(crate) const BANS_PATIENCE: Duration = Duration::from_secs(2);
/// Connections have so long to end at shutdown.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

//! Every limit of a session, with its reason.

/// First upper bound of the random wait before a reconnect.
pub const BACKOFF_BASE_MS: u64 = 1_000;
/// Last upper bound: nobody waits longer for a server that is back.
pub const BACKOFF_CAP_MS: u64 = 60_000;
/// No wait is shorter, so that a server that refuses at once is not hammered.
pub const BACKOFF_FLOOR_MS: u64 = 250;
/// A connection attempt is given up after so long.
pub const CONNECT_TIMEOUT_MS: u64 = 15_000;
/// A welcome must come within so long after the connection opened.
pub const WELCOME_TIMEOUT_MS: u64 = 15_000;
/// So many heartbeats without a word mean that the server is gone.
pub const SILENT_HEARTBEATS: u64 = 3;
/// A task is sized to take about so long: a pause must take effect within 100 ms.
pub const TASK_TARGET_MS: f64 = 40.0;
/// Longest rest of a lane after one task, however low the duty cycle.
pub const MAX_REST_MS: u64 = 60_000;
/// A lane with so many failures that are not forgiven is retired: it gets no more work.
pub const MAX_LANE_FAILURES: u32 = 3;
/// A lane's failure is forgiven after so many tasks without one: a lane that dies of every other task, and has to
/// be loaded again each time, is of no use either.
pub const FORGIVING_TASKS: u32 = 20;
/// A finishing worker waits so long for its last receipt.
pub const FINISH_TIMEOUT_MS: u64 = 10_000;
/// Weight of the newest task in the measured speed.
pub const SPEED_WEIGHT: f64 = 0.3;
/// Span of the samples-per-second figure.
pub const SPEED_WINDOW_MS: u64 = 5_000;
/// Most leases at a time: a server that sends more gets them back.
pub const MAX_LEASES: usize = 64;
/// So many updates are kept to be sent again after a lost connection. A worker gets the next lease when the
/// server has its update, so that older ones have arrived.
pub const MAX_KEPT_UPDATES: usize = 4;
/// Most leases whose answer is waited for: the server answers when a step is on stable storage, and stops
/// handing out work long before so many wait for its disk.
pub const MAX_UNANSWERED: usize = 1_024;

//! Every limit of the coordinator, with its reason.

/// Most runs of a server: each holds its parameters in memory.
pub const MAX_RUNS: usize = 64;
/// Most workers, connected or remembered for resumption.
pub const MAX_WORKERS: usize = 100_000;
/// Most identities that are banned.
pub const MAX_BANS: usize = 10_000;
/// Pings are so far apart: half of the shortest idle time-out of common proxies would be 15 s.
pub const HEARTBEAT_MS: u32 = 5_000;
/// A worker that was silent for so long is gone: three pings were lost.
pub const SILENCE_LIMIT_MS: u64 = 3 * HEARTBEAT_MS as u64;
/// Deadlines, pings and silences are looked at so often.
pub const SWEEP_MS: u64 = 250;
/// A disconnected worker can resume for so long.
pub const RESUME_MS: u64 = 10 * 60 * 1_000;
/// The deadline of a first lease, whose speed is unknown and whose data has to be fetched.
pub const FIRST_DEADLINE_MS: u64 = 30_000;
/// No deadline is shorter: a busy machine must not lose its work to a hiccup.
pub const MIN_DEADLINE_MS: u64 = 2_000;
/// No deadline is longer: a step must not hang on one worker.
pub const MAX_DEADLINE_MS: u64 = 10 * 60 * 1_000;
/// A deadline is what such leases take at the median, and so many median deviations more.
pub const DEADLINE_SPREADS: f64 = 6.0;
/// Deadlines look back over so many leases.
pub const REMEMBERED_DURATIONS: usize = 16;
/// A worker is judged by its speed after so many leases behind the first.
pub const SETTLED_LEASES: usize = 3;
/// Where runs have to take turns with a worker, one has it for about so long: loading another run costs a second.
pub const SHARE_SLICE_MS: u64 = 30_000;
/// At most so many workers change their run at a time.
pub const MOVES_PER_SWEEP: usize = 16;
/// Leases of a worker at a time where its lanes share them.
pub const LEASES_AHEAD: usize = 2;
/// Shards of a worker at a time, however many lanes it has.
pub const MAX_LEASES_OF_WORKER: usize = 64;
/// No second lease is given for less delay than this: it would cost more than it saves.
pub const HEDGE_MIN_MS: f64 = 50.0;
/// Weight of the newest lease in a worker's measured rate.
pub const RATE_WEIGHT: f64 = 0.3;
/// So many workers have to say that their own steps of a round diverge before its run is paused.
pub const DIVERGED_WORKERS: u32 = 2;
/// A step is started again at most so often before the run is paused: each time lowers an exponent, and
/// honest workers need two or three attempts at most.
pub const MAX_STEP_ATTEMPTS: u32 = 100;
/// Most identities whose credits a run remembers.
pub const MAX_CREDITED_IDENTITIES: usize = 1_000_000;
/// An operator changes the settings of a run at most so often: all of them are kept.
pub const MAX_SETTINGS: usize = 256;
/// The samples-per-second figure looks back over so many steps.
pub const SPEED_WINDOW_STEPS: usize = 200;
/// So many answers are repeated when a worker sends its updates again after a lost connection; it keeps no more
/// updates than that.
pub const REMEMBERED_ANSWERS: usize = 4;
/// So many revoked leases of a worker are remembered: an answer to one is late, not wrong.
pub const REMEMBERED_REVOKED: usize = 64;
/// A worker that was passed over for so long is measured anew: what its first lease took, it took for loading
/// data as well, and a device that was busy may be free by now. One that waits for a step's end is not.
pub const STALE_SPEED_MS: u64 = 5_000;
/// A worker without a lease for so long is told why.
pub const IDLE_NOTICE_MS: u64 = 1_000;
/// The master's sums of committed steps that wait for the disk take at most so much memory.
pub const UNDURABLE_BYTES: usize = 128 << 20;
/// Most committed steps that wait for the disk, however small they are: a crash takes them all back.
pub const MAX_UNDURABLE_STEPS: usize = 16;
/// And so many may wait however large they are, so that computing and writing overlap.
pub const MIN_UNDURABLE_STEPS: usize = 2;
/// A worker is told its credit at most so often.
pub const CREDITED_EVERY_MS: u64 = 500;
/// Staleness of updates is counted up to each of these, in versions.
pub const STALENESS_BOUNDS: [u64; 7] = [0, 1, 2, 4, 8, 16, 32];
/// A snapshot that could not be written is tried again after so long.
pub const SNAPSHOT_RETRY_MS: u64 = 5_000;

//! Every limit of the store, with its reason.

use tabswarm_model::run_file::{MAX_CONTEXT, MAX_PARAMETERS, MAX_STEP_MICRO_BATCHES};

/// A segment of the log is followed by a new one when it has so many bytes: small enough to be removed soon
/// after a snapshot, large enough that a folder has few.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// Largest control part of a record: each micro-batch of a step may have been another identity's, which takes
/// 32 bytes and a count of at most 10.
pub const MAX_CONTROL_BYTES: usize = MAX_STEP_MICRO_BATCHES as usize * 42 + (MAX_CONTEXT << 8);
/// Largest tensor part of a record: every parameter as an `i64`.
pub const MAX_TENSOR_BYTES: usize = MAX_PARAMETERS * 8;
/// A log is read so often where segments go while it is read: snapshots, which make them go, are seconds apart.
pub(crate) const SCAN_ATTEMPTS: usize = 3;

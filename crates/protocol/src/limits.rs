//! Every limit of the wire, with its reason.

/// Largest body (control and tensor part) of one frame: large enough that headers do not matter, small enough
/// that a slow link shows progress and a socket's buffers stay bounded.
pub const MAX_FRAME_BODY_BYTES: usize = 1 << 20;
/// Largest control part: a run's JSON is the largest thing that travels in one.
pub const MAX_CONTROL_BYTES: usize = 128 << 10;
/// Largest tensor part of a message: 64 Mi parameters as `f32`.
pub const MAX_TENSOR_BYTES: usize = 256 << 20;
/// Largest number of separate ranges in one update.
pub const MAX_UPDATE_RANGES: usize = 64;
/// Largest number of tensors of a model, so of exponents in a lease.
pub const MAX_TENSORS: usize = 16_384;
/// Longest `software` text of a hello.
pub const MAX_SOFTWARE_BYTES: usize = 64;
/// Longest run name of a hello.
pub const MAX_RUN_NAME_BYTES: usize = 64;
/// Most lanes that a worker may announce.
pub const MAX_LANES: u16 = 1_024;
/// Block length of the `exact` codec.
pub const EXACT_BLOCK_VALUES: usize = 256;

//! A lane: one engine on one thread of its own, fed by messages.
//!
//! A lane knows a run, the parameters it was given last, and nothing of sessions, leases or the network.

mod compute;
mod export;

#[cfg(feature = "gpu")]
pub(crate) use compute::TaskSamples;
pub use export::Lane;

use tabswarm_compute::BatchStats;

/// Summed gradients of a task's micro-batches, in the order of the flat parameter vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sums {
    /// Fixed point, for the `exact` codec.
    Exact(Vec<i32>),
    /// Floating point, for the `f32` codec.
    Plain(Vec<f32>),
}

/// A finished task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Done {
    /// The gradients' sums.
    pub(crate) sums: Sums,
    /// The sums over samples.
    pub(crate) tally: BatchStats,
    /// Time spent on it, and on the parameters that came before it.
    pub(crate) elapsed_us: u64,
}

/// What a lane with a GPU computes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendChoice {
    /// Whether that is the GPU.
    pub(crate) is_gpu: bool,
    /// A sentence.
    pub(crate) reason: String,
}

/// What a lane says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Report {
    /// What it computes with from now on; no answer to anything.
    Backend(BackendChoice),
    /// The run is loaded.
    Ready,
    /// A task is done.
    Done(Done),
    /// The task's gradients do not fit their exponents; per tensor the largest that does.
    Overflow {
        /// One per tensor.
        fits: Vec<i8>,
    },
    /// The shard's own steps gave parameters that are infinite or not a number.
    Diverged,
    /// The run could not be loaded or the task not be computed; the lane lives on.
    Failed {
        /// A sentence.
        message: String,
    },
    /// The lane is gone.
    Crashed {
        /// A sentence.
        message: String,
    },
}

//! Why a GPU is not used, or no longer.

use thiserror::Error;

use crate::error::ComputeError;

/// Whatever it is, the CPU can do the work.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GpuError {
    /// There is no adapter, or the wished one does not exist.
    #[error("no GPU to compute with: {reason}")]
    NoAdapter {
        /// What the system says.
        reason: String,
    },
    /// The adapter's limits are too low for the model.
    #[error("the model does not fit the GPU: {what} needs {needs} bytes, the limit is {limit}")]
    Unfit {
        /// A buffer.
        what: String,
        /// Bytes.
        needs: u64,
        /// Bytes.
        limit: u64,
    },
    /// A kernel could not be made.
    #[error("the GPU's driver refuses the kernel {kernel}: {message}")]
    Pipeline {
        /// Its name.
        kernel: &'static str,
        /// What the driver says.
        message: String,
    },
    /// The device is gone: reset, unplugged, or taken away.
    #[error("the GPU is lost: {reason}")]
    Lost {
        /// What the driver says.
        reason: String,
    },
    /// There was no memory.
    #[error("the GPU is out of memory")]
    OutOfMemory,
    /// No answer in time.
    #[error("the GPU gave no answer within {seconds} s")]
    Hung {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A kernel gives other values than its twin.
    #[error("the GPU's {kernel} is wrong: value {index} is {got}, expected {expected}")]
    WrongKernel {
        /// Its name.
        kernel: &'static str,
        /// Where.
        index: usize,
        /// Printed.
        got: String,
        /// Printed.
        expected: String,
    },
    /// A gradient that was computed again on the CPU came out different.
    #[error("the GPU's gradient is wrong: cosine {cosine}, relative difference {difference}")]
    WrongGradient {
        /// Printed.
        cosine: String,
        /// Printed.
        difference: String,
    },
    /// What was read back is not what the lease computed.
    #[error("what the GPU returned is stale: its checksum is {got:08x}, expected {expected:08x}")]
    WrongSeal {
        /// What the device has.
        got: u32,
        /// Of what was read back.
        expected: u32,
    },
    /// A kernel did not run.
    #[error("the GPU left {values} values of a gradient unwritten")]
    Unwritten {
        /// How many.
        values: u32,
    },
    /// Half precision can't hold a value of the forward pass, or a parameter.
    #[error("a value of the model is too large for half precision")]
    HalfRange,
    /// Half precision can't hold a gradient with this scale of the loss; the engine goes on with a smaller one.
    #[error("a gradient is too large for half precision with the loss scaled by {scale}")]
    ScaleTooLarge {
        /// A power of two.
        scale: f32,
    },
    /// All values of a gradient are zero, but the loss is not.
    #[error("the GPU's gradient of micro-batch {turn} is zero everywhere")]
    AllZero {
        /// Index within the lease.
        turn: usize,
    },
    /// More micro-batches than a lease has.
    #[error("a lease has at most {limit} micro-batches")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// The batch does not fit the model, or the model diverges: the CPU would say the same.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

impl GpuError {
    /// Whether the same may be done with a smaller scale of the loss.
    pub fn asks_for_smaller_scale(&self) -> bool {
        matches!(self, Self::ScaleTooLarge { scale } if *scale > 1.0)
    }
}

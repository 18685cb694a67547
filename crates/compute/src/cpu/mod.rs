//! CPU kernels: one operation a file, forward and backward side by side.

pub(crate) mod aligned;
pub(crate) mod buffers;
pub(crate) mod dense;
mod exponential;
pub(crate) mod gemm;
pub(crate) mod magnitude;
pub(crate) mod quantize;
pub(crate) mod relu;
pub(crate) mod softmax_cross_entropy;

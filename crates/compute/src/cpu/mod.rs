//! CPU kernels: one operation a file, forward and backward side by side.

mod add_position;
pub(crate) mod aligned;
mod attention;
pub(crate) mod buffers;
pub(crate) mod dense;
mod embedding;
mod exponential;
pub(crate) mod gemm;
mod isa;
mod layer_norm;
pub(crate) mod magnitude;
mod math;
pub(crate) mod quantize;
pub(crate) mod relu;
pub(crate) mod softmax_cross_entropy;

//! CPU kernels: one operation a file, forward and backward side by side.

pub(crate) mod activation;
pub(crate) mod add_position;
pub(crate) mod aligned;
pub(crate) mod arena;
pub(crate) mod attention;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod embedding;
pub(crate) mod epilogue;
pub(crate) mod gemm;
mod isa;
pub(crate) mod layer_norm;
pub(crate) mod loss;
pub(crate) mod magnitude;
mod math;
pub(crate) mod pool;
pub(crate) mod quantize;
mod wide;

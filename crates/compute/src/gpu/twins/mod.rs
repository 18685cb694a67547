//! Kernels in plain loops: the reference that each WGSL kernel of the same name is compared with.
//!
//! A twin gets its kernel's parameters and one buffer for each of its bindings. Sums are taken in double
//! precision, so that a difference is the kernel's own rounding.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::many_single_char_names,
    reason = "all twins have one signature, and the names of the formulas"
)]

mod activation;
mod attention;
mod conv;
mod elementwise;
mod embedding;
mod halves;
mod lease;
mod loss;
mod norm;
mod pool;
mod product;

pub(crate) use activation::{activate, activation_backward};
pub(crate) use attention::{attention_softmax, attention_softmax_backward};
pub(crate) use conv::{
    conv2d, conv2d as conv2d_blocks, conv2d_backward_input,
    conv2d_backward_input as conv2d_backward_input_blocks, conv2d_backward_weight,
    conv2d_backward_weight as conv2d_backward_weight_blocks,
};
pub(crate) use elementwise::{add, add_position, copy, dropout};
pub(crate) use embedding::{embedding, embedding_backward};
pub(crate) use halves::{bounded, halve, halves, values_of_halves};
pub(crate) use lease::{UNWRITTEN, accumulate, checksum, seal};
pub(crate) use loss::{mean_squared_error, soft_targets, softmax_cross_entropy};
pub(crate) use norm::{layer_norm, layer_norm_backward, layer_norm_backward_params};
pub(crate) use pool::{avg_pool, avg_pool_backward, max_pool, max_pool_backward};
pub(crate) use product::{matmul, matmul as matmul_blocks, sum_rows, sum_rows as sum_few_rows};

/// A parameter as an index.
fn at(word: u32) -> usize {
    word as usize
}

/// Rounded once.
#[expect(clippy::cast_possible_truncation, reason = "the rounding is meant")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The buffers of a call, by binding.
fn bound<const N: usize>(buffers: &mut [Vec<f32>]) -> [&mut Vec<f32>; N] {
    let mut buffers = buffers.iter_mut();
    std::array::from_fn(|_| buffers.next().expect("one buffer for each binding"))
}

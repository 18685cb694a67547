//! The static training graph: what a lane computes for one micro-batch, as data.
//!
//! The graph is a list of forward operations, one loss, and a list of backward operations over planned
//! buffers. Backends walk the lists in order; they never look at layers. A new layer is a new variant of
//! [`Op`] here, its case in [`build`], and one kernel per backend.

mod build;

pub use build::build;

use crate::layout::{Layout, TensorId};

/// Index of a buffer in [`Graph::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub usize);

/// A buffer of `f32` with a fixed number of values per sample, row-major `(samples, features)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferSpec {
    /// What it holds, for messages and profiles.
    pub name: String,
    /// Values per sample.
    pub features: usize,
}

/// Activation applied by a forward operation to its own output before storing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Store the value as it is.
    Identity,
    /// `max(x, 0)`.
    Relu,
}

/// One operation over buffers and parameter tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// `output = activation(input · weight + bias)`: (n, in) · (in, out) + (out).
    Dense {
        /// `[in, out]`.
        weight: TensorId,
        /// `[out]`.
        bias: TensorId,
        /// (n, in).
        input: BufferId,
        /// (n, out).
        output: BufferId,
        /// Applied after the bias.
        activation: Activation,
    },
    /// Writes the gradients of a dense layer; `grad_output` is the gradient *before* the activation.
    /// `d weight = inputᵀ · grad_output`, `d bias = Σ_n grad_output`, `grad_input = grad_output · weightᵀ`.
    DenseBackward {
        /// `[in, out]`.
        weight: TensorId,
        /// `[out]`.
        bias: TensorId,
        /// (n, in), as it was in the forward pass.
        input: BufferId,
        /// (n, out).
        grad_output: BufferId,
        /// (n, in); none where nothing before needs it.
        grad_input: Option<BufferId>,
    },
    /// `output = max(input, 0)`.
    Relu {
        /// (n, features).
        input: BufferId,
        /// (n, features).
        output: BufferId,
    },
    /// In place: `grad = 0` wherever the forward `output` is not positive.
    ReluBackward {
        /// (n, features), as stored by the forward pass.
        output: BufferId,
        /// (n, features).
        grad: BufferId,
    },
}

/// The loss at the end of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// `-ln softmax(logits)[label]` in nats, summed over samples; `grad_logits = softmax - onehot`.
    SoftmaxCrossEntropy {
        /// (n, classes).
        logits: BufferId,
        /// (n, classes).
        grad_logits: BufferId,
    },
}

/// A complete training graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// The buffer that receives the input samples, (n, product of `input_shape`).
    pub input: BufferId,
    /// Number of classes: labels are below it.
    pub classes: usize,
    /// All buffers.
    pub buffers: Vec<BufferSpec>,
    /// Forward operations in order.
    pub forward: Vec<Op>,
    /// The loss.
    pub loss: Loss,
    /// Backward operations in order; each parameter's gradient is written exactly once.
    pub backward: Vec<Op>,
    /// Parameters.
    pub layout: Layout,
}

impl Graph {
    /// Values per input sample.
    pub fn input_features(&self) -> usize {
        self.buffers[self.input.0].features
    }

    /// A buffer's number of values per sample.
    pub fn features(&self, id: BufferId) -> usize {
        self.buffers[id.0].features
    }

    /// Floating-point operations (multiplications and additions) of forward and backward pass per sample.
    pub fn flops_per_sample(&self) -> u64 {
        let of = |op: &Op| -> u64 {
            match op {
                Op::Dense { weight, .. } => 2 * self.layout.tensor(*weight).len as u64,
                Op::DenseBackward {
                    weight, grad_input, ..
                } => {
                    let products = if grad_input.is_some() { 2 } else { 1 };
                    2 * products * self.layout.tensor(*weight).len as u64
                }
                Op::Relu { .. } | Op::ReluBackward { .. } => 0,
            }
        };
        self.forward.iter().chain(&self.backward).map(of).sum()
    }
}

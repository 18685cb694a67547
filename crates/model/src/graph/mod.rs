//! The static training graph: what a lane computes for one micro-batch, as data.
//!
//! The graph is a list of forward operations, one loss, and a list of backward operations over planned
//! buffers. Backends walk the lists in order; they never look at layers. A new layer is a new variant of
//! [`Op`], its case in [`build`], and one kernel per backend. [`op`] has the exact arithmetic.
//!
//! Samples are stored flat and row-major, images with their channels last, sequences as (positions, width).
//! Tokens travel as whole numbers in the input buffer.

mod access;
mod build;
pub mod op;
mod plan;
pub mod shape;
mod work;

pub use access::Access;
pub use build::build;
pub use op::{Activation, DenseWeight, Loss, LossKind, Op, Targets};
pub use plan::{MemoryEstimate, Plan};
pub use shape::Padding;
pub use work::Work;

use crate::layout::Layout;

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

/// A layer of the model as the graph has it; layers within a residual block follow the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerInfo {
    /// Key path in the run file, such as `layers[2].layers[0]`.
    pub path: String,
    /// The kind in the run file.
    pub kind: &'static str,
    /// Shape of its output for one sample.
    pub output_shape: Vec<usize>,
    /// Parameters of its own; not those of the layers within, nor those shared with an earlier layer.
    pub parameters: usize,
    /// Number of residual blocks around it.
    pub depth: usize,
}

/// An operation of a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// Index in [`Graph::layers`] of the layer that it is a part of.
    pub layer: usize,
}

/// A complete training graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Shape of one input sample.
    pub input_shape: Vec<usize>,
    /// The buffer that receives the input samples, (n, product of `input_shape`).
    pub input: BufferId,
    /// The input holds tokens, whole numbers below this; none where it holds values.
    pub vocabulary: Option<usize>,
    /// Number of classes: labels are below it.
    pub classes: usize,
    /// All buffers.
    pub buffers: Vec<BufferSpec>,
    /// The layers, for reports and profiles.
    pub layers: Vec<LayerInfo>,
    /// Forward operations in order.
    pub forward: Vec<Step>,
    /// The loss.
    pub loss: Loss,
    /// Backward operations in order.
    pub backward: Vec<Step>,
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

    /// Labels (or rows of target values) of a sample: 1, or one for each position of a sequence.
    pub fn label_rows(&self) -> usize {
        self.loss.rows
    }

    /// Whether gradients depend on a [`NoiseKey`](crate::noise::NoiseKey).
    pub fn needs_noise(&self) -> bool {
        let is_dropout = |step: &Step| matches!(step.op, Op::Dropout { .. });
        self.forward.iter().any(is_dropout)
    }
}

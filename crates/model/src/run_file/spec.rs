//! Models as validated: layers with their sizes, and the loss.

use crate::graph::{Activation, Padding};

/// One layer of a model.
///
/// Batch normalization is not among them on purpose: its statistics tie the samples of a batch together, so a
/// gradient would depend on how a step is divided into micro-batches and devices.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerSpec {
    /// Makes one axis of all.
    Flatten,
    /// Fully connected along the last axis.
    Dense {
        /// Number of outputs.
        units: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Fully connected along the last axis with the table of the model's embedding as weights: one output per
    /// word of the vocabulary.
    TiedDense {
        /// Whether there is a bias.
        bias: bool,
    },
    /// A function of each value.
    Activation(Activation),
    /// Two-dimensional convolution over (height, width, channels).
    Conv2d {
        /// Output channels.
        channels: usize,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Vertical and horizontal distance of the kernel's positions.
        stride: [usize; 2],
        /// Zeros around the image.
        padding: Padding,
        /// Input and output channels are divided into so many groups that do not see each other.
        groups: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// The largest value of each window, per channel.
    MaxPool(PoolSpec),
    /// The mean of each window, per channel.
    AvgPool(PoolSpec),
    /// Drops values at random while training.
    Dropout {
        /// Share of the values dropped, from 0 to below 1.
        rate: f32,
    },
    /// A learned vector for each token; the first layer of a model on text.
    Embedding {
        /// Number of different tokens.
        vocabulary: usize,
        /// Length of the vectors.
        width: usize,
    },
    /// Adds a learned vector for each position of a sequence.
    PositionalEmbedding,
    /// Normalizes along the last axis, then scales and shifts by learned vectors.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Multi-head self-attention over (positions, width), with input and output projections.
    Attention {
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether a position sees itself and earlier ones only.
        causal: bool,
    },
    /// The input plus what the layers make of it.
    Residual {
        /// Layers that keep the shape.
        layers: Vec<Self>,
    },
}

impl LayerSpec {
    /// A fully connected layer with bias.
    pub fn dense(units: usize) -> Self {
        Self::Dense { units, bias: true }
    }

    /// Rectified linear unit.
    pub const RELU: Self = Self::Activation(Activation::Relu);

    /// The word in run files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flatten => "flatten",
            Self::Dense { .. } => "dense",
            Self::TiedDense { .. } => "tied_dense",
            Self::Activation(Activation::Identity) => "identity",
            Self::Activation(Activation::Relu) => "relu",
            Self::Activation(Activation::Gelu) => "gelu",
            Self::Activation(Activation::Sigmoid) => "sigmoid",
            Self::Activation(Activation::Tanh) => "tanh",
            Self::Conv2d { .. } => "conv2d",
            Self::MaxPool(_) => "max_pool",
            Self::AvgPool(_) => "avg_pool",
            Self::Dropout { .. } => "dropout",
            Self::Embedding { .. } => "embedding",
            Self::PositionalEmbedding => "positional_embedding",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Attention { .. } => "attention",
            Self::Residual { .. } => "residual",
        }
    }
}

/// The window of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSpec {
    /// Height and width.
    pub size: [usize; 2],
    /// Vertical and horizontal distance of the window's positions.
    pub stride: [usize; 2],
}

/// The loss that is minimized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossSpec {
    /// Softmax cross-entropy against class indices.
    SoftmaxCrossEntropy,
    /// Softmax cross-entropy against probabilities, for distillation.
    SoftTargets {
        /// Divides the logits.
        temperature: f32,
    },
    /// Mean squared error against class indices, each standing for a vector with a single 1.
    MeanSquaredErrorOfClasses,
    /// Mean squared error against values.
    MeanSquaredError,
}

/// A validated model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Shape of one sample.
    pub input: Vec<usize>,
    /// Layers in order.
    pub layers: Vec<LayerSpec>,
    /// The loss.
    pub loss: LossSpec,
}

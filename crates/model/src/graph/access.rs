//! Which buffers an operation touches, and how.

use super::{BufferId, Op};
use crate::layout::TensorId;

/// How an operation uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Writes all of it, whatever it held.
    Write,
    /// Reads and overwrites it.
    Update,
}

impl Op {
    /// The word for profiles and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::DenseBackward { .. } => "dense backward",
            Self::Conv2d { .. } => "conv2d",
            Self::Conv2dBackward { .. } => "conv2d backward",
            Self::MaxPool { .. } => "max_pool",
            Self::MaxPoolBackward { .. } => "max_pool backward",
            Self::AvgPool { .. } => "avg_pool",
            Self::AvgPoolBackward { .. } => "avg_pool backward",
            Self::Activate { .. } => "activation",
            Self::ActivationBackward { .. } => "activation backward",
            Self::Dropout { .. } => "dropout",
            Self::DropoutBackward { .. } => "dropout backward",
            Self::Embedding { .. } => "embedding",
            Self::EmbeddingBackward { .. } => "embedding backward",
            Self::AddPosition { .. } => "positional_embedding",
            Self::AddPositionBackward { .. } => "positional_embedding backward",
            Self::LayerNorm { .. } => "layer_norm",
            Self::LayerNormBackward { .. } => "layer_norm backward",
            Self::Attention { .. } => "attention",
            Self::AttentionBackward { .. } => "attention backward",
            Self::Add { .. } => "add",
            Self::Copy { .. } => "copy",
        }
    }

    /// Calls `visit` for each buffer that the operation touches.
    pub fn visit_buffers(&self, visit: &mut dyn FnMut(BufferId, Access)) {
        let mut all = |reads: &[BufferId], writes: &[Option<BufferId>]| {
            reads.iter().for_each(|&id| visit(id, Access::Read));
            let writes = writes.iter().flatten();
            writes.for_each(|&id| visit(id, Access::Write));
        };
        match *self {
            Self::Dense {
                input,
                output,
                slope,
                ..
            }
            | Self::Conv2d {
                input,
                output,
                slope,
                ..
            }
            | Self::Activate {
                input,
                output,
                slope,
                ..
            } => all(&[input], &[Some(output), slope]),
            Self::DenseBackward {
                input,
                grad_output,
                grad_input,
                ..
            }
            | Self::Conv2dBackward {
                input,
                grad_output,
                grad_input,
                ..
            } => all(&[input, grad_output], &[grad_input]),
            Self::MaxPool {
                input,
                output,
                choice,
                ..
            } => all(&[input], &[Some(output), choice]),
            Self::MaxPoolBackward {
                choice,
                grad_output,
                grad_input,
                ..
            } => all(&[choice, grad_output], &[Some(grad_input)]),
            Self::AvgPool { input, output, .. }
            | Self::Dropout { input, output, .. }
            | Self::AddPosition { input, output, .. }
            | Self::Copy { input, output } => all(&[input], &[Some(output)]),
            Self::AvgPoolBackward {
                grad_output,
                grad_input,
                ..
            }
            | Self::DropoutBackward {
                grad_output,
                grad_input,
                ..
            } => all(&[grad_output], &[Some(grad_input)]),
            Self::ActivationBackward { saved, grad, .. } => {
                all(&[saved], &[]);
                visit(grad, Access::Update);
            }
            Self::Embedding { tokens, output, .. } => all(&[tokens], &[Some(output)]),
            Self::EmbeddingBackward {
                tokens,
                grad_output,
                ..
            } => all(&[tokens, grad_output], &[]),
            Self::AddPositionBackward { grad_output, .. } => all(&[grad_output], &[]),
            Self::LayerNorm {
                input,
                output,
                statistics,
                ..
            } => all(&[input], &[Some(output), Some(statistics)]),
            Self::LayerNormBackward {
                input,
                statistics,
                grad_output,
                grad_input,
                ..
            } => all(&[input, statistics, grad_output], &[grad_input]),
            Self::Attention {
                qkv,
                output,
                statistics,
                ..
            } => all(&[qkv], &[Some(output), Some(statistics)]),
            Self::AttentionBackward {
                qkv,
                output,
                statistics,
                grad_output,
                grad_qkv,
                ..
            } => all(&[qkv, output, statistics, grad_output], &[Some(grad_qkv)]),
            Self::Add {
                left,
                right,
                output,
            } => all(&[left, right], &[Some(output)]),
        }
    }

    /// The parameter tensors whose gradients the operation gives, with whether it adds to what is there.
    pub fn gradients(&self) -> impl Iterator<Item = (TensorId, bool)> {
        let pair = match *self {
            Self::DenseBackward {
                weight, bias, adds, ..
            } => [Some((weight.tensor, adds)), bias.map(|id| (id, false))],
            Self::Conv2dBackward { weight, bias, .. } => {
                [Some((weight, false)), bias.map(|id| (id, false))]
            }
            Self::EmbeddingBackward { table, adds, .. } => [Some((table, adds)), None],
            Self::AddPositionBackward { table, .. } => [Some((table, false)), None],
            Self::LayerNormBackward { gain, bias, .. } => {
                [Some((gain, false)), Some((bias, false))]
            }
            _ => [None, None],
        };
        pair.into_iter().flatten()
    }
}

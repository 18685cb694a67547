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

type Reads = [Option<BufferId>; 4];
type Writes = [Option<BufferId>; 2];

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
        let (reads, writes) = self
            .forward_buffers()
            .unwrap_or_else(|| self.backward_buffers());
        let visit_all = |ids: &[Option<BufferId>], access, visit: &mut dyn FnMut(_, _)| {
            ids.iter().flatten().for_each(|&id| visit(id, access));
        };
        visit_all(&reads, Access::Read, visit);
        let access = match self {
            Self::ActivationBackward { .. } => Access::Update,
            _ => Access::Write,
        };
        visit_all(&writes, access, visit);
    }

    /// What an operation of the forward pass reads and writes; none for the backward pass.
    fn forward_buffers(&self) -> Option<(Reads, Writes)> {
        let (reads, writes) = match *self {
            Self::Dense {
                input,
                output,
                slope: saved,
                ..
            }
            | Self::Conv2d {
                input,
                output,
                slope: saved,
                ..
            }
            | Self::Activate {
                input,
                output,
                slope: saved,
                ..
            }
            | Self::MaxPool {
                input,
                output,
                choice: saved,
                ..
            } => ([Some(input), None], [Some(output), saved]),
            Self::AvgPool { input, output, .. }
            | Self::Dropout { input, output, .. }
            | Self::AddPosition { input, output, .. }
            | Self::Embedding {
                tokens: input,
                output,
                ..
            }
            | Self::Copy { input, output } => ([Some(input), None], [Some(output), None]),
            Self::LayerNorm {
                input,
                output,
                statistics,
                ..
            }
            | Self::Attention {
                qkv: input,
                output,
                statistics,
                ..
            } => ([Some(input), None], [Some(output), Some(statistics)]),
            Self::Add {
                left,
                right,
                output,
            } => ([Some(left), Some(right)], [Some(output), None]),
            _ => return None,
        };
        Some(([reads[0], reads[1], None, None], writes))
    }

    /// What an operation of the backward pass reads and writes.
    fn backward_buffers(&self) -> (Reads, Writes) {
        let one = |id| [Some(id), None, None, None];
        let two = |a, b| [Some(a), Some(b), None, None];
        match *self {
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
            } => (two(input, grad_output), [grad_input, None]),
            Self::MaxPoolBackward {
                choice,
                grad_output,
                grad_input,
                ..
            } => (two(choice, grad_output), [Some(grad_input), None]),
            Self::AvgPoolBackward {
                grad_output,
                grad_input,
                ..
            }
            | Self::DropoutBackward {
                grad_output,
                grad_input,
                ..
            } => (one(grad_output), [Some(grad_input), None]),
            Self::ActivationBackward { saved, grad, .. } => (one(saved), [Some(grad), None]),
            Self::EmbeddingBackward {
                tokens,
                grad_output,
                ..
            } => (two(tokens, grad_output), [None; 2]),
            Self::AddPositionBackward { grad_output, .. } => (one(grad_output), [None; 2]),
            Self::LayerNormBackward {
                input,
                statistics,
                grad_output,
                grad_input,
                ..
            } => {
                let reads = [Some(input), Some(statistics), Some(grad_output), None];
                (reads, [grad_input, None])
            }
            Self::AttentionBackward {
                qkv,
                output,
                statistics,
                grad_output,
                grad_qkv,
                ..
            } => {
                let reads = [qkv, output, statistics, grad_output].map(Some);
                (reads, [Some(grad_qkv), None])
            }
            _ => unreachable!("{} is of the forward pass", self.name()),
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

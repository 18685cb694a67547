//! How much arithmetic an operation is.

use super::shape::{AttentionShape, ConvShape};
use super::{Graph, Op};

/// Floating-point operations per sample, of products only: one multiplication and one addition each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Forward pass.
    pub forward: u64,
    /// Backward pass.
    pub backward: u64,
}

impl Work {
    /// Both passes.
    pub fn total(self) -> u64 {
        self.forward + self.backward
    }
}

impl Graph {
    /// Floating-point operations of an operation per sample. Only products count, as they are nearly all of the work.
    pub fn flops(&self, op: &Op) -> u64 {
        let dense = |rows: usize, weight: &super::DenseWeight| {
            2 * rows as u64 * self.layout.tensor(weight.tensor).len as u64
        };
        // With a gradient of the input there are two products of the forward pass's size, else one.
        let products = |grad_input: Option<super::BufferId>| 1 + u64::from(grad_input.is_some());
        match op {
            Op::Dense { rows, weight, .. } => dense(*rows, weight),
            Op::DenseBackward {
                rows,
                weight,
                grad_input,
                ..
            } => products(*grad_input) * dense(*rows, weight),
            Op::Conv2d { shape, .. } => convolution(shape),
            Op::Conv2dBackward {
                shape, grad_input, ..
            } => products(*grad_input) * convolution(shape),
            // Scores and the weighted sum of values; backward the scores again and four gradients.
            Op::Attention { shape, .. } => 2 * attention(shape),
            Op::AttentionBackward { shape, .. } => 5 * attention(shape),
            _ => 0,
        }
    }

    /// Floating-point operations of one layer per sample, without the layers within it.
    pub fn layer_work(&self, layer: usize) -> Work {
        let of = |steps: &[super::Step]| -> u64 {
            let own = steps.iter().filter(|step| step.layer == layer);
            own.map(|step| self.flops(&step.op)).sum()
        };
        Work {
            forward: of(&self.forward),
            backward: of(&self.backward),
        }
    }

    /// Floating-point operations (multiplications and additions) of forward and backward pass per sample.
    pub fn flops_per_sample(&self) -> u64 {
        let steps = self.forward.iter().chain(&self.backward);
        steps.map(|step| self.flops(&step.op)).sum()
    }
}

fn convolution(shape: &ConvShape) -> u64 {
    2 * shape.output.features() as u64 * shape.depth() as u64
}

/// One product of all heads: each position with the positions that it sees.
fn attention(shape: &AttentionShape) -> u64 {
    let pairs: usize = (0..shape.positions).map(|i| shape.seen(i)).sum();
    2 * pairs as u64 * shape.width() as u64
}

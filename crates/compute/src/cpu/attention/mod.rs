//! Scaled dot-product attention of every sample and head, forward and backward.
//!
//! The formulas and the order of every sum are those of [`Op::Attention`](tabswarm_model::graph::Op). One
//! head of one sample is done at a time: its queries, keys and values are copied together, and only a block
//! of rows of its scores exists at any moment, however long the sequence. The backward pass computes the
//! scores again from the saved maximum and reciprocal sum of each row. Products leave out what the causal
//! mask makes zero, up to the size of a tile.

mod backward;
mod forward;
mod head;
mod scores;
#[cfg(test)]
mod tests;
mod tile;

use tabswarm_model::graph::shape::AttentionShape;

use self::head::Head;
use self::scores::Scores;
use super::aligned::AlignedBuffer;
use super::gemm::Path;
use super::isa;

/// Rows of scores that exist at once.
const BLOCK_ROWS: usize = 64;

/// The working memory for one geometry.
#[derive(Debug)]
pub(crate) struct Attention {
    shape: AttentionShape,
    /// `q' = q · scale`.
    queries: Head,
    keys: Head,
    values: Head,
    /// In panels, for the products over the width of a head.
    keys_turned: AlignedBuffer,
    values_turned: AlignedBuffer,
    /// The output, in the backward pass first the output and then the gradient of the queries.
    outputs: Head,
    grad_outputs: Head,
    grad_keys: Head,
    grad_values: Head,
    /// `t` of the backward pass, one a position.
    corrections: AlignedBuffer,
    /// Scores, exponentials and probabilities of a block of rows.
    scores: Scores,
    /// `dp` and `ds` of a block of rows.
    grad_scores: Scores,
}

impl Attention {
    /// Takes all memory that both passes need.
    pub(crate) fn new(shape: AttentionShape) -> Self {
        let head = || Head::new(shape);
        Self {
            shape,
            queries: head(),
            keys: head(),
            values: head(),
            keys_turned: head::panels(shape),
            values_turned: head::panels(shape),
            outputs: head(),
            grad_outputs: head(),
            grad_keys: head(),
            grad_values: head(),
            corrections: AlignedBuffer::new(head::padded_positions(shape)),
            scores: Scores::new(shape, BLOCK_ROWS),
            grad_scores: Scores::new(shape, BLOCK_ROWS),
        }
    }

    /// The geometry.
    pub(crate) fn shape(&self) -> AttentionShape {
        self.shape
    }

    /// Writes `output (n, positions, width)` and `statistics (n, heads, positions, 2)` for
    /// `qkv (n, positions, 3 · width)`.
    pub(crate) fn forward(
        &mut self,
        path: Path,
        qkv: &[f32],
        output: &mut [f32],
        statistics: &mut [f32],
    ) {
        self.check([output.len()], [qkv.len()], statistics.len());
        isa::run(
            path,
            forward::Forward {
                attention: self,
                qkv,
                output,
                statistics,
            },
        );
    }

    /// Writes `grad_qkv`, like `qkv`, from what the forward pass had and left and the gradient of its output.
    pub(crate) fn backward(
        &mut self,
        path: Path,
        (qkv, output, statistics): (&[f32], &[f32], &[f32]),
        grad_output: &[f32],
        grad_qkv: &mut [f32],
    ) {
        let outputs = [output.len(), grad_output.len()];
        self.check(outputs, [qkv.len(), grad_qkv.len()], statistics.len());
        isa::run(
            path,
            backward::Backward {
                attention: self,
                qkv,
                output,
                statistics,
                grad_output,
                grad_qkv,
            },
        );
    }

    /// Panics unless all lengths are those of one number of samples.
    fn check<const N: usize>(&self, outputs: [usize; N], qkvs: [usize; N], statistics: usize) {
        let sample = self.shape.positions * self.shape.width();
        let samples = outputs[0] / sample;
        assert_eq!(outputs, [samples * sample; N], "whole samples");
        assert_eq!(qkvs, [3 * samples * sample; N], "queries, keys and values");
        let pairs = samples * self.shape.heads * self.shape.positions * 2;
        assert_eq!(statistics, pairs, "two a position and head");
    }
}

/// The slices of a sample's `qkv`-like values at which a head's queries, keys and values begin.
fn offsets(shape: AttentionShape, head: usize) -> [usize; 3] {
    [0, 1, 2].map(|part| part * shape.width() + head * shape.head_width)
}

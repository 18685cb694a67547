//! Operations on sequences.

use tabswarm_model::graph::Op;
use tabswarm_model::graph::shape::AttentionShape;
use tabswarm_model::run_file::Precision;

use super::places::{Slot, half_words};
use super::product::{Shape, Size, matmul, matmul_params};
use super::{MAX_WORKGROUPS, Recorder, one_workgroup_eight_columns, word};
use crate::gpu::kernels::Call;
use crate::gpu::params::{
    AttentionParams, EmbeddingParams, LayerNormParams, MatmulParams, PositionParams,
};

/// Values of the scores that exist at once, unless those of a single sample are more: 32 MiB.
const MAX_SCORES: usize = 8 << 20;
const PROBABILITIES: Slot = Slot::Scratch(0);
const GRAD_SCORES: Slot = Slot::Scratch(1);
/// Both as products read them in half precision.
const HALF_PROBABILITIES: Slot = Slot::HalfScratch(0);
const HALF_GRAD_SCORES: Slot = Slot::HalfScratch(1);

/// A factor or a product of attention: a matrix (positions, `width`) of each sample and head.
#[derive(Clone, Copy)]
struct Heads {
    slot: Slot,
    /// First value of the first sample's first head.
    start: usize,
    /// From one sample, head and position to the next.
    strides: [usize; 3],
    width: usize,
}

impl Heads {
    /// One third of the values of queries, keys and values, or of their gradients.
    fn third(slot: Slot, shape: &AttentionShape, first_sample: usize, part: usize) -> Self {
        let (width, sample) = (shape.width(), 3 * shape.positions * shape.width());
        Self {
            slot,
            start: first_sample * sample + part * width,
            strides: [sample, shape.head_width, 3 * width],
            width: shape.head_width,
        }
    }

    /// The output or its gradient.
    fn output(slot: Slot, shape: &AttentionShape, first_sample: usize) -> Self {
        let (width, sample) = (shape.width(), shape.positions * shape.width());
        Self {
            slot,
            start: first_sample * sample,
            strides: [sample, shape.head_width, width],
            width: shape.head_width,
        }
    }

    /// Scores, probabilities or their gradients.
    fn scores(slot: Slot, shape: &AttentionShape) -> Self {
        let head = shape.positions * shape.positions;
        Self {
            slot,
            start: 0,
            strides: [shape.heads * head, head, shape.positions],
            width: shape.positions,
        }
    }
}

/// Samples of which attention is computed together.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    shape: &'a AttentionShape,
    samples: usize,
    products: Shape,
}

impl Chunk<'_> {
    /// `target = scale · left · right` or `… · rightᵀ`, `left` turned where `turned[0]`.
    fn product(
        self,
        [left, right, target]: [Heads; 3],
        turned: [bool; 2],
        scale: f32,
    ) -> Vec<super::Dispatch> {
        let positions = self.shape.positions;
        let size = Size {
            rows: positions,
            columns: target.width,
            depth: if turned[0] { positions } else { left.width },
            batches: self.samples * self.shape.heads,
        };
        let [left_row, left_depth] = if turned[0] {
            [1, left.strides[2]]
        } else {
            [left.strides[2], 1]
        };
        let [right_depth, right_column] = if turned[1] {
            [1, right.strides[2]]
        } else {
            [right.strides[2], 1]
        };
        let params = MatmulParams {
            left_start: word(left.start),
            left_row: word(left_row),
            left_depth: word(left_depth),
            left_sample: word(left.strides[0]),
            left_head: word(left.strides[1]),
            right_start: word(right.start),
            right_depth: word(right_depth),
            right_column: word(right_column),
            right_sample: word(right.strides[0]),
            right_head: word(right.strides[1]),
            target_start: word(target.start),
            target_row: word(target.strides[2]),
            target_sample: word(target.strides[0]),
            target_head: word(target.strides[1]),
            heads: word(self.shape.heads),
            scale,
            ..matmul_params(size)
        };
        matmul(params, self.products, [left.slot, right.slot, target.slot])
    }
}

impl Recorder<'_> {
    pub(super) fn attention(&mut self, op: &Op) {
        let (Op::Attention { shape, .. } | Op::AttentionBackward { shape, .. }) = op else {
            unreachable!("{} is no attention", op.name())
        };
        let sample = shape.heads * shape.positions * shape.positions;
        let at_once = (MAX_SCORES / sample).min(MAX_WORKGROUPS / shape.heads);
        let at_once = at_once.clamp(1, self.samples);
        self.need_scratch(PROBABILITIES, at_once * sample);
        for first in (0..self.samples).step_by(at_once) {
            let samples = at_once.min(self.samples - first);
            let chunk = Chunk {
                shape,
                samples,
                products: self.shape,
            };
            match *op {
                Op::Attention { qkv, output, .. } => {
                    let (qkv, output) = (self.factor(qkv), self.places.of(output));
                    let probabilities = self.probabilities(chunk, qkv, first);
                    let probabilities = Heads::scores(probabilities, shape);
                    let values = Heads::third(qkv, shape, first, 2);
                    let output = Heads::output(output, shape, first);
                    let factors = [probabilities, values, output];
                    self.products(chunk.product(factors, [false, false], 1.0));
                }
                Op::AttentionBackward {
                    qkv,
                    grad_output,
                    grad_qkv,
                    ..
                } => {
                    self.need_scratch(GRAD_SCORES, at_once * sample);
                    let [qkv, grad] = [qkv, grad_output].map(|id| self.factor(id));
                    let slots = [qkv, grad, self.places.of(grad_qkv)];
                    self.attention_backward(chunk, slots, first);
                }
                _ => unreachable!("as above"),
            }
        }
    }

    /// The probabilities of a chunk, which the backward pass computes again, and where products find them.
    fn probabilities(&mut self, chunk: Chunk<'_>, qkv: Slot, first: usize) -> Slot {
        let shape = chunk.shape;
        let [queries, keys] = [0, 1].map(|part| Heads::third(qkv, shape, first, part));
        let scores = Heads::scores(PROBABILITIES, shape);
        let product = chunk.product([queries, keys, scores], [false, true], shape.scale());
        self.products(product);
        let rows = chunk.samples * shape.heads * shape.positions;
        let call = Call::AttentionSoftmax(AttentionParams {
            rows: word(rows),
            positions: word(shape.positions),
            causal: u32::from(shape.causal),
        });
        self.rows(call, &[PROBABILITIES], rows, shape.positions);
        self.scores_as_factor([PROBABILITIES, HALF_PROBABILITIES], rows * shape.positions)
    }

    /// Where products find so many values of a working memory.
    fn scores_as_factor(&mut self, [values, halves]: [Slot; 2], len: usize) -> Slot {
        if self.precision == Precision::Single {
            return values;
        }
        self.need_scratch(halves, half_words(self.sizes[&values]));
        self.halve(values, halves, len);
        halves
    }

    fn attention_backward(
        &mut self,
        chunk: Chunk<'_>,
        [qkv, grad_output, grad_qkv]: [Slot; 3],
        first: usize,
    ) {
        let shape = chunk.shape;
        let [q, k, v] = [0, 1, 2].map(|part| Heads::third(qkv, shape, first, part));
        let [dq, dk, dv] = [0, 1, 2].map(|part| Heads::third(grad_qkv, shape, first, part));
        let dy = Heads::output(grad_output, shape, first);
        let p = Heads::scores(self.probabilities(chunk, qkv, first), shape);
        let ds = Heads::scores(GRAD_SCORES, shape);
        let scale = shape.scale();
        self.products(chunk.product([dy, v, ds], [false, true], 1.0));
        self.products(chunk.product([p, dy, dv], [true, false], 1.0));
        let rows = chunk.samples * shape.heads * shape.positions;
        let call = Call::AttentionSoftmaxBackward(AttentionParams {
            rows: word(rows),
            positions: word(shape.positions),
            causal: 0,
        });
        self.rows(call, &[PROBABILITIES, GRAD_SCORES], rows, shape.positions);
        let grad_scores = [GRAD_SCORES, HALF_GRAD_SCORES];
        let ds = self.scores_as_factor(grad_scores, rows * shape.positions);
        let ds = Heads::scores(ds, shape);
        self.products(chunk.product([ds, k, dq], [false, false], scale));
        self.products(chunk.product([ds, q, dk], [true, false], scale));
    }

    pub(super) fn embedding(&mut self, op: &Op) {
        match *op {
            Op::Embedding {
                table,
                tokens,
                output,
                ..
            } => {
                let len = self.len(output);
                let shape = &self.graph.layout.tensor(table).shape;
                let call = Call::Embedding(EmbeddingParams {
                    len: word(len),
                    width: word(shape[1]),
                    table_start: self.offset(table),
                    rows_or_vocabulary: word(shape[0]),
                    adds: 0,
                });
                let slots = [Slot::Params, self.places.of(tokens), self.places.of(output)];
                self.values(call, &slots, len);
            }
            Op::EmbeddingBackward {
                table,
                rows,
                tokens,
                grad_output,
                adds,
            } => {
                let tensor = self.graph.layout.tensor(table);
                let len = tensor.len;
                let call = Call::EmbeddingBackward(EmbeddingParams {
                    len: word(len),
                    width: word(tensor.shape[1]),
                    table_start: self.offset(table),
                    rows_or_vocabulary: word(self.samples * rows),
                    adds: u32::from(adds),
                });
                let [tokens, grad] = [tokens, grad_output].map(|id| self.places.of(id));
                self.values(call, &[tokens, grad, Slot::Gradient], len);
            }
            Op::AddPosition {
                table,
                input,
                output,
            } => {
                let len = self.len(output);
                let call = Call::AddPosition(PositionParams {
                    len: word(len),
                    period: word(self.graph.layout.tensor(table).len),
                    table_start: self.offset(table),
                });
                let slots = [Slot::Params, self.places.of(input), self.places.of(output)];
                self.values(call, &slots, len);
            }
            Op::AddPositionBackward { table, grad_output } => {
                let size = [self.samples, self.graph.layout.tensor(table).len];
                self.sum_rows(self.places.of(grad_output), size, table, false);
            }
            _ => unreachable!("{} is no embedding", op.name()),
        }
    }

    pub(super) fn layer_norm(&mut self, op: &Op) {
        match *op {
            Op::LayerNorm {
                gain,
                bias,
                rows,
                epsilon,
                input,
                output,
                statistics,
            } => {
                let width = self.graph.layout.tensor(gain).len;
                let rows = self.samples * rows;
                let call = Call::LayerNorm(LayerNormParams {
                    rows: word(rows),
                    width: word(width),
                    gain_start: self.offset(gain),
                    bias_start: self.offset(bias),
                    epsilon,
                });
                let [input, output, statistics] =
                    [input, output, statistics].map(|id| self.places.of(id));
                self.rows(
                    call,
                    &[Slot::Params, input, output, statistics],
                    rows,
                    width,
                );
            }
            Op::LayerNormBackward {
                gain,
                bias,
                rows,
                input,
                statistics,
                grad_output,
                grad_input,
            } => {
                let width = self.graph.layout.tensor(gain).len;
                let rows = self.samples * rows;
                let params = LayerNormParams {
                    rows: word(rows),
                    width: word(width),
                    gain_start: self.offset(gain),
                    bias_start: self.offset(bias),
                    epsilon: 0.0,
                };
                let [input, statistics, grad] =
                    [input, statistics, grad_output].map(|id| self.places.of(id));
                let call = Call::LayerNormBackwardParams(params);
                let slots = [input, statistics, grad, Slot::Gradient];
                let size = [rows, width];
                self.dispatches
                    .push(one_workgroup_eight_columns(call, &slots, size));
                if let Some(grad_input) = grad_input {
                    let target = self.places.of(grad_input);
                    let slots = [Slot::Params, input, statistics, grad, target];
                    self.rows(Call::LayerNormBackward(params), &slots, rows, width);
                }
            }
            _ => unreachable!("{} is no layer norm", op.name()),
        }
    }
}

//! The backward pass.

use super::{Attention, BLOCK_ROWS, offsets};
use crate::cpu::isa::{Isa, Kernel};

pub(super) struct Backward<'a> {
    pub(super) attention: &'a mut Attention,
    pub(super) qkv: &'a [f32],
    pub(super) output: &'a [f32],
    pub(super) statistics: &'a [f32],
    pub(super) grad_output: &'a [f32],
    pub(super) grad_qkv: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let attention = self.attention;
        let shape = attention.shape;
        let (width, sample) = (shape.width(), shape.positions * shape.width());
        let samples = self.qkv.chunks_exact(3 * sample);
        let samples = samples.zip(self.grad_qkv.chunks_exact_mut(3 * sample));
        let outputs = self.output.chunks_exact(sample);
        let outputs = outputs.zip(self.grad_output.chunks_exact(sample));
        let (statistics, _) = self.statistics.as_chunks::<2>();
        let mut statistics = statistics.chunks_exact(shape.positions);
        for ((qkv, grad_qkv), (output, grad_output)) in samples.zip(outputs) {
            for (head, statistics) in (0..shape.heads).zip(&mut statistics) {
                let parts = offsets(shape, head);
                attention.load(isa, parts.map(|offset| &qkv[offset..]));
                let column = head * shape.head_width;
                attention.load_outputs(isa, [&output[column..], &grad_output[column..]]);
                attention.differentiate(isa, statistics);
                let [q, k, v] = parts;
                attention.outputs.scatter(&mut grad_qkv[q..], 3 * width);
                attention.grad_keys.scatter(&mut grad_qkv[k..], 3 * width);
                attention.grad_values.scatter(&mut grad_qkv[v..], 3 * width);
            }
        }
    }
}

impl Attention {
    /// Copies a head's output and its gradient, turns the loaded values, and works out `t`.
    #[inline(always)]
    fn load_outputs<I: Isa>(&mut self, isa: I, [output, grad_output]: [&[f32]; 2]) {
        let stride = self.shape.width();
        self.values.turn(isa, &mut self.values_turned);
        self.outputs.gather(output, stride);
        self.grad_outputs.gather(grad_output, stride);
        self.grad_outputs
            .row_products(isa, &self.outputs, &mut self.corrections);
    }

    /// `grad_keys`, `grad_values` and, in `outputs`, the gradient of the queries of the loaded head.
    #[inline(always)]
    fn differentiate<I: Isa>(&mut self, isa: I, statistics: &[[f32; 2]]) {
        self.grad_keys.values.fill(0.0);
        self.grad_values.values.fill(0.0);
        for (idx, statistics) in statistics.chunks(BLOCK_ROWS).enumerate() {
            let first = idx * BLOCK_ROWS;
            let queries = first..first + statistics.len();
            self.scores
                .multiply(isa, queries.clone(), &self.queries, &self.keys_turned);
            self.grad_scores
                .multiply(isa, queries, &self.grad_outputs, &self.values_turned);
            let corrections = &self.corrections[first..];
            for (row, (&statistics, &t)) in statistics.iter().zip(corrections).enumerate() {
                self.scores
                    .differentiate(isa, row, &mut self.grad_scores, (statistics, t));
            }
            self.grad_scores.times(isa, &self.keys, &mut self.outputs);
            self.grad_scores
                .turned_times(isa, &self.queries, &mut self.grad_keys);
            self.scores
                .turned_times(isa, &self.grad_outputs, &mut self.grad_values);
        }
        self.outputs.scale(isa, self.shape.scale());
    }
}

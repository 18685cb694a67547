//! The forward pass.

use super::{Attention, BLOCK_ROWS, offsets};
use crate::cpu::isa::{Isa, Kernel};

pub(super) struct Forward<'a> {
    pub(super) attention: &'a mut Attention,
    pub(super) qkv: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) statistics: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let shape = self.attention.shape;
        let (width, sample) = (shape.width(), shape.positions * shape.width());
        let outputs = self.output.chunks_exact_mut(sample);
        let (statistics, _) = self.statistics.as_chunks_mut::<2>();
        let mut statistics = statistics.chunks_exact_mut(shape.positions);
        for (qkv, output) in self.qkv.chunks_exact(3 * sample).zip(outputs) {
            for (head, statistics) in (0..shape.heads).zip(&mut statistics) {
                let [q, k, v] = offsets(shape, head).map(|offset| &qkv[offset..]);
                self.attention.load(isa, [q, k, v]);
                self.attention.attend(isa, statistics);
                let to = &mut output[head * shape.head_width..];
                self.attention.outputs.scatter(to, width);
            }
        }
    }
}

impl Attention {
    /// Copies a head's queries (scaled), keys and values, and turns the keys.
    #[inline(always)]
    pub(super) fn load<I: Isa>(&mut self, isa: I, [q, k, v]: [&[f32]; 3]) {
        let stride = 3 * self.shape.width();
        self.queries.gather(q, stride);
        self.queries.scale(isa, self.shape.scale());
        self.keys.gather(k, stride);
        self.keys.turn(isa, &mut self.keys_turned);
        self.values.gather(v, stride);
    }

    /// `outputs` and statistics of the loaded head.
    #[inline(always)]
    fn attend<I: Isa>(&mut self, isa: I, statistics: &mut [[f32; 2]]) {
        for (idx, statistics) in statistics.chunks_mut(BLOCK_ROWS).enumerate() {
            let first = idx * BLOCK_ROWS;
            let queries = first..first + statistics.len();
            self.scores
                .multiply(isa, queries, &self.queries, &self.keys_turned);
            for (row, statistics) in statistics.iter_mut().enumerate() {
                *statistics = self.scores.exponentiate(isa, row);
            }
            self.scores.times(isa, &self.values, &mut self.outputs);
            for (row, [_, reciprocal]) in statistics.iter().enumerate() {
                self.outputs.scale_row(isa, first + row, *reciprocal);
            }
        }
    }
}

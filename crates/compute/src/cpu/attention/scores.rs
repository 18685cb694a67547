//! A block of rows of one head's scores, or of their gradients.

use std::ops::Range;

use tabswarm_model::graph::shape::AttentionShape;

use super::head::{Head, padded_positions};
use super::tile::{self, Left, Right, TILE_COLS, Target, tile_rows};
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::isa::stripes::{Chunk, Stripes, part};
use crate::cpu::isa::{Isa, MAX_LANES};
use crate::cpu::math::exp_nonpositive;

/// Rows of queries `i`, columns of keys `j`.
///
/// Of a row only the columns up to [`Self::masked_row`]'s end are ever looked at; those that the query does not see
/// are zero there once the row is finished.
#[derive(Debug)]
pub(super) struct Scores {
    values: AlignedBuffer,
    shape: AttentionShape,
    /// Distance of rows: the padded number of positions.
    step: usize,
    /// The query of the first row.
    first: usize,
    rows: usize,
}

impl Scores {
    pub(super) fn new(shape: AttentionShape, block_rows: usize) -> Self {
        let step = padded_positions(shape);
        Self {
            values: AlignedBuffer::new(block_rows.min(shape.positions) * step),
            shape,
            step,
            first: 0,
            rows: 0,
        }
    }

    /// Sets the block to the products of rows of `left` with the columns of a turned head:
    /// `self[i, j] = chain(d: left[i, d] · panels[d, j])`.
    #[inline(always)]
    pub(super) fn multiply<I: Isa>(
        &mut self,
        isa: I,
        queries: Range<usize>,
        left: &Head,
        panels: &[f32],
    ) {
        (self.first, self.rows) = (queries.start, queries.len());
        let depth = self.shape.head_width;
        for tile in tiles::<I>(0..self.rows) {
            let query = self.first + tile.start;
            let seen = self.shape.seen(query + tile.len() - 1);
            for key in (0..seen).step_by(TILE_COLS) {
                let left = Left {
                    values: &left.values[query * left.step..],
                    row_step: left.step,
                    depth_step: 1,
                };
                let right = Right {
                    values: &panels[key * left.row_step..],
                    step: TILE_COLS,
                };
                let target = Target {
                    values: &mut self.values[tile.start * self.step + key..],
                    step: self.step,
                    accumulate: false,
                };
                tile::product(isa, (tile.len(), depth), left, right, target);
            }
        }
    }

    /// Makes a row of scores `s` one of exponentials `e`; returns `m` and `r`.
    #[inline(always)]
    pub(super) fn exponentiate<I: Isa>(&mut self, isa: I, row: usize) -> [f32; 2] {
        let scores = self.masked_row::<I>(row, f32::NEG_INFINITY);
        let (chunks, _) = scores.as_chunks_mut::<TILE_COLS>();
        let max = maximum(isa, chunks);
        let mut sum = Stripes::new(isa);
        for chunk in chunks {
            for at in (0..TILE_COLS).step_by(I::LANES) {
                let e = exp_nonpositive(isa, isa.sub(part(isa, chunk, at), isa.splat(max)));
                sum.add(isa, at, e);
                isa.write(&mut chunk[at..at + I::LANES], e);
            }
        }
        [max, 1.0 / sum.total(isa)]
    }

    /// Makes a row of scores `s` one of probabilities `p`, and the same row of `grads` from `dp` to `ds`.
    #[inline(always)]
    pub(super) fn differentiate<I: Isa>(
        &mut self,
        isa: I,
        row: usize,
        grads: &mut Self,
        ([max, reciprocal], correction): ([f32; 2], f32),
    ) {
        let (scores, _) = self
            .masked_row::<I>(row, f32::NEG_INFINITY)
            .as_chunks_mut::<TILE_COLS>();
        let (grads, _) = grads.masked_row::<I>(row, 0.0).as_chunks_mut::<TILE_COLS>();
        let (max, reciprocal) = (isa.splat(max), isa.splat(reciprocal));
        let correction = isa.splat(correction);
        for (scores, grads) in scores.iter_mut().zip(grads) {
            for at in (0..TILE_COLS).step_by(I::LANES) {
                let e = exp_nonpositive(isa, isa.sub(part(isa, scores, at), max));
                let p = isa.mul(e, reciprocal);
                let ds = isa.mul(p, isa.sub(part(isa, grads, at), correction));
                isa.write(&mut scores[at..at + I::LANES], p);
                isa.write(&mut grads[at..at + I::LANES], ds);
            }
        }
    }

    /// `to[i, d] = chain(j: self[i, j] · right[j, d])` for the block's queries.
    #[inline(always)]
    pub(super) fn times<I: Isa>(&self, isa: I, right: &Head, to: &mut Head) {
        for tile in tiles::<I>(0..self.rows) {
            let query = self.first + tile.start;
            let seen = self.shape.seen(query + tile.len() - 1);
            for d in (0..right.step).step_by(TILE_COLS) {
                let left = Left {
                    values: &self.values[tile.start * self.step..],
                    row_step: self.step,
                    depth_step: 1,
                };
                let step = right.step;
                let right = Right {
                    values: &right.values[d..],
                    step,
                };
                let target = Target {
                    values: &mut to.values[query * step + d..],
                    step,
                    accumulate: false,
                };
                tile::product(isa, (tile.len(), seen), left, right, target);
            }
        }
    }

    /// `to[j, d]` goes on with `chain(i: self[i, j] · right[i, d])`, `i` over the block's queries that see `j`.
    #[inline(always)]
    pub(super) fn turned_times<I: Isa>(&self, isa: I, right: &Head, to: &mut Head) {
        let keys = self.shape.seen(self.first + self.rows - 1);
        for tile in tiles::<I>(0..keys) {
            // A query sees the keys that are not after it; the others' values are zero.
            let row = if self.shape.causal {
                tile.start.saturating_sub(self.first)
            } else {
                0
            };
            for d in (0..right.step).step_by(TILE_COLS) {
                let left = Left {
                    values: &self.values[row * self.step + tile.start..],
                    row_step: 1,
                    depth_step: self.step,
                };
                let step = right.step;
                let right = Right {
                    values: &right.values[(self.first + row) * step + d..],
                    step,
                };
                let target = Target {
                    values: &mut to.values[tile.start * step + d..],
                    step,
                    accumulate: true,
                };
                tile::product(isa, (tile.len(), self.rows - row), left, right, target);
            }
        }
    }

    /// The columns of a row that are ever looked at, with those that the query does not see set to `unseen`.
    #[inline(always)]
    fn masked_row<I: Isa>(&mut self, row: usize, unseen: f32) -> &mut [f32] {
        let seen = self.shape.seen(self.first + row);
        // A tile takes in the keys that its last query sees for all of its queries.
        let looked_at = self
            .step
            .min((seen + tile_rows::<I>() - 1).next_multiple_of(TILE_COLS));
        let row = &mut self.values[row * self.step..][..looked_at];
        row[seen..].fill(unseen);
        row
    }
}

/// The largest value, not taking note of what is not a number.
#[inline(always)]
fn maximum<I: Isa>(isa: I, chunks: &[Chunk]) -> f32 {
    let mut maxima = isa.splat(f32::NEG_INFINITY);
    for chunk in chunks {
        for at in (0..TILE_COLS).step_by(I::LANES) {
            maxima = isa.max(part(isa, chunk, at), maxima);
        }
    }
    let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
    isa.write(&mut lanes[..I::LANES], maxima);
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Cuts rows into tiles.
#[inline(always)]
fn tiles<I: Isa>(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let starts = rows.clone().step_by(tile_rows::<I>());
    starts.map(move |start| start..rows.end.min(start + tile_rows::<I>()))
}

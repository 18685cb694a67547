//! The values of one head of one sample, copied together.

use tabswarm_model::graph::shape::AttentionShape;

use super::tile::TILE_COLS;
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::isa::{Isa, MAX_LANES};

/// A matrix (positions, head width) with both sizes padded to whole tiles. Padding is zero.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) values: AlignedBuffer,
    positions: usize,
    width: usize,
    /// Distance of rows: the padded width.
    pub(super) step: usize,
}

/// Positions, padded to whole tiles.
pub(super) fn padded_positions(shape: AttentionShape) -> usize {
    shape.positions.next_multiple_of(TILE_COLS)
}

/// Room for a [`Head::turn`]ed matrix: panels of [`TILE_COLS`] positions, each (head width, `TILE_COLS`).
pub(super) fn panels(shape: AttentionShape) -> AlignedBuffer {
    AlignedBuffer::new(padded_positions(shape) * shape.head_width.next_multiple_of(TILE_COLS))
}

impl Head {
    pub(super) fn new(shape: AttentionShape) -> Self {
        let step = shape.head_width.next_multiple_of(TILE_COLS);
        Self {
            values: AlignedBuffer::new(padded_positions(shape) * step),
            positions: shape.positions,
            width: shape.head_width,
            step,
        }
    }

    /// Copies a head out of rows that are `stride` apart.
    #[inline(always)]
    pub(super) fn gather(&mut self, from: &[f32], stride: usize) {
        for position in 0..self.positions {
            let from = &from[position * stride..][..self.width];
            self.values[position * self.step..][..self.width].copy_from_slice(from);
        }
    }

    /// Copies the head into rows that are `stride` apart.
    #[inline(always)]
    pub(super) fn scatter(&self, to: &mut [f32], stride: usize) {
        for position in 0..self.positions {
            let from = &self.values[position * self.step..][..self.width];
            to[position * stride..][..self.width].copy_from_slice(from);
        }
    }

    /// Multiplies all values.
    #[inline(always)]
    pub(super) fn scale<I: Isa>(&mut self, isa: I, factor: f32) {
        let factor = isa.splat(factor);
        for values in self.values.chunks_exact_mut(I::LANES) {
            let scaled = isa.mul(isa.read(values), factor);
            isa.write(values, scaled);
        }
    }

    /// Multiplies a row.
    #[inline(always)]
    pub(super) fn scale_row<I: Isa>(&mut self, isa: I, position: usize, factor: f32) {
        let factor = isa.splat(factor);
        let row = &mut self.values[position * self.step..][..self.step];
        for values in row.chunks_exact_mut(I::LANES) {
            let scaled = isa.mul(isa.read(values), factor);
            isa.write(values, scaled);
        }
    }

    /// Writes the transposed matrix in panels, see [`panels`].
    #[inline(always)]
    pub(super) fn turn<I: Isa>(&self, isa: I, panels: &mut [f32]) {
        let rows = self.values.len() / self.step;
        for position in (0..rows).step_by(I::LANES) {
            let (panel, column) = (position / TILE_COLS, position % TILE_COLS);
            let panel = &mut panels[panel * TILE_COLS * self.step + column..];
            for d in (0..self.step).step_by(I::LANES) {
                let square = self.square(isa, position, d);
                for (i, reg) in square[..I::LANES].iter().enumerate() {
                    isa.write(&mut panel[(d + i) * TILE_COLS..][..I::LANES], *reg);
                }
            }
        }
    }

    /// `products[position] = chain(d: self[position, d] · other[position, d])`, for the padding too.
    #[inline(always)]
    pub(super) fn row_products<I: Isa>(&self, isa: I, other: &Self, products: &mut [f32]) {
        for (idx, products) in products.chunks_exact_mut(I::LANES).enumerate() {
            let position = idx * I::LANES;
            let mut chains = isa.splat(0.0);
            for d in (0..self.width).step_by(I::LANES) {
                let a = self.square(isa, position, d);
                let b = other.square(isa, position, d);
                // Padding adds products of zeros, which change nothing.
                for (&a, &b) in a[..I::LANES].iter().zip(&b[..I::LANES]) {
                    chains = isa.multiply_add(chains, a, b);
                }
            }
            isa.write(products, chains);
        }
    }

    /// The values of `LANES` columns from `d`, each a register of `LANES` positions.
    #[inline(always)]
    fn square<I: Isa>(&self, isa: I, position: usize, d: usize) -> [I::Reg; MAX_LANES] {
        let mut square = [isa.splat(0.0); MAX_LANES];
        for (i, reg) in square[..I::LANES].iter_mut().enumerate() {
            *reg = isa.read(&self.values[(position + i) * self.step + d..][..I::LANES]);
        }
        isa.transpose(&mut square[..I::LANES]);
        square
    }
}

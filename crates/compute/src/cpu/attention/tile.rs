//! Products of small matrices that need no packing: operands lie in the first caches as they are.
//!
//! Every element of a result is one chain over increasing depth. A tile is a few rows and
//! [`TILE_COLS`] columns of the result, held in registers.
#![allow(
    unsafe_code,
    reason = "loads and stores through raw pointers; bounds are asserted once per tile"
)]

use crate::cpu::isa::Isa;

/// Columns of a tile; right operands and targets are padded to whole tiles.
pub(super) const TILE_COLS: usize = 16;
/// Rows of a tile that keep the registers of the instruction set busy without spilling.
pub(super) const fn tile_rows<I: Isa>() -> usize {
    match (I::LANES, I::REGISTERS) {
        // One register a row: with fewer rows each would wait for its own chain.
        (16.., _) => 8,
        (8.., _) | (_, 32..) => 6,
        _ => 4,
    }
}

/// A left operand: element (row, depth) is at `row · row_step + depth · depth_step`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_step: usize,
    pub(super) depth_step: usize,
}

/// A right operand: [`TILE_COLS`] columns of rows that are `step` apart.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) step: usize,
}

/// A target: [`TILE_COLS`] columns of rows that are `step` apart.
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) step: usize,
    /// Whether the chains go on from what is there instead of from +0.
    pub(super) accumulate: bool,
}

/// `target (rows, TILE_COLS) = left (rows, depth) · right (depth, TILE_COLS)`, with at most [`tile_rows`] rows.
#[inline(always)]
pub(super) fn product<I: Isa>(
    isa: I,
    (rows, depth): (usize, usize),
    left: Left<'_>,
    right: Right<'_>,
    target: Target<'_>,
) {
    assert!(0 < rows && rows <= tile_rows::<I>() && depth > 0, "a tile");
    let left_last = (rows - 1) * left.row_step + (depth - 1) * left.depth_step;
    assert!(left_last < left.values.len(), "left operand too short");
    let right_len = (depth - 1) * right.step + TILE_COLS;
    assert!(right_len <= right.values.len(), "right operand too short");
    let target_len = (rows - 1) * target.step + TILE_COLS;
    assert!(target_len <= target.values.len(), "target too short");
    // SAFETY: the slices hold `rows × depth`, `depth × TILE_COLS` and `rows × TILE_COLS` elements at these
    // steps, as just checked.
    unsafe {
        if I::LANES == TILE_COLS {
            rows_of::<I, 1>(isa, rows, depth, left, right, target);
        } else if I::LANES == 4 && I::REGISTERS >= 32 {
            rows_of::<I, 4>(isa, rows, depth, left, right, target);
        } else {
            rows_of::<I, 2>(isa, rows, depth, left, right, target);
        }
    }
}

/// [`columns`] for a number of rows.
///
/// # Safety
/// As [`columns`], with `rows` rows, at most [`tile_rows`].
#[inline(always)]
unsafe fn rows_of<I: Isa, const VECS: usize>(
    isa: I,
    rows: usize,
    depth: usize,
    left: Left<'_>,
    right: Right<'_>,
    target: Target<'_>,
) {
    // SAFETY: as the caller promises. Taller tiles do not occur, and are not compiled.
    unsafe {
        match rows {
            8 if tile_rows::<I>() >= 8 => columns::<I, 8, VECS>(isa, depth, left, right, target),
            7 if tile_rows::<I>() >= 7 => columns::<I, 7, VECS>(isa, depth, left, right, target),
            6 if tile_rows::<I>() >= 6 => columns::<I, 6, VECS>(isa, depth, left, right, target),
            5 if tile_rows::<I>() >= 5 => columns::<I, 5, VECS>(isa, depth, left, right, target),
            4 => columns::<I, 4, VECS>(isa, depth, left, right, target),
            3 => columns::<I, 3, VECS>(isa, depth, left, right, target),
            2 => columns::<I, 2, VECS>(isa, depth, left, right, target),
            _ => columns::<I, 1, VECS>(isa, depth, left, right, target),
        }
    }
}

/// All columns, as many at once as `VECS` registers hold.
///
/// # Safety
/// The operands must hold `ROWS × depth`, `depth × TILE_COLS` and `ROWS × TILE_COLS` elements at their steps.
#[inline(always)]
unsafe fn columns<I: Isa, const ROWS: usize, const VECS: usize>(
    isa: I,
    depth: usize,
    left: Left<'_>,
    right: Right<'_>,
    target: Target<'_>,
) {
    let Target {
        values,
        step,
        accumulate,
    } = target;
    assert!(
        TILE_COLS.is_multiple_of(I::LANES * VECS),
        "a tile is whole registers"
    );
    for first in (0..TILE_COLS).step_by(I::LANES * VECS) {
        // SAFETY: every offset below is of an element that the caller promises.
        unsafe {
            let to = values.as_mut_ptr().add(first);
            let mut acc = [[isa.splat(0.0); VECS]; ROWS];
            if accumulate {
                for (row, acc_row) in acc.iter_mut().enumerate() {
                    for (vec, reg) in acc_row.iter_mut().enumerate() {
                        *reg = isa.load(to.add(row * step + vec * I::LANES));
                    }
                }
            }
            let (a, b) = (left.values.as_ptr(), right.values.as_ptr().add(first));
            for k in 0..depth {
                let mut b_regs = [isa.splat(0.0); VECS];
                for (vec, reg) in b_regs.iter_mut().enumerate() {
                    *reg = isa.load(b.add(k * right.step + vec * I::LANES));
                }
                for (row, acc_row) in acc.iter_mut().enumerate() {
                    let a_reg = isa.splat(*a.add(row * left.row_step + k * left.depth_step));
                    for (reg, b_reg) in acc_row.iter_mut().zip(b_regs) {
                        *reg = isa.multiply_add(*reg, a_reg, b_reg);
                    }
                }
            }
            for (row, acc_row) in acc.iter().enumerate() {
                for (vec, reg) in acc_row.iter().enumerate() {
                    isa.store(to.add(row * step + vec * I::LANES), *reg);
                }
            }
        }
    }
}

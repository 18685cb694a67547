//! The register-blocked inner loops of the product, written once over an abstract SIMD register.
//!
//! A *strip* is all rows of one operand against one packed panel of the other. It is cut into tiles of at
//! most [`MAX_ROWS`] rows, each tile's results live in registers while the loop over the depth runs, and
//! every result is one chain `acc = acc + a * b` over increasing depth. Nothing here reorders a chain, so
//! the register width and the tile height never show in the bits.
#![allow(
    unsafe_code,
    reason = "SIMD loads and stores through raw pointers; bounds are asserted once per strip"
)]
#![expect(
    clippy::inline_always,
    reason = "the loops must be compiled into each caller, with its CPU features and constants"
)]

use std::mem::MaybeUninit;

use super::blocks::Heights;
use super::strip::{Rows, Strip};

/// The tallest tile that any path uses.
pub(super) const MAX_ROWS: usize = 12;
/// The tallest tile of gathered rows: each row takes a general register of its own, and x86-64 has sixteen.
const MAX_GATHERED_ROWS: usize = 8;
/// The widest panel that any path uses; edge tiles are staged in a buffer of this width.
const MAX_NR: usize = 32;

/// A SIMD register of `f32` and the five operations that a product needs.
pub(super) trait Simd {
    /// The register.
    type Reg: Copy;
    /// `f32` values in a register.
    const LANES: usize;

    /// All lanes zero.
    ///
    /// # Safety
    /// The CPU must support the implementing path.
    unsafe fn zero() -> Self::Reg;

    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` values, and the CPU must support the path.
    unsafe fn load(from: *const f32) -> Self::Reg;

    /// Reads one value into all lanes.
    ///
    /// # Safety
    /// `from` must be readable for one value, and the CPU must support the path.
    unsafe fn broadcast(from: *const f32) -> Self::Reg;

    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` values, and the CPU must support the path.
    unsafe fn store(to: *mut f32, value: Self::Reg);

    /// `acc + a * b` with the rounding of the path's arithmetic class.
    ///
    /// # Safety
    /// The CPU must support the path.
    unsafe fn multiply_add(acc: Self::Reg, a: Self::Reg, b: Self::Reg) -> Self::Reg;
}

/// Where a tile reads its left operand, at one depth after the other.
trait Column: Copy {
    /// The tile's element in row `row` at the current depth.
    ///
    /// # Safety
    /// The row and the current depth must be within the tile.
    unsafe fn at(self, row: usize) -> *const f32;

    /// Goes on to the next depth, of which there may be one more than the tile has.
    ///
    /// # Safety
    /// The current depth must be within the tile.
    unsafe fn advance(&mut self);
}

/// Element `(row, depth)` is at `row * row_step + depth * depth_step`.
#[derive(Clone, Copy)]
struct Stepped {
    at: *const f32,
    row_step: usize,
    depth_step: usize,
}

impl Column for Stepped {
    #[inline(always)]
    unsafe fn at(self, row: usize) -> *const f32 {
        // SAFETY: within the tile, as the caller promises.
        unsafe { self.at.add(row * self.row_step) }
    }

    #[inline(always)]
    unsafe fn advance(&mut self) {
        self.at = self.at.wrapping_add(self.depth_step);
    }
}

/// Element `(row, depth)` is at `rows[row] + depths[depth]`.
#[derive(Clone, Copy)]
struct Gathered<const ROWS: usize> {
    rows: [*const f32; ROWS],
    depth: *const u32,
}

impl<const ROWS: usize> Column for Gathered<ROWS> {
    #[inline(always)]
    unsafe fn at(self, row: usize) -> *const f32 {
        // SAFETY: within the tile, as the caller promises.
        unsafe { self.rows[row].add(*self.depth as usize) }
    }

    #[inline(always)]
    unsafe fn advance(&mut self) {
        self.depth = self.depth.wrapping_add(1);
    }
}

/// Where a tile writes, and how.
#[derive(Clone, Copy)]
struct Target {
    at: *mut f32,
    row_step: usize,
    cols: usize,
    accumulate: bool,
}

/// Runs a whole strip: panels of `S::LANES * VECS` columns, tiles of at most `MR` rows. Tiles that have values
/// in no more than `NARROW` registers of a row are computed in that many.
///
/// # Safety
/// The CPU must support `S`. (Bounds are checked here.)
#[inline(always)]
pub(super) unsafe fn run<S: Simd, const MR: usize, const VECS: usize, const NARROW: usize>(
    strip: &mut Strip<'_>,
) {
    const {
        assert!(
            S::LANES * VECS <= MAX_NR && NARROW <= VECS && MR <= MAX_ROWS,
            "edge tiles are staged in MAX_ROWS rows and MAX_NR columns"
        );
    }
    let panel_step = S::LANES * VECS;
    strip.assert_bounds(panel_step);
    // SAFETY: `assert_bounds` has shown that every (row, depth) of the left operand, `depth` full rows of the
    // panel and `cols` columns of every row of the target lie inside their slices.
    unsafe {
        if strip.cols <= S::LANES * NARROW {
            blocks::<S, MR, NARROW>(strip, panel_step);
        } else {
            blocks::<S, MR, VECS>(strip, panel_step);
        }
    }
}

/// [`run`] in tiles of `VECS` registers a row.
///
/// # Safety
/// As [`run`], with bounds asserted.
#[inline(always)]
unsafe fn blocks<S: Simd, const MR: usize, const VECS: usize>(
    strip: &mut Strip<'_>,
    panel_step: usize,
) {
    let tallest = match strip.a {
        Rows::Gathered { .. } => MR.min(MAX_GATHERED_ROWS),
        Rows::Strided { .. } | Rows::Packed(_) => MR,
    };
    let heights = Heights::new(strip.rows, tallest);
    let mut row = 0;
    for block_idx in 0..heights.blocks() {
        let rows = heights.height(block_idx);
        // SAFETY: the rows from `row` on are within the strip; the rest is as the caller promises. Heights above
        // `MR` do not occur, and are not compiled.
        unsafe {
            let place = Place {
                row,
                panel_step,
                to: Target {
                    at: strip.c.as_mut_ptr().add(row * strip.c_stride),
                    row_step: strip.c_stride,
                    cols: strip.cols,
                    accumulate: strip.accumulate,
                },
            };
            match rows {
                12 if MR >= 12 => tile_of::<S, 12, VECS>(strip, place),
                11 if MR >= 11 => tile_of::<S, 11, VECS>(strip, place),
                10 if MR >= 10 => tile_of::<S, 10, VECS>(strip, place),
                9 if MR >= 9 => tile_of::<S, 9, VECS>(strip, place),
                8 if MR >= 8 => tile_of::<S, 8, VECS>(strip, place),
                7 if MR >= 7 => tile_of::<S, 7, VECS>(strip, place),
                6 if MR >= 6 => tile_of::<S, 6, VECS>(strip, place),
                5 if MR >= 5 => tile_of::<S, 5, VECS>(strip, place),
                4 => tile_of::<S, 4, VECS>(strip, place),
                3 => tile_of::<S, 3, VECS>(strip, place),
                2 => tile_of::<S, 2, VECS>(strip, place),
                _ => tile_of::<S, 1, VECS>(strip, place),
            }
        }
        row += rows;
    }
}

/// Where in its strip a tile is.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    /// Columns of the panel: values from one depth to the next.
    panel_step: usize,
    to: Target,
}

/// Calls [`tile`] for the rows of a place, in the way in which they lie in memory.
///
/// # Safety
/// As [`blocks`], with `ROWS` rows from `place.row` on.
#[inline(always)]
unsafe fn tile_of<S: Simd, const ROWS: usize, const VECS: usize>(strip: &Strip<'_>, place: Place) {
    let (row, depth) = (place.row, strip.depth);
    let panel = Panel {
        at: strip.b.as_ptr(),
        step: place.panel_step,
    };
    // SAFETY: `assert_bounds` has shown that each element of these rows is inside the slice that it is read from.
    unsafe {
        match strip.a {
            Rows::Strided { values, stride } => {
                let left = Stepped {
                    at: values.as_ptr().add(row * stride),
                    row_step: stride,
                    depth_step: 1,
                };
                tile::<S, _, ROWS, VECS>(depth, left, panel, place.to);
            }
            Rows::Packed(values) => {
                let left = Stepped {
                    at: values.as_ptr().add(row * depth),
                    row_step: 1,
                    depth_step: ROWS,
                };
                tile::<S, _, ROWS, VECS>(depth, left, panel, place.to);
            }
            Rows::Gathered {
                values,
                rows,
                depths,
            } => {
                if ROWS > MAX_GATHERED_ROWS {
                    unreachable!("`blocks` cuts gathered rows into lower tiles");
                }
                let places = &rows.values()[row..row + ROWS];
                let left = Gathered::<ROWS> {
                    rows: std::array::from_fn(|r| values.as_ptr().add(places[r] as usize)),
                    depth: depths.values().as_ptr(),
                };
                tile::<S, _, ROWS, VECS>(depth, left, panel, place.to);
            }
        }
    }
}

/// A packed right operand: rows of `step` values.
#[derive(Clone, Copy)]
struct Panel {
    at: *const f32,
    step: usize,
}

/// One tile: `ROWS × (LANES · VECS)` results in registers.
///
/// # Safety
/// The CPU must support `S`; `left` must be readable for `ROWS × depth` elements, `panel` for `depth` rows
/// of at least `LANES · VECS`, and `to` readable and writable for `ROWS` rows of `to.cols <= LANES · VECS`.
#[inline(always)]
unsafe fn tile<S: Simd, C: Column, const ROWS: usize, const VECS: usize>(
    depth: usize,
    left: C,
    panel: Panel,
    to: Target,
) {
    let width = S::LANES * VECS;
    let mut staged = MaybeUninit::<[f32; MAX_ROWS * MAX_NR]>::uninit();
    let stage = Target {
        at: staged.as_mut_ptr().cast(),
        row_step: width,
        ..to
    };
    let is_full = to.cols == width;
    // SAFETY: a full-width tile reads and writes `ROWS` rows of `width == to.cols` columns; a narrower one
    // goes through `staged`, which has room for any tile, and copies only `to.cols` columns. What a chain goes on
    // from has been written before: in the other columns, zeros.
    unsafe {
        if !is_full && to.accumulate {
            stage.at.write_bytes(0, ROWS * width);
            copy_rows(ROWS, to, stage);
        }
        let at = if is_full { to } else { stage };
        full_tile::<S, C, ROWS, VECS>(depth, left, panel, at);
        if !is_full {
            copy_rows(ROWS, stage, to);
        }
    }
}

/// [`tile`] whose target has all `LANES · VECS` columns.
///
/// # Safety
/// As [`tile`], with room for full rows in `to`.
#[inline(always)]
unsafe fn full_tile<S: Simd, C: Column, const ROWS: usize, const VECS: usize>(
    depth: usize,
    left: C,
    panel: Panel,
    to: Target,
) {
    // SAFETY: every offset is below the extents that the caller promises.
    unsafe {
        let mut acc = [[S::zero(); VECS]; ROWS];
        if to.accumulate {
            for (row, acc_row) in acc.iter_mut().enumerate() {
                for (vec, reg) in acc_row.iter_mut().enumerate() {
                    *reg = S::load(to.at.add(row * to.row_step + vec * S::LANES));
                }
            }
        }
        let mut a = left;
        let mut b = panel.at;
        for _ in 0..depth {
            let mut b_regs = [S::zero(); VECS];
            for (vec, reg) in b_regs.iter_mut().enumerate() {
                *reg = S::load(b.add(vec * S::LANES));
            }
            for (row, acc_row) in acc.iter_mut().enumerate() {
                let a_reg = S::broadcast(a.at(row));
                for (reg, b_reg) in acc_row.iter_mut().zip(b_regs) {
                    *reg = S::multiply_add(*reg, a_reg, b_reg);
                }
            }
            a.advance();
            b = b.wrapping_add(panel.step);
        }
        for (row, acc_row) in acc.iter().enumerate() {
            for (vec, reg) in acc_row.iter().enumerate() {
                S::store(to.at.add(row * to.row_step + vec * S::LANES), *reg);
            }
        }
    }
}

/// Copies `to.cols` columns of `rows` rows.
///
/// # Safety
/// Both sides must have those rows and columns and must not overlap.
#[inline(always)]
unsafe fn copy_rows(rows: usize, from: Target, to: Target) {
    for row in 0..rows {
        // SAFETY: as promised by the caller.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from.at.add(row * from.row_step),
                to.at.add(row * to.row_step),
                to.cols,
            );
        }
    }
}

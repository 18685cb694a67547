//! Copies of operands in the order in which the inner loops read them.
//!
//! Widths and heights are constants wherever possible: copies of a few registers' worth with a length known
//! at run time would be calls.

use super::Right;
use super::blocks::Heights;

/// Packs a right operand `(depth, cols)` into panels `(depth, NR)`, the last one padded with zeros.
pub(super) fn right<const NR: usize>(
    panels: &mut [f32],
    right: Right<'_>,
    depth: usize,
    cols: usize,
) {
    for (panel, first) in panels
        .chunks_exact_mut(depth * NR)
        .zip((0..cols).step_by(NR))
    {
        let (rows, _) = panel.as_chunks_mut::<NR>();
        let width = NR.min(cols - first);
        match right {
            Right::RowMajor { values, stride } => {
                row_major(rows, &values[first..], stride, width);
            }
            Right::Transposed { values, stride } => {
                transposed(rows, &values[first * stride..], stride, width);
            }
        }
    }
}

/// One panel from rows of stride `stride`.
fn row_major<const NR: usize>(rows: &mut [[f32; NR]], values: &[f32], stride: usize, width: usize) {
    for (to, from) in rows.iter_mut().zip(values.chunks(stride)) {
        if width == NR {
            to.copy_from_slice(&from[..NR]);
        } else {
            to[..width].copy_from_slice(&from[..width]);
            to[width..].fill(0.0);
        }
    }
}

/// One panel from columns stored one after the other.
fn transposed<const NR: usize>(
    rows: &mut [[f32; NR]],
    values: &[f32],
    stride: usize,
    width: usize,
) {
    for (k, to) in rows.iter_mut().enumerate() {
        for (col, to) in to.iter_mut().enumerate() {
            *to = if col < width {
                values[col * stride + k]
            } else {
                0.0
            };
        }
    }
}

/// [`right`] for an operand that is a function of depth and column.
pub(super) fn right_with(
    panels: &mut [f32],
    nr: usize,
    (depth, cols): (usize, usize),
    value: impl Fn(usize, usize) -> f32,
) {
    for (panel, first) in panels
        .chunks_exact_mut(depth * nr)
        .zip((0..cols).step_by(nr))
    {
        for (k, row) in panel.chunks_exact_mut(nr).enumerate() {
            for (to, col) in row.iter_mut().zip(first..) {
                *to = if col < cols { value(k, col) } else { 0.0 };
            }
        }
    }
}

/// Packs rows that are stored as columns of stride `stride` into blocks of `(depth, height)`.
pub(super) fn left(packed: &mut [f32], heights: Heights, values: &[f32], stride: usize) {
    let depth = packed.len() / heights.rows();
    let mut row = 0;
    for block_idx in 0..heights.blocks() {
        let height = heights.height(block_idx);
        let block = &mut packed[row * depth..(row + height) * depth];
        let values = &values[row..];
        match height {
            12 => block_of::<12>(block, values, stride),
            11 => block_of::<11>(block, values, stride),
            10 => block_of::<10>(block, values, stride),
            9 => block_of::<9>(block, values, stride),
            8 => block_of::<8>(block, values, stride),
            7 => block_of::<7>(block, values, stride),
            6 => block_of::<6>(block, values, stride),
            5 => block_of::<5>(block, values, stride),
            4 => block_of::<4>(block, values, stride),
            3 => block_of::<3>(block, values, stride),
            2 => block_of::<2>(block, values, stride),
            _ => block_of::<1>(block, values, stride),
        }
        row += height;
    }
}

fn block_of<const HEIGHT: usize>(block: &mut [f32], values: &[f32], stride: usize) {
    let (columns, _) = block.as_chunks_mut::<HEIGHT>();
    for (column, from) in columns.iter_mut().zip(values.chunks(stride)) {
        column.copy_from_slice(&from[..HEIGHT]);
    }
}

//! Plain Rust for every other CPU: fixed-size arrays that the compiler turns into whatever SIMD there is.
#![expect(
    clippy::inline_always,
    reason = "the loops must be compiled into each caller, with its CPU features and constants"
)]

use super::blocks::Heights;
use super::strip::{Rows, Strip};

/// Tile height.
pub(super) const MR: usize = 4;
/// Panel width.
pub(super) const NR: usize = 8;

/// Multiply, round, add, round.
pub(super) fn strip_portable(strip: &mut Strip<'_>) {
    run(strip, |acc, a, b| acc + a * b);
}

/// One rounding. Only offered where `mul_add` is an instruction of the base architecture.
#[cfg(any(target_arch = "aarch64", test))]
pub(super) fn strip_fused(strip: &mut Strip<'_>) {
    run(strip, |acc, a, b| a.mul_add(b, acc));
}

#[inline(always)]
fn run(strip: &mut Strip<'_>, multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    strip.assert_bounds(NR);
    let heights = Heights::new(strip.rows, MR);
    let mut row = 0;
    for block_idx in 0..heights.blocks() {
        let rows = heights.height(block_idx);
        match rows {
            4 => tile::<4>(strip, row, multiply_add),
            3 => tile::<3>(strip, row, multiply_add),
            2 => tile::<2>(strip, row, multiply_add),
            _ => tile::<1>(strip, row, multiply_add),
        }
        row += rows;
    }
}

#[inline(always)]
fn tile<const ROWS: usize>(
    strip: &mut Strip<'_>,
    row: usize,
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    let mut acc = [[0.0_f32; NR]; ROWS];
    if strip.accumulate {
        for (r, acc_row) in acc.iter_mut().enumerate() {
            let from = (row + r) * strip.c_stride;
            acc_row[..strip.cols].copy_from_slice(&strip.c[from..from + strip.cols]);
        }
    }
    // By value, in a fold: with results that have an address every depth would store them.
    let step = |mut acc: [[f32; NR]; ROWS], (a, b): ([f32; ROWS], &[f32; NR])| {
        for (acc_row, a) in acc.iter_mut().zip(a) {
            for (acc, &b) in acc_row.iter_mut().zip(b) {
                *acc = multiply_add(*acc, a, b);
            }
        }
        acc
    };
    let (panel, _) = strip.b.as_chunks::<NR>();
    let panel = &panel[..strip.depth];
    let acc = match strip.a {
        Rows::Strided { values, stride } => {
            let rows: [&[f32]; ROWS] = std::array::from_fn(|r| {
                let from = (row + r) * stride;
                &values[from..from + strip.depth]
            });
            let columns = (0..strip.depth).map(|k| std::array::from_fn(|r| rows[r][k]));
            columns.zip(panel).fold(acc, step)
        }
        Rows::Packed(values) => {
            let (columns, _) = values[row * strip.depth..].as_chunks::<ROWS>();
            columns.iter().copied().zip(panel).fold(acc, step)
        }
        Rows::Gathered {
            values,
            rows,
            depths,
        } => {
            let places = &rows.values()[row..row + ROWS];
            let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &values[places[r] as usize..]);
            let depths = depths.values().iter();
            let columns = depths.map(|&k| std::array::from_fn(|r| rows[r][k as usize]));
            columns.zip(panel).fold(acc, step)
        }
    };
    for (r, acc_row) in acc.iter().enumerate() {
        let to = (row + r) * strip.c_stride;
        strip.c[to..to + strip.cols].copy_from_slice(&acc_row[..strip.cols]);
    }
}

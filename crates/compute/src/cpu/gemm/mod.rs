//! Matrix products for the dense passes: packed, register-blocked, with fixed bits.
//!
//! Every element of a result is one sequential chain over the depth: `acc = acc + a * b` for increasing
//! depth, from zero (or from what the target holds). Blocking the depth stores the chain in the target and
//! reloads it, which is exact; blocking rows and columns does not touch chains. So the bits depend on the
//! arithmetic class only, not on the path, the blocking or the size of the caches.
//!
//! The right operand is always packed in panels ([`Panels`]), once for weights. The left operand is read
//! in place where it is row-major and packed block by block where it is transposed.

mod blocks;
mod generic;
mod pack;
mod path;
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod simd;
mod strip;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

pub use path::Path;

use self::blocks::Heights;
use self::path::Inner;
use self::strip::Strip;
use super::aligned::AlignedBuffer;

/// Depth of a block: a panel of this depth stays in the first-level cache.
const DEPTH_BLOCK: usize = 256;
/// Rows that are packed at once: such a block stays in the first-level cache next to the panel.
const ROW_BLOCK: usize = 48;

/// The left operand of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Left<'a> {
    /// Stored `(rows, depth)`.
    RowMajor(&'a [f32]),
    /// Stored `(depth, rows)`.
    Transposed(&'a [f32]),
}

/// How the right operand is stored before it is packed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Stored `(depth, cols)`.
    RowMajor(&'a [f32]),
    /// Stored `(cols, depth)`.
    Transposed(&'a [f32]),
}

/// A right operand `(depth, cols)` in panels `(depth, nr)`, the last one padded with zeros.
#[derive(Debug)]
pub(crate) struct Panels {
    values: AlignedBuffer,
    depth: usize,
    cols: usize,
}

/// The products of one lane: a path and the memory to pack into.
#[derive(Debug)]
pub(crate) struct Gemm {
    inner: Inner,
    packed_left: AlignedBuffer,
}

impl Gemm {
    /// None where this machine cannot run `path`.
    pub(crate) fn new(path: Path) -> Option<Self> {
        let packed_left = AlignedBuffer::new(ROW_BLOCK * DEPTH_BLOCK);
        path.inner().map(|inner| Self { inner, packed_left })
    }

    /// Room for right operands of up to `depth × cols`.
    pub(crate) fn panels(&self, depth: usize, cols: usize) -> Panels {
        let len = cols.next_multiple_of(self.inner.nr) * depth;
        Panels {
            values: AlignedBuffer::new(len),
            depth,
            cols,
        }
    }

    /// Packs a right operand, which must fit the room that `panels` was made with.
    pub(crate) fn pack(&self, panels: &mut Panels, right: Right<'_>, depth: usize, cols: usize) {
        (panels.depth, panels.cols) = (depth, cols);
        match self.inner.nr {
            8 => pack::right::<8>(&mut panels.values, right, depth, cols),
            16 => pack::right::<16>(&mut panels.values, right, depth, cols),
            nr => unreachable!("no path has panels of {nr} columns"),
        }
    }

    /// `target (rows, cols) = left (rows, depth) · right (depth, cols)`; with `accumulate`, `+=`: each chain
    /// then goes on from what `target` holds.
    pub(crate) fn product(
        &mut self,
        rows: usize,
        left: Left<'_>,
        right: &Panels,
        target: &mut [f32],
        accumulate: bool,
    ) {
        let Self { inner, packed_left } = self;
        let (depth, cols) = (right.depth, right.cols);
        for depth_first in (0..depth).step_by(DEPTH_BLOCK) {
            let depths = depth_first..depth.min(depth_first + DEPTH_BLOCK);
            let accumulate = accumulate || depth_first > 0;
            for row_first in (0..rows).step_by(ROW_BLOCK) {
                let block_rows = ROW_BLOCK.min(rows - row_first);
                let target = &mut target[row_first * cols..][..block_rows * cols];
                let block = match left {
                    Left::RowMajor(values) => Block {
                        values: &values[row_first * depth + depth_first..],
                        stride: Some(depth),
                    },
                    Left::Transposed(values) => {
                        let packed = &mut packed_left[..block_rows * depths.len()];
                        let heights = Heights::new(block_rows, inner.mr);
                        let values = &values[depth_first * rows + row_first..];
                        pack::left(packed, heights, values, rows);
                        Block {
                            values: packed,
                            stride: None,
                        }
                    }
                };
                block.run(*inner, right, depths.clone(), target, accumulate);
            }
        }
    }
}

/// Some rows and depths of the left operand, as a [`Strip`] takes them.
struct Block<'a> {
    values: &'a [f32],
    stride: Option<usize>,
}

impl Block<'_> {
    /// Multiplies with every panel, restricted to `depths`, into the block's rows of the target.
    fn run(
        &self,
        inner: Inner,
        right: &Panels,
        depths: Range<usize>,
        target: &mut [f32],
        accumulate: bool,
    ) {
        let (nr, cols) = (inner.nr, right.cols);
        for first in (0..cols).step_by(nr) {
            let panel = &right.values[first * right.depth..][..nr * right.depth];
            (inner.strip)(&mut Strip {
                rows: target.len() / cols,
                depth: depths.len(),
                cols: nr.min(cols - first),
                a: self.values,
                a_stride: self.stride,
                b: &panel[depths.start * nr..depths.end * nr],
                c: &mut target[first..],
                c_stride: cols,
                accumulate,
            });
        }
    }
}

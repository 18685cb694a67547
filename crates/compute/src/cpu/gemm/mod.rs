//! Matrix products for dense layers and convolutions: packed, register-blocked, with fixed bits.
//!
//! Every element of a result is one sequential chain over the depth: `acc = acc + a * b` for increasing
//! depth, from zero (or from what the target holds). Blocking the depth stores the chain in the target and
//! reloads it, which is exact; blocking rows and columns does not touch chains. So the bits depend on the
//! arithmetic class only, not on the path, the blocking or the size of the caches.
//!
//! The right operand is always packed in panels: once for weights ([`Panels`]), a block of the depth at a time
//! for gradients. The left operand is read in place where it is row-major or gathered, and packed block by
//! block where it is transposed.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod generic;
#[cfg(target_arch = "aarch64")]
mod neon;
mod offsets;
mod pack;
mod path;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
mod simd;
mod strip;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;

pub(crate) use offsets::{Offsets, Places};
pub use path::Path;

use self::blocks::Heights;
use self::path::Inner;
use self::strip::{Rows, Strip};
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
    /// Element `(row, k)` is `values[rows[row] + depths[k]]`: the patches of an image, never written out.
    Gathered {
        /// What is read.
        values: &'a [f32],
        /// A place for each row.
        rows: Places<'a>,
        /// A place for each depth.
        depths: Places<'a>,
    },
}

/// How the right operand is stored before it is packed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Stored `(depth, cols)`, rows `stride` values apart.
    RowMajor {
        /// What is packed.
        values: &'a [f32],
        /// At least the number of columns.
        stride: usize,
    },
    /// Stored `(cols, depth)`, columns `stride` values apart.
    Transposed {
        /// What is packed.
        values: &'a [f32],
        /// At least the depth.
        stride: usize,
    },
}

impl Right<'_> {
    /// The part from depth `first` on.
    fn starting_at(self, first: usize) -> Self {
        match self {
            Self::RowMajor { values, stride } => Self::RowMajor {
                values: &values[first * stride..],
                stride,
            },
            Self::Transposed { values, stride } => Self::Transposed {
                values: &values[first..],
                stride,
            },
        }
    }
}

/// Where a product goes: `(rows, cols)`, rows `stride` values apart.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// What is written.
    pub(crate) values: &'a mut [f32],
    /// At least the number of columns.
    pub(crate) stride: usize,
    /// Whether each chain goes on from what is there instead of from zero.
    pub(crate) accumulate: bool,
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
    path: Path,
    inner: Inner,
    packed_left: AlignedBuffer,
    packed_right: AlignedBuffer,
}

impl Gemm {
    /// None where this machine cannot run `path`.
    pub(crate) fn new(path: Path) -> Option<Self> {
        path.inner().map(|inner| Self {
            path,
            inner,
            packed_left: AlignedBuffer::new(ROW_BLOCK * DEPTH_BLOCK),
            packed_right: AlignedBuffer::default(),
        })
    }

    /// The path.
    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// Room for right operands of `depth × cols`.
    pub(crate) fn panels(&self, depth: usize, cols: usize) -> Panels {
        let len = cols.next_multiple_of(self.inner.nr) * depth;
        Panels {
            values: AlignedBuffer::new(len),
            depth,
            cols,
        }
    }

    /// Packs a right operand of the size that `panels` was made for.
    pub(crate) fn pack(&self, panels: &mut Panels, right: Right<'_>) {
        let (depth, cols) = (panels.depth, panels.cols);
        pack_right(self.inner, &mut panels.values, right, depth, cols);
    }

    /// Packs the right operand whose element `(k, col)` is `value(k, col)`.
    pub(crate) fn pack_with(&self, panels: &mut Panels, value: impl Fn(usize, usize) -> f32) {
        let size = (panels.depth, panels.cols);
        pack::right_with(&mut panels.values, self.inner.nr, size, value);
    }

    /// Takes the memory that [`Gemm::product_once`] needs for right operands of up to `cols` columns.
    pub(crate) fn reserve(&mut self, cols: usize) {
        let len = cols.next_multiple_of(self.inner.nr) * DEPTH_BLOCK;
        if self.packed_right.len() < len {
            self.packed_right = AlignedBuffer::new(len);
        }
    }

    /// `target (rows, cols) = left (rows, depth) · right (depth, cols)`.
    pub(crate) fn product(
        &mut self,
        rows: usize,
        left: Left<'_>,
        right: &Panels,
        target: Target<'_>,
    ) {
        let nr = self.inner.nr;
        let mut target = target;
        for first in (0..right.depth).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(right.depth - first);
            let panels = PanelBlock {
                values: &right.values[first * nr..],
                step: right.depth * nr,
                cols: right.cols,
                first,
                depth,
            };
            panels.multiply(self.inner, &mut self.packed_left, rows, left, &mut target);
            target.accumulate = true;
        }
    }

    /// [`Gemm::product`] with a right operand that is used once and packed on the way; its columns must have
    /// been [reserved](Gemm::reserve).
    pub(crate) fn product_once(
        &mut self,
        rows: usize,
        left: Left<'_>,
        (right, depth, cols): (Right<'_>, usize, usize),
        target: Target<'_>,
    ) {
        let Self {
            inner,
            packed_left,
            packed_right,
            ..
        } = self;
        let mut target = target;
        for first in (0..depth).step_by(DEPTH_BLOCK) {
            let depth = DEPTH_BLOCK.min(depth - first);
            let packed = &mut packed_right[..cols.next_multiple_of(inner.nr) * depth];
            pack_right(*inner, packed, right.starting_at(first), depth, cols);
            let panels = PanelBlock {
                values: packed,
                step: depth * inner.nr,
                cols,
                first,
                depth,
            };
            panels.multiply(*inner, packed_left, rows, left, &mut target);
            target.accumulate = true;
        }
    }
}

fn pack_right(inner: Inner, packed: &mut [f32], right: Right<'_>, depth: usize, cols: usize) {
    match inner.nr {
        8 => pack::right::<8>(packed, right, depth, cols),
        16 => pack::right::<16>(packed, right, depth, cols),
        32 => pack::right::<32>(packed, right, depth, cols),
        nr => unreachable!("no path has panels of {nr} columns"),
    }
}

/// Some depths of a packed right operand.
struct PanelBlock<'a> {
    /// Starts at the first depth of the first panel.
    values: &'a [f32],
    /// Values from one panel to the next.
    step: usize,
    cols: usize,
    /// The first depth, counted in the left operand.
    first: usize,
    depth: usize,
}

impl PanelBlock<'_> {
    /// Multiplies all rows of the left operand, restricted to the depths of the block.
    fn multiply(
        &self,
        inner: Inner,
        packed_left: &mut AlignedBuffer,
        rows: usize,
        left: Left<'_>,
        target: &mut Target<'_>,
    ) {
        for row_first in (0..rows).step_by(ROW_BLOCK) {
            let block_rows = ROW_BLOCK.min(rows - row_first);
            let block = match left {
                Left::RowMajor(values) => {
                    let stride = values.len() / rows;
                    Rows::Strided {
                        values: &values[row_first * stride + self.first..],
                        stride,
                    }
                }
                Left::Transposed(values) => {
                    let packed = &mut packed_left[..block_rows * self.depth];
                    let heights = Heights::new(block_rows, inner.mr);
                    pack::left(
                        packed,
                        heights,
                        &values[self.first * rows + row_first..],
                        rows,
                    );
                    Rows::Packed(packed)
                }
                Left::Gathered {
                    values,
                    rows,
                    depths,
                } => Rows::Gathered {
                    values,
                    rows: rows.part(row_first, block_rows),
                    depths: depths.part(self.first, self.depth),
                },
            };
            for (panel, first) in (0..self.cols).step_by(inner.nr).enumerate() {
                (inner.strip)(&mut Strip {
                    rows: block_rows,
                    depth: self.depth,
                    cols: inner.nr.min(self.cols - first),
                    a: block,
                    b: &self.values[panel * self.step..][..inner.nr * self.depth],
                    c: &mut target.values[row_first * target.stride + first..],
                    c_stride: target.stride,
                    accumulate: target.accumulate,
                });
            }
        }
    }
}

//! The unit of work that a [`Path`](super::Path) runs: all rows of the left operand against one panel.

use super::offsets::Places;

/// `c (rows, cols) = a (rows, depth) · b (depth, nr)`, or `+=` on what `c` holds.
#[derive(Debug)]
pub(super) struct Strip<'a> {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// Valid columns of the panel, at most `nr`; the rest of the panel is padding and is not stored.
    pub(super) cols: usize,
    pub(super) a: Rows<'a>,
    pub(super) b: &'a [f32],
    pub(super) c: &'a mut [f32],
    pub(super) c_stride: usize,
    /// Whether the chains go on from what `c` holds instead of from zero.
    pub(super) accumulate: bool,
}

/// How the rows of the left operand lie in memory.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// One after the other, `stride` values apart.
    Strided { values: &'a [f32], stride: usize },
    /// In blocks of the path's [`Heights`](super::blocks::Heights), each block `(depth, height)`.
    Packed(&'a [f32]),
    /// Element `(row, k)` is at `rows[row] + depths[k]`.
    Gathered {
        values: &'a [f32],
        rows: Places<'a>,
        depths: Places<'a>,
    },
}

impl Strip<'_> {
    /// Panics unless every access that a kernel makes for panels of `nr` columns is in bounds.
    pub(super) fn assert_bounds(&self, nr: usize) {
        assert!(
            self.rows > 0 && self.depth > 0,
            "an empty strip has no last row"
        );
        assert!(0 < self.cols && self.cols <= nr, "columns beyond the panel");
        let (rows, depth) = (self.rows, self.depth);
        let fits = match self.a {
            Rows::Strided { values, stride } => values.len() >= (rows - 1) * stride + depth,
            Rows::Packed(values) => values.len() >= rows * depth,
            Rows::Gathered {
                values,
                rows: row_places,
                depths,
            } => {
                row_places.values().len() >= rows
                    && depths.values().len() >= depth
                    && values.len() > row_places.largest() + depths.largest()
            }
        };
        assert!(fits, "left operand too short");
        assert!(self.b.len() >= depth * nr, "panel too short");
        let c_len = (rows - 1) * self.c_stride + self.cols;
        assert!(self.c.len() >= c_len, "target too short");
    }
}

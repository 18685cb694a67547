//! The unit of work that a [`Path`](super::Path) runs: all rows of the left operand against one panel.

/// `c (rows, cols) = a (rows, depth) · b (depth, nr)`, or `+=` on what `c` holds.
#[derive(Debug)]
pub(super) struct Strip<'a> {
    pub(super) rows: usize,
    pub(super) depth: usize,
    /// Valid columns of the panel, at most `nr`; the rest of the panel is padding and is not stored.
    pub(super) cols: usize,
    pub(super) a: &'a [f32],
    /// `Some(stride)`: `a` is row-major with that row stride. `None`: `a` is packed in blocks of the path's
    /// [`Heights`](super::blocks::Heights), each block `(depth, height)`.
    pub(super) a_stride: Option<usize>,
    pub(super) b: &'a [f32],
    pub(super) c: &'a mut [f32],
    pub(super) c_stride: usize,
    /// Whether the chains go on from what `c` holds instead of from zero.
    pub(super) accumulate: bool,
}

impl Strip<'_> {
    /// Panics unless every access that a kernel makes for panels of `nr` columns is in bounds.
    pub(super) fn assert_bounds(&self, nr: usize) {
        assert!(
            self.rows > 0 && self.depth > 0,
            "an empty strip has no last row"
        );
        assert!(0 < self.cols && self.cols <= nr, "columns beyond the panel");
        let a_len = match self.a_stride {
            Some(stride) => (self.rows - 1) * stride + self.depth,
            None => self.rows * self.depth,
        };
        assert!(self.a.len() >= a_len, "left operand too short");
        assert!(self.b.len() >= self.depth * nr, "panel too short");
        let c_len = (self.rows - 1) * self.c_stride + self.cols;
        assert!(self.c.len() >= c_len, "target too short");
    }
}

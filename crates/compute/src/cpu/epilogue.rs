//! What follows a product in place: bias and activation.

use tabswarm_model::graph::Activation;

use super::activation::{activate, rectify};
use super::gemm::Path;
use super::wide::wide;

/// Bias and activation of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    pub(crate) path: Path,
    /// One for each column, where there is one.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) activation: Activation,
}

impl Epilogue<'_> {
    /// Finishes whole rows; `slopes` is like the rows, or empty where none are wanted.
    pub(crate) fn apply(&self, rows: &mut [f32], slopes: &mut [f32]) {
        match (self.bias, self.activation) {
            (Some(bias), Activation::Relu) => add_and_rectify(bias, rows),
            (Some(bias), activation) => {
                add(bias, rows);
                activate(self.path, activation, rows, slopes);
            }
            (None, activation) => activate(self.path, activation, rows, slopes),
        }
    }
}

wide! {
    fn add(bias: &[f32], rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y += b;
            }
        }
    }
}

wide! {
    fn add_and_rectify(bias: &[f32], rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (y, b) in row.iter_mut().zip(bias) {
                *y = rectify(*y + b);
            }
        }
    }
}

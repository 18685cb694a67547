//! Rows of a table.

use super::super::params::EmbeddingParams;
use super::{at, bound, narrow};

/// See `embedding.wgsl`.
pub(crate) fn embedding(p: &EmbeddingParams, buffers: &mut [Vec<f32>]) {
    let [table, tokens, output] = bound(buffers);
    let width = at(p.width);
    for i in 0..at(p.len) {
        let token = token(tokens[i / width]);
        output[i] = table[at(p.table_start) + token * width + i % width];
    }
}

/// See `embedding_backward.wgsl`.
pub(crate) fn embedding_backward(p: &EmbeddingParams, buffers: &mut [Vec<f32>]) {
    let [tokens, grad_output, grad_table] = bound(buffers);
    let width = at(p.width);
    let table = &mut grad_table[at(p.table_start)..][..at(p.len)];
    for (i, grad) in table.iter_mut().enumerate() {
        let rows = (0..at(p.rows_or_vocabulary)).filter(|row| token(tokens[*row]) == i / width);
        let values = rows.map(|row| f64::from(grad_output[row * width + i % width]));
        let before = if p.adds == 0 { 0.0 } else { f64::from(*grad) };
        *grad = narrow(before + values.sum::<f64>());
    }
}

/// Tokens are whole numbers below a vocabulary; the engine has checked.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small whole numbers"
)]
fn token(value: f32) -> usize {
    value as usize
}

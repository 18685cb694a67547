//! Rows of a table for tokens, and the sums of their gradients.

use super::wide::wide;

/// `output[row] = table[token[row]]`. Tokens are whole numbers below the vocabulary, as the engine has checked.
pub(crate) fn forward(table: &[f32], tokens: &[f32], width: usize, output: &mut [f32]) {
    for (to, &token) in output.chunks_exact_mut(width).zip(tokens) {
        to.copy_from_slice(row(table, token, width));
    }
}

wide! {
    /// `grad_table[token] += grad_output[row]`, in the order of rows, from zero unless `adds`.
    pub(crate) fn backward(
        tokens: &[f32],
        grad_output: &[f32],
        width: usize,
        grad_table: &mut [f32],
        adds: bool,
    ) {
        if !adds {
            grad_table.fill(0.0);
        }
        for (from, &token) in grad_output.chunks_exact(width).zip(tokens) {
            let sums = &mut grad_table[start(token, width)..][..width];
            for (sum, value) in sums.iter_mut().zip(from) {
                *sum += value;
            }
        }
    }
}

fn row(table: &[f32], token: f32, width: usize) -> &[f32] {
    &table[start(token, width)..][..width]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number below the vocabulary"
)]
fn start(token: f32, width: usize) -> usize {
    token as usize * width
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn rows_are_looked_up_and_their_gradients_added() {
        let table = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5];
        let tokens = [2.0, 0.0, 2.0];
        let mut output = [9.0; 6];
        forward(&table, &tokens, 2, &mut output);
        assert_eq!(output, [2.0, 2.5, 0.0, 0.5, 2.0, 2.5]);
        let grad_output = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut grad = [7.0; 6];
        backward(&tokens, &grad_output, 2, &mut grad, false);
        assert_eq!(grad, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0]);
        backward(&tokens, &grad_output, 2, &mut grad, true);
        assert_eq!(grad, [6.0, 8.0, 0.0, 0.0, 12.0, 16.0]);
    }

    #[test]
    fn gradients_are_added_in_the_order_of_rows() {
        let mut grad = [0.0];
        backward(
            &[0.0; 3],
            &[1.0, f32::EPSILON / 2.0, f32::EPSILON / 2.0],
            1,
            &mut grad,
            false,
        );
        assert_eq!(grad, [1.0]);
    }
}

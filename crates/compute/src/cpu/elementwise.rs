//! Sums of two values, and sums of rows.

use super::wide::wide;

wide! {
    /// `output = left + right`.
    pub(crate) fn add(left: &[f32], right: &[f32], output: &mut [f32]) {
        for ((to, left), right) in output.iter_mut().zip(left).zip(right) {
            *to = left + right;
        }
    }
}

/// Columns whose sums are kept in registers together.
const BLOCK: usize = 16;

wide! {
    /// Sums rows in their order, each column one chain from zero or, with `adds`, from what is there.
    pub(crate) fn sum_rows(rows: &[f32], sums: &mut [f32], adds: bool) {
        if !adds {
            sums.fill(0.0);
        }
        let width = sums.len();
        let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
        let blocked = blocks.len() * BLOCK;
        for (idx, block) in blocks.iter_mut().enumerate() {
            let mut sum = *block;
            for row in rows.chunks_exact(width) {
                for (sum, value) in sum.iter_mut().zip(&row[idx * BLOCK..][..BLOCK]) {
                    *sum += value;
                }
            }
            *block = sum;
        }
        if rest.is_empty() {
            return;
        }
        for row in rows.chunks_exact(width) {
            for (sum, value) in rest.iter_mut().zip(&row[blocked..]) {
                *sum += value;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_in_order() {
        for width in [1, 3, 16, 31, 32, 33, 70] {
            let rows: Vec<f32> = (0..5 * width).map(|i| 0.1 + i as f32 * 0.37).collect();
            let mut sums = vec![f32::NAN; width];
            sum_rows(&rows[..2 * width], &mut sums, false);
            sum_rows(&rows[2 * width..], &mut sums, true);
            for (col, &sum) in sums.iter().enumerate() {
                let expected = (0..5).fold(0.0, |sum, row| sum + rows[row * width + col]);
                assert_eq!(sum, expected);
            }
        }
    }
}

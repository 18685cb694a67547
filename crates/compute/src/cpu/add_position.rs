//! A learned vector for each position of a sequence. Its gradient is a sum of rows, one row a sample.

use super::wide::wide;

wide! {
    /// `output (samples, positions · width) = input + table`, the same table for each sample.
    pub(crate) fn forward(table: &[f32], input: &[f32], output: &mut [f32]) {
        let samples = input.chunks_exact(table.len());
        for (to, from) in output.chunks_exact_mut(table.len()).zip(samples) {
            for ((to, x), position) in to.iter_mut().zip(from).zip(table) {
                *to = x + position;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn every_sample_gets_the_table() {
        let mut output = [9.0; 6];
        forward(
            &[1.0, 2.0, 3.0],
            &[0.0, 0.5, 1.0, 10.0, 20.0, 30.0],
            &mut output,
        );
        assert_eq!(output, [1.0, 2.5, 4.0, 11.0, 22.0, 33.0]);
    }
}

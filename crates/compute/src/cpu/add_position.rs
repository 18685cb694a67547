//! A learned vector for each position of a sequence.

/// `output (samples, positions · width) = input + table`, the same table for each sample.
pub(crate) fn forward(table: &[f32], input: &[f32], output: &mut [f32]) {
    let samples = input.chunks_exact(table.len());
    for (to, from) in output.chunks_exact_mut(table.len()).zip(samples) {
        for ((to, x), position) in to.iter_mut().zip(from).zip(table) {
            *to = x + position;
        }
    }
}

/// `grad_table` is the sum of the samples' gradients, in their order.
pub(crate) fn backward(grad_output: &[f32], grad_table: &mut [f32]) {
    grad_table.fill(0.0);
    for sample in grad_output.chunks_exact(grad_table.len()) {
        for (sum, value) in grad_table.iter_mut().zip(sample) {
            *sum += value;
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn every_sample_gets_the_table_and_gives_its_gradient() {
        let mut output = [9.0; 6];
        forward(
            &[1.0, 2.0, 3.0],
            &[0.0, 0.5, 1.0, 10.0, 20.0, 30.0],
            &mut output,
        );
        assert_eq!(output, [1.0, 2.5, 4.0, 11.0, 22.0, 33.0]);
        let mut grad = [9.0; 3];
        backward(&output, &mut grad);
        assert_eq!(grad, [12.0, 24.5, 37.0]);
    }
}

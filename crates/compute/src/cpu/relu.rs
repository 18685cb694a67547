//! Rectified linear unit.

/// `max(x, 0)` that lets not-a-number through, so that a diverged run is noticed.
#[inline]
pub(crate) fn rectify(x: f32) -> f32 {
    if 0.0 > x { 0.0 } else { x }
}

/// `output = max(input, 0)`.
pub(crate) fn forward(input: &[f32], output: &mut [f32]) {
    for (to, &from) in output.iter_mut().zip(input) {
        *to = rectify(from);
    }
}

/// In place: the gradient is zero wherever the forward output is not positive.
pub(crate) fn backward(output: &[f32], grad: &mut [f32]) {
    for (grad, &output) in grad.iter_mut().zip(output) {
        *grad = if output > 0.0 { *grad } else { 0.0 };
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn forward_keeps_positive_values_and_nan() {
        let mut output = [9.0; 4];
        forward(&[-1.0, 0.0, 2.5, f32::NAN], &mut output);
        assert_eq!(output[..3], [0.0, 0.0, 2.5]);
        assert!(output[3].is_nan());
    }

    #[test]
    fn backward_passes_only_where_the_output_is_positive() {
        let mut grad = [1.0, 2.0, -3.0];
        backward(&[0.0, 0.5, 2.0], &mut grad);
        assert_eq!(grad, [0.0, 2.0, -3.0]);
    }
}

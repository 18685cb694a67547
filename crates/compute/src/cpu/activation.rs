//! Functions of single values, on their own or at the end of a product, and their gradients.

use tabswarm_model::graph::Activation;

use super::gemm::Path;
use super::isa::{self, Isa, Kernel};
use super::math::{Gelu, Sigmoid, Tanh, apply, gelu_with_slope};
use super::wide::wide;

/// Replaces each value by the function of it; `slopes` receives the derivatives where it is not empty, which
/// only functions want whose derivative does not follow from their value.
pub(crate) fn activate(path: Path, activation: Activation, values: &mut [f32], slopes: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => rectify_all(values),
        Activation::Gelu if slopes.is_empty() => apply::<Gelu>(path, values),
        Activation::Gelu => gelu_with_slope(path, values, slopes),
        Activation::Sigmoid => apply::<Sigmoid>(path, values),
        Activation::Tanh => apply::<Tanh>(path, values),
    }
}

/// In place, the gradient before the function from the gradient after it; `saved` is the function's value,
/// or its slope for those that save one.
pub(crate) fn backward(path: Path, activation: Activation, saved: &[f32], grad: &mut [f32]) {
    match activation {
        Activation::Identity => {}
        Activation::Relu => isa::run(path, ReluBackward { value: saved, grad }),
        Activation::Gelu => multiply(saved, grad),
        Activation::Sigmoid => sigmoid_backward(saved, grad),
        Activation::Tanh => tanh_backward(saved, grad),
    }
}

/// `max(x, 0)` that lets not-a-number through, so that a diverged run is noticed.
#[inline]
pub(crate) fn rectify(x: f32) -> f32 {
    if 0.0 > x { 0.0 } else { x }
}

wide! {
    fn rectify_all(values: &mut [f32]) {
        for value in values {
            *value = rectify(*value);
        }
    }
}

/// The gradient is zero wherever the value is not positive.
struct ReluBackward<'a> {
    value: &'a [f32],
    grad: &'a mut [f32],
}

impl Kernel for ReluBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let zero = isa.splat(0.0);
        let mut grads = self.grad.chunks_exact_mut(I::LANES);
        let mut values = self.value.chunks_exact(I::LANES);
        for (grad, value) in (&mut grads).zip(&mut values) {
            // Not a conditional store: some CPUs take very long for masked ones.
            let kept = isa.select_less((zero, isa.read(value)), isa.read(grad), zero);
            isa.write(grad, kept);
        }
        let rest = grads.into_remainder().iter_mut();
        for (grad, &value) in rest.zip(values.remainder()) {
            *grad = if value > 0.0 { *grad } else { 0.0 };
        }
    }
}

wide! {
    fn multiply(slope: &[f32], grad: &mut [f32]) {
        for (grad, slope) in grad.iter_mut().zip(slope) {
            *grad *= slope;
        }
    }
}

wide! {
    fn sigmoid_backward(value: &[f32], grad: &mut [f32]) {
        for (grad, y) in grad.iter_mut().zip(value) {
            *grad *= y * (1.0 - y);
        }
    }
}

wide! {
    fn tanh_backward(value: &[f32], grad: &mut [f32]) {
        for (grad, y) in grad.iter_mut().zip(value) {
            *grad *= 1.0 - y * y;
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "results that are exact")]
mod tests {
    use super::*;

    #[test]
    fn relu_keeps_positive_values_and_nan() {
        let mut values = [-1.0, 0.0, 2.5, f32::NAN];
        activate(Path::Generic, Activation::Relu, &mut values, &mut []);
        assert_eq!(values[..3], [0.0, 0.0, 2.5]);
        assert!(values[3].is_nan());
    }

    #[test]
    fn relu_passes_gradients_only_where_the_value_is_positive() {
        let mut grad = [1.0, 2.0, -3.0];
        backward(Path::Generic, Activation::Relu, &[0.0, 0.5, 2.0], &mut grad);
        assert_eq!(grad, [0.0, 2.0, -3.0]);
    }

    #[test]
    fn other_gradients_follow_from_what_was_saved() {
        let gradient = |activation, saved| {
            let mut grad = [3.0];
            backward(Path::Generic, activation, &[saved], &mut grad);
            grad[0]
        };
        assert_eq!(gradient(Activation::Identity, 7.0), 3.0);
        assert_eq!(gradient(Activation::Gelu, 0.5), 1.5);
        assert_eq!(gradient(Activation::Sigmoid, 0.25), 3.0 * 0.1875);
        assert_eq!(gradient(Activation::Tanh, 0.5), 2.25);
    }
}

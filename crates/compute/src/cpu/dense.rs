//! Fully connected layer: `y = activation(x · W + b)` with `W` stored `(in, out)`.

use tabswarm_model::graph::Activation;

use super::aligned::AlignedBuffer;
use super::gemm::{Gemm, Left, Panels, Right};
use super::relu::rectify;

/// A dense layer's parameters, packed for the products that use them.
#[derive(Debug)]
pub(crate) struct Dense {
    inputs: usize,
    outputs: usize,
    /// `W`, for the forward pass.
    weight: Panels,
    /// `Wᵀ`, for the gradient of the input; none where nothing before the layer needs it.
    weight_transposed: Option<Panels>,
    bias: AlignedBuffer,
    /// Room for the packed gradient of the output.
    grad_output: Panels,
}

impl Dense {
    pub(crate) fn new(
        gemm: &Gemm,
        inputs: usize,
        outputs: usize,
        needs_grad_input: bool,
        max_samples: usize,
    ) -> Self {
        Self {
            inputs,
            outputs,
            weight: gemm.panels(inputs, outputs),
            weight_transposed: needs_grad_input.then(|| gemm.panels(outputs, inputs)),
            bias: AlignedBuffer::new(outputs),
            grad_output: gemm.panels(max_samples, outputs),
        }
    }

    /// Takes over a new version of the parameters.
    pub(crate) fn set_params(&mut self, gemm: &Gemm, weight: &[f32], bias: &[f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        gemm.pack(&mut self.weight, Right::RowMajor(weight), inputs, outputs);
        if let Some(packed) = &mut self.weight_transposed {
            gemm.pack(packed, Right::Transposed(weight), outputs, inputs);
        }
        self.bias.copy_from_slice(bias);
    }

    /// `output = activation(input · W + b)`; the bias is added to the finished product.
    pub(crate) fn forward(
        &self,
        gemm: &mut Gemm,
        input: &[f32],
        output: &mut [f32],
        activation: Activation,
    ) {
        let samples = output.len() / self.outputs;
        // (n, in) · (in, out)
        gemm.product(samples, Left::RowMajor(input), &self.weight, output, false);
        for row in output.chunks_exact_mut(self.outputs) {
            let values = row.iter_mut().zip(&*self.bias);
            match activation {
                Activation::Identity => values.for_each(|(y, b)| *y += b),
                Activation::Relu => values.for_each(|(y, b)| *y = rectify(*y + b)),
                other => unreachable!("{other:?} is refused when the engine is made"),
            }
        }
    }

    /// Writes the gradients of weight and bias.
    pub(crate) fn backward_params(
        &mut self,
        gemm: &mut Gemm,
        input: &[f32],
        grad_output: &[f32],
        (grad_weight, grad_bias): (&mut [f32], &mut [f32]),
    ) {
        let samples = grad_output.len() / self.outputs;
        let right = Right::RowMajor(grad_output);
        gemm.pack(&mut self.grad_output, right, samples, self.outputs);
        // (n, in)ᵀ · (n, out)
        gemm.product(
            self.inputs,
            Left::Transposed(input),
            &self.grad_output,
            grad_weight,
            false,
        );
        sum_rows(grad_output, grad_bias);
    }

    /// Writes the gradient of the input; only for a layer made to give one.
    pub(crate) fn backward_input(
        &self,
        gemm: &mut Gemm,
        grad_output: &[f32],
        grad_input: &mut [f32],
    ) {
        let weight = self
            .weight_transposed
            .as_ref()
            .expect("made with `needs_grad_input`");
        let samples = grad_output.len() / self.outputs;
        // (n, out) · (in, out)ᵀ
        gemm.product(
            samples,
            Left::RowMajor(grad_output),
            weight,
            grad_input,
            false,
        );
    }
}

/// Sums rows in their order, each column one chain from zero.
fn sum_rows(rows: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in rows.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

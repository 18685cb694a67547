//! Fully connected layer: `y = activation(x · W + b)` along the last axis.

use super::epilogue::Epilogue;
use super::gemm::{Gemm, Left, Panels, Right, Target};

/// Rows that go through product, bias and activation together: enough to make up for reading the weights
/// again, few enough that the results are still in the cache.
const ROW_CHUNK: usize = 192;

/// Sizes of a layer and how its weights are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// False: the weights are `(in, out)`. True: `(out, in)`.
    pub(crate) is_transposed: bool,
}

impl DenseShape {
    /// The weights as the right operand `(in, out)`.
    fn weight(self, values: &[f32]) -> Right<'_> {
        if self.is_transposed {
            let stride = self.inputs;
            Right::Transposed { values, stride }
        } else {
            let stride = self.outputs;
            Right::RowMajor { values, stride }
        }
    }

    /// The weights as the right operand `(out, in)`.
    fn weight_transposed(self, values: &[f32]) -> Right<'_> {
        if self.is_transposed {
            let stride = self.inputs;
            Right::RowMajor { values, stride }
        } else {
            let stride = self.outputs;
            Right::Transposed { values, stride }
        }
    }
}

/// The forward pass, with the weights packed for it.
#[derive(Debug)]
pub(crate) struct Forward {
    shape: DenseShape,
    weight: Panels,
}

impl Forward {
    pub(crate) fn new(gemm: &Gemm, shape: DenseShape) -> Self {
        let weight = gemm.panels(shape.inputs, shape.outputs);
        Self { shape, weight }
    }

    /// Takes over a new version of the weights.
    pub(crate) fn set_weight(&mut self, gemm: &Gemm, weight: &[f32]) {
        gemm.pack(&mut self.weight, self.shape.weight(weight));
    }

    /// `output = activation(input · W + b)`; `slopes` is like the output, or empty.
    pub(crate) fn run(
        &self,
        gemm: &mut Gemm,
        input: &[f32],
        (output, slopes): (&mut [f32], &mut [f32]),
        epilogue: &Epilogue<'_>,
    ) {
        let DenseShape {
            inputs, outputs, ..
        } = self.shape;
        let mut slopes = slopes.chunks_mut(ROW_CHUNK * outputs);
        for (from, to) in input
            .chunks(ROW_CHUNK * inputs)
            .zip(output.chunks_mut(ROW_CHUNK * outputs))
        {
            let target = Target {
                values: to,
                stride: outputs,
                accumulate: false,
            };
            // (rows, in) · (in, out)
            gemm.product(
                from.len() / inputs,
                Left::RowMajor(from),
                &self.weight,
                target,
            );
            epilogue.apply(to, slopes.next().unwrap_or_default());
        }
    }
}

/// The backward pass, with the weights packed for the gradient of the input.
#[derive(Debug)]
pub(crate) struct Backward {
    shape: DenseShape,
    /// None where nothing before the layer needs a gradient.
    weight: Option<Panels>,
}

impl Backward {
    pub(crate) fn new(gemm: &mut Gemm, shape: DenseShape, needs_grad_input: bool) -> Self {
        gemm.reserve(if shape.is_transposed {
            shape.inputs
        } else {
            shape.outputs
        });
        let weight = needs_grad_input.then(|| gemm.panels(shape.outputs, shape.inputs));
        Self { shape, weight }
    }

    /// Takes over a new version of the weights.
    pub(crate) fn set_weight(&mut self, gemm: &Gemm, weight: &[f32]) {
        if let Some(packed) = &mut self.weight {
            gemm.pack(packed, self.shape.weight_transposed(weight));
        }
    }

    /// Writes the gradient of the weights, or adds to it.
    pub(crate) fn run_weight(
        &self,
        gemm: &mut Gemm,
        input: &[f32],
        grad_output: &[f32],
        grad_weight: &mut [f32],
        adds: bool,
    ) {
        let DenseShape {
            inputs,
            outputs,
            is_transposed,
        } = self.shape;
        let depth = input.len() / inputs;
        // (rows, in)ᵀ · (rows, out), or the other way round for weights stored (out, in)
        let (left, left_size, values, stride) = if is_transposed {
            (grad_output, outputs, input, inputs)
        } else {
            (input, inputs, grad_output, outputs)
        };
        let right = (Right::RowMajor { values, stride }, depth, stride);
        let target = Target {
            values: grad_weight,
            stride,
            accumulate: adds,
        };
        gemm.product_once(left_size, Left::Transposed(left), right, target);
    }

    /// Writes the gradient of the input; only for a layer made to give one.
    pub(crate) fn run_input(&self, gemm: &mut Gemm, grad_output: &[f32], grad_input: &mut [f32]) {
        let weight = self.weight.as_ref().expect("made with `needs_grad_input`");
        let rows = grad_output.len() / self.shape.outputs;
        let target = Target {
            values: grad_input,
            stride: self.shape.inputs,
            accumulate: false,
        };
        // (rows, out) · (out, in)
        gemm.product(rows, Left::RowMajor(grad_output), weight, target);
    }
}

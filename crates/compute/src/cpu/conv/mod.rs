//! Convolution as a product with the patches of an image, which are read where they are.
//!
//! With one sample's image in a border of zeros, the value of patch `p` at tap `k` is at `pixels[p] + taps[k]`:
//! two small tables stand for the matrix of patches. The forward pass multiplies it with the weights, the
//! gradient of the weights multiplies its transpose with the gradient of the output, and the gradient of the
//! input multiplies patches of the gradient of the output with the weights turned around. Samples are taken
//! one by one, so that all that belongs to one is in the cache at once.

mod depthwise;
mod frame;
mod transposed;
mod weights;

use tabswarm_model::graph::shape::ConvShape;

use self::depthwise::Depthwise;
use self::frame::Frame;
use self::transposed::Transposed;
use self::weights::{Weights, is_depthwise};
use super::epilogue::Epilogue;
use super::gemm::{Gemm, Left, Offsets, Right, Target};
use super::isa;

/// Output pixels that go through product, bias and activation together.
const PIXEL_CHUNK: usize = 96;

/// The patches of one sample's input.
#[derive(Debug)]
struct Patches {
    frame: Frame,
    /// For each output pixel, the place of its window's first value.
    pixels: Offsets,
    /// For each (ky, kx, c) of the first group, the distance from there.
    taps: Offsets,
}

impl Patches {
    fn new(shape: &ConvShape) -> Self {
        let (output, window) = (shape.output, shape.window);
        let reach = |positions: usize, axis: usize| {
            (positions - 1) * window.stride[axis] + window.size[axis]
        };
        let size = [reach(output.height, 0), reach(output.width, 1)];
        let frame = Frame::new(shape.input, window.padding, size);
        let [down, right] = window.stride;
        let pixels = grid(output.height, output.width);
        let pixels = Offsets::new(pixels.map(|(oy, ox)| frame.place(oy * down, ox * right)));
        let taps = grid(window.size[0], window.size[1]).flat_map(|(ky, kx)| {
            let first = frame.place(ky, kx);
            first..first + shape.group_inputs()
        });
        let taps = Offsets::new(taps);
        Self {
            frame,
            pixels,
            taps,
        }
    }
}

/// All (row, column) of a grid, row by row.
fn grid(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)))
}

/// The forward pass, with the weights packed for it.
#[derive(Debug)]
pub(crate) struct Forward {
    shape: ConvShape,
    patches: Patches,
    weights: Weights,
}

impl Forward {
    pub(crate) fn new(gemm: &Gemm, shape: ConvShape) -> Self {
        let taps = shape.window.size[0] * shape.window.size[1];
        let channels = [shape.group_inputs(), shape.group_outputs()];
        Self {
            shape,
            patches: Patches::new(&shape),
            weights: Weights::new(gemm, &shape, taps, channels),
        }
    }

    /// Takes over a new version of the weights.
    pub(crate) fn set_weight(&mut self, gemm: &Gemm, weight: &[f32]) {
        let stride = self.shape.output.channels;
        let columns = self.shape.group_outputs();
        let value = |group, k, column| weight[k * stride + group * columns + column];
        self.weights.set(gemm, value);
    }

    /// `output = activation(input * W + b)`; `slopes` is like the output, or empty.
    pub(crate) fn run(
        &mut self,
        gemm: &mut Gemm,
        input: &[f32],
        (output, slopes): (&mut [f32], &mut [f32]),
        epilogue: &Epilogue<'_>,
    ) {
        let Self {
            shape,
            patches,
            weights,
        } = self;
        let channels = shape.output.channels;
        let mut slopes = slopes.chunks_exact_mut(shape.output.features());
        let samples = input.chunks_exact(shape.input.features());
        for (image, output) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
            let frame = patches.frame.fill(image);
            let slopes = slopes.next().unwrap_or_default();
            let mut slopes = slopes.chunks_mut(PIXEL_CHUNK * channels);
            let chunks = output.chunks_mut(PIXEL_CHUNK * channels);
            for (first, chunk) in (0..).step_by(PIXEL_CHUNK).zip(chunks) {
                let pixels = chunk.len() / channels;
                let pixels = patches.pixels.part(first, pixels);
                let places = (pixels, patches.taps.all());
                weights.multiply(gemm, frame, places, chunk);
                epilogue.apply(chunk, slopes.next().unwrap_or_default());
            }
        }
    }
}

/// The backward pass, with the weights packed for the gradient of the input.
#[derive(Debug)]
pub(crate) struct Backward {
    shape: ConvShape,
    patches: Patches,
    /// None where nothing before the layer needs a gradient.
    transposed: Option<Transposed>,
}

impl Backward {
    pub(crate) fn new(gemm: &mut Gemm, shape: ConvShape, needs_grad_input: bool) -> Self {
        gemm.reserve(shape.group_outputs());
        Self {
            shape,
            patches: Patches::new(&shape),
            transposed: needs_grad_input.then(|| Transposed::new(gemm, shape)),
        }
    }

    /// Takes over a new version of the weights.
    pub(crate) fn set_weight(&mut self, gemm: &Gemm, weight: &[f32]) {
        if let Some(transposed) = &mut self.transposed {
            transposed.set_weight(gemm, weight);
        }
    }

    /// Writes the gradients of weights (with `adds`, adds to them) and input; the latter is empty where nobody
    /// needs it.
    pub(crate) fn run(
        &mut self,
        gemm: &mut Gemm,
        input: &[f32],
        grad_output: &[f32],
        (grad_weight, adds): (&mut [f32], bool),
        grad_input: &mut [f32],
    ) {
        let shape = self.shape;
        let images = input.chunks_exact(shape.input.features());
        let grads = grad_output.chunks_exact(shape.output.features());
        let mut grad_inputs = grad_input.chunks_exact_mut(shape.input.features());
        for (sample, (image, grad)) in images.zip(grads).enumerate() {
            self.add_weight(gemm, image, grad, grad_weight, adds || sample > 0);
            if let (Some(transposed), Some(to)) = (&mut self.transposed, grad_inputs.next()) {
                transposed.run(gemm, grad, to);
            }
        }
    }

    /// One sample's part of the gradient of the weights.
    fn add_weight(
        &mut self,
        gemm: &mut Gemm,
        image: &[f32],
        grad_output: &[f32],
        grad_weight: &mut [f32],
        accumulate: bool,
    ) {
        let Self { shape, patches, .. } = self;
        let frame = patches.frame.fill(image);
        let stride = shape.output.channels;
        if is_depthwise(shape) {
            let kernel = Depthwise {
                values: frame,
                rows: patches.taps.all(),
                depths: patches.pixels.all(),
                right: grad_output,
                target: grad_weight,
                channels: stride,
                accumulate,
            };
            isa::run(gemm.path(), kernel);
            return;
        }
        for group in 0..shape.groups {
            let left = Left::Gathered {
                values: &frame[group * shape.group_inputs()..],
                rows: patches.taps.all(),
                depths: patches.pixels.all(),
            };
            let column = group * shape.group_outputs();
            let values = &grad_output[column..];
            let right = Right::RowMajor { values, stride };
            let target = Target {
                values: &mut grad_weight[column..],
                stride,
                accumulate,
            };
            let size = (right, patches.pixels.len(), shape.group_outputs());
            gemm.product_once(patches.taps.len(), left, size, target);
        }
    }
}

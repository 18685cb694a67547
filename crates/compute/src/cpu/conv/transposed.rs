//! The gradient of a convolution's input: a convolution of the gradient of the output.
//!
//! An input pixel meets every `stride`-th row and column of the kernel, which ones depends on its position
//! modulo the stride. So the pixels fall into `stride × stride` phases; each is an ordinary convolution of the
//! output's gradient, in a border of zeros, with its part of the kernel turned by 180°.

use tabswarm_model::graph::shape::ConvShape;

use super::frame::Frame;
use super::grid;
use super::weights::Weights;
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::gemm::{Gemm, Offsets};

/// The gradient of the input, with the weights packed for it.
#[derive(Debug)]
pub(super) struct Transposed {
    shape: ConvShape,
    frame: Frame,
    phases: Vec<Phase>,
    /// A phase's pixels before they are put in their places; not used with a single phase.
    packed: AlignedBuffer,
}

/// Input pixels that meet the same part of the kernel.
#[derive(Debug)]
struct Phase {
    /// For each pixel, where its first value is in the image.
    targets: Vec<usize>,
    /// For each pixel, the place of the first output position that it meets.
    pixels: Offsets,
    /// For each (oy, ox, o) of the first group, the distance from there.
    taps: Offsets,
    /// For each (oy, ox), the part of the kernel that the pixel meets it with.
    kernel: Vec<(usize, usize)>,
    weights: Weights,
}

impl Transposed {
    pub(super) fn new(gemm: &Gemm, shape: ConvShape) -> Self {
        let window = shape.window;
        // Positions that an input pixel meets along an axis, at most; all but the last may lie before the first.
        let met = [0, 1].map(|axis| window.size[axis].div_ceil(window.stride[axis]));
        let border = met.map(|met| met - 1);
        let extent = |axis: usize, input: usize, output: usize| {
            let last = (input - 1 + window.padding[axis]) / window.stride[axis];
            border[axis] + output.max(last + 1)
        };
        let size = [
            extent(0, shape.input.height, shape.output.height),
            extent(1, shape.input.width, shape.output.width),
        ];
        let frame = Frame::new(shape.output, border, size);
        let [down, right] = window.stride;
        let phases: Vec<Phase> = grid(down, right)
            .map(|phase| Phase::new(gemm, &shape, &frame, border, phase.into()))
            .filter(|phase| !phase.targets.is_empty())
            .collect();
        let largest = phases.iter().map(|phase| phase.targets.len()).max();
        let packed = if phases.len() == 1 { None } else { largest };
        Self {
            shape,
            frame,
            phases,
            packed: AlignedBuffer::new(packed.unwrap_or(0) * shape.input.channels),
        }
    }

    pub(super) fn set_weight(&mut self, gemm: &Gemm, weight: &[f32]) {
        let shape = self.shape;
        let (inputs, outputs) = (shape.group_inputs(), shape.group_outputs());
        for phase in &mut self.phases {
            let kernel = &phase.kernel;
            phase.weights.set(gemm, |group, k, c| {
                let (ky, kx) = kernel[k / outputs];
                let tap = (ky * shape.window.size[1] + kx) * inputs + c;
                weight[tap * shape.output.channels + group * outputs + k % outputs]
            });
        }
    }

    /// Writes one sample's gradient of the input.
    pub(super) fn run(&mut self, gemm: &mut Gemm, grad_output: &[f32], grad_input: &mut [f32]) {
        let frame = self.frame.fill(grad_output);
        let channels = self.shape.input.channels;
        if let [phase] = &*self.phases {
            phase.run(gemm, frame, grad_input);
            return;
        }
        for phase in &self.phases {
            let packed = &mut self.packed[..phase.targets.len() * channels];
            phase.run(gemm, frame, packed);
            for (&to, pixel) in phase.targets.iter().zip(packed.chunks_exact(channels)) {
                grad_input[to..to + channels].copy_from_slice(pixel);
            }
        }
    }
}

impl Phase {
    /// The pixels whose padded row and column leave the remainders `phase` when divided by the stride.
    fn new(
        gemm: &Gemm,
        shape: &ConvShape,
        frame: &Frame,
        border: [usize; 2],
        phase: [usize; 2],
    ) -> Self {
        let (input, window) = (shape.input, shape.window);
        let met = [0, 1].map(|axis: usize| {
            let left = window.size[axis].saturating_sub(phase[axis]);
            left.div_ceil(window.stride[axis])
        });
        // Along an axis, the first output position that a pixel meets, counted in the frame.
        let first_met = |at: usize, axis: usize| {
            let last = (at + window.padding[axis]) / window.stride[axis];
            (border[axis] + last + 1) - met[axis]
        };
        let is_here = |at: usize, axis: usize| {
            (at + window.padding[axis]) % window.stride[axis] == phase[axis]
        };
        let pixels: Vec<(usize, usize)> = grid(input.height, input.width)
            .filter(|&(y, x)| is_here(y, 0) && is_here(x, 1))
            .collect();
        let places = pixels
            .iter()
            .map(|&(y, x)| frame.place(first_met(y, 0), first_met(x, 1)));
        let taps = grid(met[0], met[1]).flat_map(|(row, column)| {
            let first = frame.place(row, column);
            first..first + shape.group_outputs()
        });
        let turned =
            |at: usize, axis: usize| phase[axis] + window.stride[axis] * (met[axis] - 1 - at);
        let kernel: Vec<_> = grid(met[0], met[1])
            .map(|(row, column)| (turned(row, 0), turned(column, 1)))
            .collect();
        let weights = [shape.group_outputs(), shape.group_inputs()];
        let weights = Weights::new(gemm, shape, kernel.len(), weights);
        let place = |&(y, x): &(usize, usize)| (y * input.width + x) * input.channels;
        Self {
            targets: pixels.iter().map(place).collect(),
            pixels: Offsets::new(places),
            taps: Offsets::new(taps),
            kernel,
            weights,
        }
    }

    /// Writes the phase's pixels one after the other.
    fn run(&self, gemm: &mut Gemm, frame: &[f32], output: &mut [f32]) {
        if self.kernel.is_empty() {
            // These pixels meet nothing.
            output.fill(0.0);
            return;
        }
        let places = (self.pixels.all(), self.taps.all());
        self.weights.multiply(gemm, frame, places, output);
    }
}

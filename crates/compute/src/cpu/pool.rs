//! Pooling over windows of an image, per channel.
//!
//! Each output value, or gradient of one, is taken through its whole window at once, with as many channels as
//! a register has lanes. Only comparisons, sums and one product are involved: the bits are the same on every
//! path of both classes.

use tabswarm_model::graph::shape::PoolShape;

use super::gemm::Path;
use super::isa::{self, Isa, Kernel, Scalar};

/// The largest value of each window. `choice`, like the output or empty, receives which one it was, as
/// `ky · window width + kx`.
pub(crate) fn max(
    path: Path,
    shape: PoolShape,
    input: &[f32],
    output: &mut [f32],
    choice: &mut [f32],
) {
    let samples = input.chunks_exact(shape.input.features());
    let mut choices = choice.chunks_exact_mut(shape.output.features());
    for (image, to) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
        let to = Chosen {
            values: to,
            choices: choices.next().unwrap_or_default(),
        };
        isa::run(path, Pool { shape, image, to });
    }
}

/// Each gradient goes to the pixel that the value came from.
pub(crate) fn max_backward(
    path: Path,
    shape: PoolShape,
    choice: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let features = shape.output.features();
    let grads = grad_output.chunks_exact(features);
    let grads = grads.zip(choice.chunks_exact(features));
    for (to, (image, choices)) in grad_input
        .chunks_exact_mut(shape.input.features())
        .zip(grads)
    {
        to.fill(0.0);
        let to = ToChosen { sums: to, choices };
        isa::run(path, Pool { shape, image, to });
    }
}

/// The mean of each window.
pub(crate) fn average(path: Path, shape: PoolShape, input: &[f32], output: &mut [f32]) {
    let samples = input.chunks_exact(shape.input.features());
    for (image, values) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
        let to = Mean { values };
        isa::run(path, Pool { shape, image, to });
    }
}

/// Each gradient is divided among the pixels of its window.
pub(crate) fn average_backward(
    path: Path,
    shape: PoolShape,
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    let grads = grad_output.chunks_exact(shape.output.features());
    for (sums, image) in grad_input
        .chunks_exact_mut(shape.input.features())
        .zip(grads)
    {
        sums.fill(0.0);
        let to = ToAll { sums };
        isa::run(path, Pool { shape, image, to });
    }
}

/// One sample: an operation on each window.
struct Pool<'a, O> {
    shape: PoolShape,
    /// What is pooled, or the gradients of what was.
    image: &'a [f32],
    to: O,
}

/// What happens at a window, for a register's worth of channels.
trait AtWindow {
    /// `window` is at these channels of the window's first pixel, `at` at those of the output pixel.
    fn run<I: Isa>(&mut self, isa: I, window: Window<'_>, at: usize);
}

/// A window's pixels.
#[derive(Clone, Copy)]
struct Window<'a> {
    shape: PoolShape,
    image: &'a [f32],
    first: usize,
}

impl Window<'_> {
    /// Calls `visit` with the number and the place of each pixel, in the order (ky, kx).
    #[inline(always)]
    fn for_each(self, mut visit: impl FnMut(usize, usize)) {
        let [height, width] = self.shape.window.size;
        let channels = self.shape.input.channels;
        for ky in 0..height {
            let line = self.first + ky * self.shape.input.width * channels;
            for kx in 0..width {
                visit(ky * width + kx, line + kx * channels);
            }
        }
    }
}

impl<O: AtWindow> Kernel for Pool<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let (shape, channels) = (self.shape, self.shape.input.channels);
        let [down, right] = shape.window.stride;
        for row in 0..shape.output.height {
            for column in 0..shape.output.width {
                let first = (row * down * shape.input.width + column * right) * channels;
                let at = (row * shape.output.width + column) * channels;
                let window = |channel: usize| Window {
                    shape,
                    image: self.image,
                    first: first + channel,
                };
                let whole = channels - channels % I::LANES;
                for channel in (0..whole).step_by(I::LANES) {
                    self.to.run(isa, window(channel), at + channel);
                }
                for channel in whole..channels {
                    self.to.run(Scalar, window(channel), at + channel);
                }
            }
        }
    }
}

struct Chosen<'a> {
    values: &'a mut [f32],
    /// May be empty.
    choices: &'a mut [f32],
}

impl AtWindow for Chosen<'_> {
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, window: Window<'_>, at: usize) {
        let mut best = isa.read(&window.image[window.first..][..I::LANES]);
        let mut chosen = isa.splat(0.0);
        window.for_each(|number, from| {
            let x = isa.read(&window.image[from..][..I::LANES]);
            // A value replaces the best one so far only if it is greater.
            chosen = isa.select_less((best, x), isa.splat(number as f32), chosen);
            best = isa.select_less((best, x), x, best);
        });
        isa.write(&mut self.values[at..][..I::LANES], best);
        if !self.choices.is_empty() {
            isa.write(&mut self.choices[at..][..I::LANES], chosen);
        }
    }
}

struct ToChosen<'a> {
    sums: &'a mut [f32],
    choices: &'a [f32],
}

impl AtWindow for ToChosen<'_> {
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, window: Window<'_>, at: usize) {
        let grad = isa.read(&window.image[at..][..I::LANES]);
        let chosen = isa.read(&self.choices[at..][..I::LANES]);
        let nothing = isa.splat(0.0);
        window.for_each(|number, place| {
            // Choices are whole numbers.
            let (below, above) = (number as f32 - 0.5, number as f32 + 0.5);
            let here = isa.select_less((chosen, isa.splat(above)), grad, nothing);
            let here = isa.select_less((chosen, isa.splat(below)), nothing, here);
            let sum = &mut self.sums[place..][..I::LANES];
            isa.write(sum, isa.add(isa.read(sum), here));
        });
    }
}

struct Mean<'a> {
    values: &'a mut [f32],
}

impl AtWindow for Mean<'_> {
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, window: Window<'_>, at: usize) {
        let mut sum = isa.splat(0.0);
        window.for_each(|_, from| {
            sum = isa.add(sum, isa.read(&window.image[from..][..I::LANES]));
        });
        let mean = isa.mul(sum, isa.splat(factor(window.shape)));
        isa.write(&mut self.values[at..][..I::LANES], mean);
    }
}

struct ToAll<'a> {
    sums: &'a mut [f32],
}

impl AtWindow for ToAll<'_> {
    #[inline(always)]
    fn run<I: Isa>(&mut self, isa: I, window: Window<'_>, at: usize) {
        let grad = isa.read(&window.image[at..][..I::LANES]);
        let part = isa.mul(grad, isa.splat(factor(window.shape)));
        window.for_each(|_, place| {
            let sum = &mut self.sums[place..][..I::LANES];
            isa.write(sum, isa.add(isa.read(sum), part));
        });
    }
}

/// One over the number of a window's pixels, rounded once.
#[inline(always)]
fn factor(shape: PoolShape) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rounding that the operation's definition has"
    )]
    let factor = (1.0 / shape.area() as f64) as f32;
    factor
}

//! Pooling over windows of an image, per channel.

use tabswarm_model::graph::shape::PoolShape;

use super::wide::wide;

wide! {
    /// The largest value of each window. `choice`, like the output or empty, receives which one it was,
    /// as `ky · window width + kx`.
    pub(crate) fn max(shape: PoolShape, input: &[f32], output: &mut [f32], choice: &mut [f32]) {
        let channels = shape.input.channels;
        let mut choices = choice.chunks_exact_mut(channels);
        for_each_window(shape, input, output, |image, origin, best| {
            let chosen = choices.next().unwrap_or_default();
            best.copy_from_slice(&image[origin..origin + channels]);
            chosen.fill(0.0);
            for (number, from) in taps(shape, origin).enumerate().skip(1) {
                let values = &image[from..from + channels];
                if chosen.is_empty() {
                    for (best, &x) in best.iter_mut().zip(values) {
                        *best = if x > *best { x } else { *best };
                    }
                } else {
                    let number = number as f32;
                    for ((best, chosen), &x) in best.iter_mut().zip(&mut *chosen).zip(values) {
                        let is_greater = x > *best;
                        *chosen = if is_greater { number } else { *chosen };
                        *best = if is_greater { x } else { *best };
                    }
                }
            }
        });
    }
}

wide! {
    /// Each gradient goes to the pixel that the value came from.
    pub(crate) fn max_backward(
        shape: PoolShape,
        choice: &[f32],
        grad_output: &[f32],
        grad_input: &mut [f32],
    ) {
        let channels = shape.input.channels;
        let mut choices = choice.chunks_exact(channels);
        for_each_window_back(shape, grad_output, grad_input, |image, origin, grad| {
            let chosen = choices.next().unwrap_or_default();
            for (number, to) in taps(shape, origin).enumerate() {
                let number = number as f32;
                let pixel = &mut image[to..to + channels];
                for ((to, &grad), &chosen) in pixel.iter_mut().zip(grad).zip(chosen) {
                    *to += if chosen == number { grad } else { 0.0 };
                }
            }
        });
    }
}

wide! {
    /// The mean of each window.
    pub(crate) fn average(shape: PoolShape, input: &[f32], output: &mut [f32]) {
        let (channels, factor) = (shape.input.channels, factor(shape));
        for_each_window(shape, input, output, |image, origin, mean| {
            mean.fill(0.0);
            for from in taps(shape, origin) {
                for (sum, x) in mean.iter_mut().zip(&image[from..from + channels]) {
                    *sum += x;
                }
            }
            for sum in mean {
                *sum *= factor;
            }
        });
    }
}

wide! {
    /// Each gradient is divided among the pixels of its window.
    pub(crate) fn average_backward(shape: PoolShape, grad_output: &[f32], grad_input: &mut [f32]) {
        let (channels, factor) = (shape.input.channels, factor(shape));
        for_each_window_back(shape, grad_output, grad_input, |image, origin, grad| {
            for to in taps(shape, origin) {
                for (sum, grad) in image[to..to + channels].iter_mut().zip(grad) {
                    *sum += grad * factor;
                }
            }
        });
    }
}

fn factor(shape: PoolShape) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the rounding that the operation's definition has"
    )]
    let factor = (1.0 / shape.area() as f64) as f32;
    factor
}

/// Calls `pool` for every window of every sample, in order: with the sample's image, the place of the window's
/// first pixel, and the output pixel to write.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into callers with their CPU features"
)]
fn for_each_window(
    shape: PoolShape,
    input: &[f32],
    output: &mut [f32],
    mut pool: impl FnMut(&[f32], usize, &mut [f32]),
) {
    let samples = input.chunks_exact(shape.input.features());
    for (image, output) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
        let pixels = output.chunks_exact_mut(shape.output.channels);
        for (pixel, position) in pixels.zip(0..) {
            pool(image, origin(shape, position), pixel);
        }
    }
}

/// The same for gradients: with the sample's image of sums, which starts from zero, the place of the window's
/// first pixel, and the gradient of the output pixel.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into callers with their CPU features"
)]
fn for_each_window_back(
    shape: PoolShape,
    grad_output: &[f32],
    grad_input: &mut [f32],
    mut spread: impl FnMut(&mut [f32], usize, &[f32]),
) {
    let samples = grad_input.chunks_exact_mut(shape.input.features());
    for (image, grads) in samples.zip(grad_output.chunks_exact(shape.output.features())) {
        image.fill(0.0);
        let pixels = grads.chunks_exact(shape.output.channels);
        for (pixel, position) in pixels.zip(0..) {
            spread(image, origin(shape, position), pixel);
        }
    }
}

/// Where the first pixel of an output position's window is.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into callers with their CPU features"
)]
fn origin(shape: PoolShape, position: usize) -> usize {
    let (row, column) = (position / shape.output.width, position % shape.output.width);
    let [down, right] = shape.window.stride;
    (row * down * shape.input.width + column * right) * shape.input.channels
}

/// Where the pixels of a window are, in the order (ky, kx).
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "compiled into callers with their CPU features"
)]
fn taps(shape: PoolShape, origin: usize) -> impl Iterator<Item = usize> {
    let [height, width] = shape.window.size;
    let line = shape.input.width * shape.input.channels;
    (0..height).flat_map(move |ky| {
        let first = origin + ky * line;
        (0..width).map(move |kx| first + kx * shape.input.channels)
    })
}

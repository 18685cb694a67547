//! Pooling over windows of an image, per channel.

use tabswarm_model::graph::shape::PoolShape;

use super::wide::{select, wide};

/// Channels that are worked on together.
const LANES: usize = 8;

wide! {
    /// The largest value of each window. `choice`, like the output or empty, receives which one it was,
    /// as `ky · window width + kx`.
    pub(crate) fn max(shape: PoolShape, input: &[f32], output: &mut [f32], choice: &mut [f32]) {
        let channels = shape.input.channels;
        let mut choices = choice.chunks_exact_mut(channels);
        let samples = input.chunks_exact(shape.input.features());
        for (image, output) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
            for (best, position) in output.chunks_exact_mut(channels).zip(0..) {
                let chosen = choices.next().unwrap_or_default();
                let mut taps = taps(shape, origin(shape, position));
                let first = taps.next().unwrap_or_default();
                best.copy_from_slice(&image[first..first + channels]);
                chosen.fill(0.0);
                for (number, from) in (1_usize..).zip(taps) {
                    let values = &image[from..from + channels];
                    if chosen.is_empty() {
                        update(best, values, |best, x| select(x > best, x, best));
                    } else {
                        choose_greater(values, number as f32, best, chosen);
                    }
                }
            }
        }
    }
}

/// A value replaces the best one so far only if it is greater; `number` then says which it was.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into callers with their CPU features")]
fn choose_greater(values: &[f32], number: f32, best: &mut [f32], chosen: &mut [f32]) {
    let (value_lanes, values) = values.as_chunks::<LANES>();
    let (best_lanes, best) = best.as_chunks_mut::<LANES>();
    let (chosen_lanes, chosen) = chosen.as_chunks_mut::<LANES>();
    let choose = |x: f32, best: &mut f32, chosen: &mut f32| {
        let is_greater = x > *best;
        *chosen = select(is_greater, number, *chosen);
        *best = select(is_greater, x, *best);
    };
    for ((values, best), chosen) in value_lanes.iter().zip(best_lanes).zip(chosen_lanes) {
        for lane in 0..LANES {
            choose(values[lane], &mut best[lane], &mut chosen[lane]);
        }
    }
    for ((&x, best), chosen) in values.iter().zip(best).zip(chosen) {
        choose(x, best, chosen);
    }
}

/// Adds the gradients of the values that were taken from here.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into callers with their CPU features")]
fn add_chosen(sums: &mut [f32], grads: &[f32], chosen: &[f32], number: f32) {
    let (sum_lanes, sums) = sums.as_chunks_mut::<LANES>();
    let (grad_lanes, grads) = grads.as_chunks::<LANES>();
    let (chosen_lanes, chosen) = chosen.as_chunks::<LANES>();
    for ((sums, grads), chosen) in sum_lanes.iter_mut().zip(grad_lanes).zip(chosen_lanes) {
        for lane in 0..LANES {
            sums[lane] += select(chosen[lane] == number, grads[lane], 0.0);
        }
    }
    for ((sum, &grad), &chosen) in sums.iter_mut().zip(grads).zip(chosen) {
        *sum += select(chosen == number, grad, 0.0);
    }
}

/// `to = f(to, from)` for each value, a register's worth at a time: pixels have few channels.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled into callers with their CPU features")]
fn update(to: &mut [f32], from: &[f32], f: impl Fn(f32, f32) -> f32) {
    let (from_lanes, from) = from.as_chunks::<LANES>();
    let (to_lanes, to) = to.as_chunks_mut::<LANES>();
    for (to, from) in to_lanes.iter_mut().zip(from_lanes) {
        for lane in 0..LANES {
            to[lane] = f(to[lane], from[lane]);
        }
    }
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f(*to, from);
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
        let (grads, choices) = (grad_output.chunks_exact(channels), choice.chunks_exact(channels));
        let mut pixels = grads.zip(choices);
        grad_input.fill(0.0);
        for image in grad_input.chunks_exact_mut(shape.input.features()) {
            for (position, (grad, chosen)) in (0..shape.output.pixels()).zip(&mut pixels) {
                for (number, to) in taps(shape, origin(shape, position)).enumerate() {
                    let number = number as f32;
                    add_chosen(&mut image[to..to + channels], grad, chosen, number);
                }
            }
        }
    }
}

wide! {
    /// The mean of each window.
    pub(crate) fn average(shape: PoolShape, input: &[f32], output: &mut [f32]) {
        let (channels, factor) = (shape.input.channels, factor(shape));
        let samples = input.chunks_exact(shape.input.features());
        for (image, output) in samples.zip(output.chunks_exact_mut(shape.output.features())) {
            for (mean, position) in output.chunks_exact_mut(channels).zip(0..) {
                mean.fill(0.0);
                for from in taps(shape, origin(shape, position)) {
                    update(mean, &image[from..from + channels], |sum, x| sum + x);
                }
                for sum in mean {
                    *sum *= factor;
                }
            }
        }
    }
}

wide! {
    /// Each gradient is divided among the pixels of its window.
    pub(crate) fn average_backward(shape: PoolShape, grad_output: &[f32], grad_input: &mut [f32]) {
        let (channels, factor) = (shape.input.channels, factor(shape));
        let mut pixels = grad_output.chunks_exact(channels);
        grad_input.fill(0.0);
        for image in grad_input.chunks_exact_mut(shape.input.features()) {
            for (position, grad) in (0..shape.output.pixels()).zip(&mut pixels) {
                for to in taps(shape, origin(shape, position)) {
                    let sums = &mut image[to..to + channels];
                    update(sums, grad, |sum, grad| sum + grad * factor);
                }
            }
        }
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

//! Pooling.

use super::super::params::PoolParams;
use super::{at, bound, narrow};

/// For each output value of so many samples: its index, and the indices of its window's values in order.
fn windows(p: &PoolParams, samples: usize) -> impl Iterator<Item = (usize, Vec<usize>)> {
    let p = *p;
    let channels = at(p.channels);
    let [height, width] = [at(p.output_height), at(p.output_width)];
    (0..samples * height * width * channels).map(move |i| {
        let channel = i % channels;
        let (ox, line) = (i / channels % width, i / channels / width);
        let (oy, sample) = (line % height, line / height);
        let pixel = |ky: usize, kx: usize| {
            let y = oy * at(p.stride_down) + ky;
            let x = ox * at(p.stride_right) + kx;
            ((sample * at(p.height) + y) * at(p.width) + x) * channels + channel
        };
        let window = (0..at(p.window_height))
            .flat_map(|ky| (0..at(p.window_width)).map(move |kx| (ky, kx)))
            .map(|(ky, kx)| pixel(ky, kx));
        (i, window.collect())
    })
}

fn samples(p: &PoolParams, [height, width]: [u32; 2]) -> usize {
    at(p.len) / (at(height) * at(width) * at(p.channels))
}

/// See `max_pool.wgsl`.
pub(crate) fn max_pool(p: &PoolParams, buffers: &mut [Vec<f32>]) {
    let [image, output, choice] = bound(buffers);
    for (i, window) in windows(p, samples(p, [p.output_height, p.output_width])) {
        let mut chosen = 0;
        for (place, pixel) in window.iter().enumerate() {
            if image[*pixel] > image[window[chosen]] {
                chosen = place;
            }
        }
        output[i] = image[window[chosen]];
        if p.has_choice != 0 {
            choice[i] = chosen as f32;
        }
    }
}

/// See `max_pool_backward.wgsl`.
pub(crate) fn max_pool_backward(p: &PoolParams, buffers: &mut [Vec<f32>]) {
    let [choice, grad_output, grad_image] = bound(buffers);
    grad_image[..at(p.len)].fill(0.0);
    for (i, window) in windows(p, samples(p, [p.height, p.width])) {
        for (place, pixel) in window.into_iter().enumerate() {
            if (choice[i] - place as f32).abs() < 0.5 {
                grad_image[pixel] += grad_output[i];
            }
        }
    }
}

/// See `avg_pool.wgsl`.
pub(crate) fn avg_pool(p: &PoolParams, buffers: &mut [Vec<f32>]) {
    let [image, output] = bound(buffers);
    for (i, window) in windows(p, samples(p, [p.output_height, p.output_width])) {
        let sum: f64 = window
            .into_iter()
            .map(|pixel| f64::from(image[pixel]))
            .sum();
        output[i] = narrow(sum * f64::from(p.factor));
    }
}

/// See `avg_pool_backward.wgsl`.
pub(crate) fn avg_pool_backward(p: &PoolParams, buffers: &mut [Vec<f32>]) {
    let [grad_output, grad_image] = bound(buffers);
    grad_image[..at(p.len)].fill(0.0);
    for (i, window) in windows(p, samples(p, [p.height, p.width])) {
        for pixel in window {
            grad_image[pixel] += grad_output[i] * p.factor;
        }
    }
}

//! Convolutions.

use super::super::params::ConvParams;
use super::activation::activated;
use super::{at, bound, narrow};

/// One product of the convolution: indices of values in the image, the weights and the output.
struct Term {
    image: usize,
    weight: usize,
    output: usize,
}

/// Calls `visit` for every product of the convolution of `samples` samples.
fn for_each_term(p: &ConvParams, samples: usize, mut visit: impl FnMut(Term)) {
    let [inputs, outputs] = [at(p.group_inputs), at(p.group_outputs)];
    let groups = at(p.channels) / inputs;
    let pixels = at(p.output_height) * at(p.output_width);
    let taps = at(p.window_height) * at(p.window_width);
    for (pixel, tap) in
        (0..samples * pixels).flat_map(|pixel| (0..taps).map(move |tap| (pixel, tap)))
    {
        let (ox, line) = (pixel % at(p.output_width), pixel / at(p.output_width));
        let (oy, sample) = (line % at(p.output_height), line / at(p.output_height));
        let (ky, kx) = (tap / at(p.window_width), tap % at(p.window_width));
        let y = (oy * at(p.stride_down) + ky).checked_sub(at(p.padding_above));
        let x = (ox * at(p.stride_right) + kx).checked_sub(at(p.padding_left));
        let (Some(y), Some(x)) = (y, x) else { continue };
        if y >= at(p.height) || x >= at(p.width) {
            continue;
        }
        let image = ((sample * at(p.height) + y) * at(p.width) + x) * at(p.channels);
        for (group, c, o) in (0..groups).flat_map(|group| {
            (0..inputs).flat_map(move |c| (0..outputs).map(move |o| (group, c, o)))
        }) {
            let channel = group * outputs + o;
            visit(Term {
                image: image + group * inputs + c,
                weight: (tap * inputs + c) * at(p.output_channels) + channel,
                output: pixel * at(p.output_channels) + channel,
            });
        }
    }
}

/// See `conv2d.wgsl`; all groups.
pub(crate) fn conv2d(p: &ConvParams, buffers: &mut [Vec<f32>]) {
    let [image, weights, bias, output, slopes] = bound(buffers);
    let pixels = at(p.output_height) * at(p.output_width);
    let channels = at(p.output_channels);
    let mut sums = vec![0.0; at(p.rows) * channels];
    for_each_term(p, at(p.rows) / pixels, |term| {
        let weight = weights[at(p.weight_start) + term.weight];
        sums[term.output] += f64::from(image[term.image]) * f64::from(weight);
    });
    for (i, mut value) in sums.into_iter().enumerate() {
        if p.has_bias != 0 {
            value += f64::from(bias[at(p.bias_start) + i % channels]);
        }
        let (value, slope) = activated(p.activation, value);
        output[i] = narrow(value);
        if p.has_slope != 0 {
            slopes[i] = narrow(slope);
        }
    }
}

/// See `conv2d_backward_weight.wgsl`; all groups and parts.
pub(crate) fn conv2d_backward_weight(p: &ConvParams, buffers: &mut [Vec<f32>]) {
    let [image, grad_output, grad_weights] = bound(buffers);
    let pixels = at(p.output_height) * at(p.output_width);
    let len = at(p.rows) * at(p.output_channels);
    let mut sums = vec![0.0; at(p.parts) * len];
    for_each_term(p, at(p.depth) / pixels, |term| {
        let part = term.output / at(p.output_channels) / at(p.part_depth);
        let product = f64::from(image[term.image]) * f64::from(grad_output[term.output]);
        sums[part * len + term.weight] += product;
    });
    for (part, sums) in sums.chunks_exact(len).enumerate() {
        let start = at(p.weight_start) + part * at(p.part_stride);
        for (to, sum) in grad_weights[start..][..len].iter_mut().zip(sums) {
            *to = narrow(*sum);
        }
    }
}

/// See `conv2d_backward_input.wgsl`; all groups.
pub(crate) fn conv2d_backward_input(p: &ConvParams, buffers: &mut [Vec<f32>]) {
    let [grad_output, weights, grad_image] = bound(buffers);
    let pixels = at(p.height) * at(p.width);
    let mut sums = vec![0.0; at(p.rows) * at(p.channels)];
    for_each_term(p, at(p.rows) / pixels, |term| {
        let weight = weights[at(p.weight_start) + term.weight];
        sums[term.image] += f64::from(grad_output[term.output]) * f64::from(weight);
    });
    for (to, sum) in grad_image.iter_mut().zip(sums) {
        *to = narrow(sum);
    }
}

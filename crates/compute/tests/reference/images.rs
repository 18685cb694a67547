//! Convolution and pooling, window by window.

use tabswarm_model::graph::Op;
use tabswarm_model::graph::shape::{ConvShape, Image, PoolShape, Window};

use super::Reference;

/// A pixel under a window: where it is in the window and in the image.
#[derive(Clone, Copy)]
struct Tap {
    /// `ky · window width + kx`.
    in_window: usize,
    /// `y · image width + x`.
    in_image: usize,
}

/// The pixels of the image under the window at output position `(oy, ox)`, without the padding.
fn taps(input: Image, window: Window, (oy, ox): (usize, usize)) -> Vec<Tap> {
    let mut taps = Vec::new();
    for ky in 0..window.size[0] {
        for kx in 0..window.size[1] {
            let y = (oy * window.stride[0] + ky).checked_sub(window.padding[0]);
            let x = (ox * window.stride[1] + kx).checked_sub(window.padding[1]);
            if let (Some(y), Some(x)) = (y, x)
                && y < input.height
                && x < input.width
            {
                taps.push(Tap {
                    in_window: ky * window.size[1] + kx,
                    in_image: y * input.width + x,
                });
            }
        }
    }
    taps
}

fn positions(output: Image) -> impl Iterator<Item = (usize, usize)> {
    (0..output.height).flat_map(move |y| (0..output.width).map(move |x| (y, x)))
}

/// Calls `visit(input index, output index, weight index)` for each product of a convolution over `samples`.
fn products(shape: &ConvShape, samples: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (input, output) = (shape.input, shape.output);
    for sample in 0..samples {
        for (oy, ox) in positions(output) {
            for tap in taps(input, shape.window, (oy, ox)) {
                for o in 0..output.channels {
                    let group = o / shape.group_outputs();
                    for c in 0..shape.group_inputs() {
                        let channel = group * shape.group_inputs() + c;
                        let x = sample * input.features() + tap.in_image * input.channels + channel;
                        let pixel = oy * output.width + ox;
                        let y = sample * output.features() + pixel * output.channels + o;
                        let depth = tap.in_window * shape.group_inputs() + c;
                        visit(x, y, depth * output.channels + o);
                    }
                }
            }
        }
    }
}

impl Reference<'_> {
    pub(super) fn images(&mut self, op: &Op) {
        match *op {
            Op::Conv2d {
                weight,
                bias,
                shape,
                input,
                output,
                activation,
                slope,
            } => {
                let mut before = vec![0.0; self.at(output).len()];
                let (x, w) = (self.at(input), self.param(weight));
                products(&shape, self.samples, |xi, yi, wi| {
                    before[yi] += x[xi] * w[wi];
                });
                if let Some(bias) = bias {
                    let bias = self.param(bias).iter().cycle();
                    before.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
                self.activate(activation, &before, output, slope);
            }
            Op::Conv2dBackward { .. } => self.conv2d_backward(op),
            _ => self.pool(op),
        }
    }

    fn conv2d_backward(&mut self, op: &Op) {
        let Op::Conv2dBackward {
            weight,
            bias,
            shape,
            input,
            grad_output,
            grad_input,
        } = *op
        else {
            unreachable!("called for convolutions only")
        };
        let mut grad_weight = vec![0.0; self.param(weight).len()];
        let mut grad_x = vec![0.0; self.at(input).len()];
        let (x, w, dy) = (self.at(input), self.param(weight), self.at(grad_output));
        products(&shape, self.samples, |xi, yi, wi| {
            grad_weight[wi] += x[xi] * dy[yi];
            grad_x[xi] += dy[yi] * w[wi];
        });
        let mut grad_bias = vec![0.0; shape.output.channels];
        for (idx, g) in dy.iter().enumerate() {
            grad_bias[idx % shape.output.channels] += g;
        }
        self.write_gradient(weight, &grad_weight, false);
        if let Some(bias) = bias {
            self.write_gradient(bias, &grad_bias, false);
        }
        if let Some(grad_input) = grad_input {
            self.buffers[grad_input.0] = grad_x;
        }
    }

    fn pool(&mut self, op: &Op) {
        match *op {
            Op::MaxPool {
                shape,
                input,
                output,
                choice,
            } => {
                let (mut best, mut chosen) = (Vec::new(), Vec::new());
                self.windows(&shape, |xs, taps, _| {
                    let x = self.at(input);
                    let first = xs.iter().zip(taps).reduce(|best, next| {
                        if x[*next.0] > x[*best.0] { next } else { best }
                    });
                    let (at, tap) = first.expect("a window has a pixel");
                    best.push(x[*at]);
                    chosen.push(tap.in_window as f64);
                });
                self.buffers[output.0] = best;
                if let Some(choice) = choice {
                    self.buffers[choice.0] = chosen;
                }
            }
            Op::MaxPoolBackward {
                shape,
                choice,
                grad_output,
                grad_input,
            } => {
                let mut grad = vec![0.0; self.samples * shape.input.features()];
                self.windows(&shape, |xs, taps, y| {
                    let choice = self.at(choice)[y];
                    for (x, tap) in xs.iter().zip(taps) {
                        if (tap.in_window as f64 - choice).abs() < 0.5 {
                            grad[*x] += self.at(grad_output)[y];
                        }
                    }
                });
                self.buffers[grad_input.0] = grad;
            }
            Op::AvgPool {
                shape,
                input,
                output,
            } => {
                let mut means = Vec::new();
                self.windows(&shape, |xs, _, _| {
                    let sum: f64 = xs.iter().map(|&x| self.at(input)[x]).sum();
                    means.push(sum / shape.area() as f64);
                });
                self.buffers[output.0] = means;
            }
            Op::AvgPoolBackward {
                shape,
                grad_output,
                grad_input,
            } => {
                let mut grad = vec![0.0; self.samples * shape.input.features()];
                self.windows(&shape, |xs, _, y| {
                    let share = self.at(grad_output)[y] / shape.area() as f64;
                    xs.iter().for_each(|&x| grad[x] += share);
                });
                self.buffers[grad_input.0] = grad;
            }
            _ => unreachable!("{} does not pool", op.name()),
        }
    }

    /// Calls `visit(input indices, their taps, output index)` for each value of the output, in order.
    fn windows(&self, shape: &PoolShape, mut visit: impl FnMut(&[usize], &[Tap], usize)) {
        let (input, output) = (shape.input, shape.output);
        let mut y = 0;
        for sample in 0..self.samples {
            for position in positions(output) {
                let taps = taps(input, shape.window, position);
                for c in 0..output.channels {
                    let place =
                        |tap: &Tap| sample * input.features() + tap.in_image * input.channels + c;
                    let xs: Vec<usize> = taps.iter().map(place).collect();
                    visit(&xs, &taps, y);
                    y += 1;
                }
            }
        }
    }
}

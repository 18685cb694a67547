//! Convolutions and pooling.

use tabswarm_model::graph::Op;
use tabswarm_model::graph::shape::{ConvShape, PoolShape};
use tabswarm_model::layout::TensorId;

use super::places::Slot;
use super::product::{Size, most_parts, tiled};
use super::{
    Recorder, activation_code, one_lane_a_value, one_workgroup_eight_columns, quotient, word,
};
use crate::gpu::kernels::Call;
use crate::gpu::params::{ConvParams, PoolParams, SumRowsParams};

/// Rows that one invocation adds up by itself.
const FEW_ROWS: usize = 256;

impl Recorder<'_> {
    pub(super) fn conv2d(&mut self, op: &Op) {
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
                let params = ConvParams {
                    weight_start: self.offset(weight),
                    bias_start: bias.map_or(0, |id| self.offset(id)),
                    activation: activation_code(activation),
                    has_bias: u32::from(bias.is_some()),
                    has_slope: u32::from(slope.is_some()),
                    ..geometry(&shape)
                };
                let slopes = slope.map_or(Slot::Void, |id| self.places.of(id));
                let slots = [
                    self.factor(input),
                    self.weights(),
                    Slot::Params,
                    self.places.of(output),
                    slopes,
                ];
                let size = Size {
                    rows: self.samples * shape.output.pixels(),
                    columns: shape.group_outputs(),
                    depth: shape.depth(),
                    batches: shape.groups,
                };
                let call = |tiles| Call::Conv2d(sized(params, size, tiles));
                self.products(tiled((size, self.shape), &slots, [true, false], call));
            }
            Op::Conv2dBackward {
                weight,
                bias,
                shape,
                input,
                grad_output,
                grad_input,
            } => {
                if let Some(bias) = bias {
                    let grad = self.places.of(grad_output);
                    let rows = self.samples * shape.output.pixels();
                    self.sum_rows(grad, [rows, shape.output.channels], bias, false);
                }
                let [input, grad] = [input, grad_output].map(|id| self.factor(id));
                self.conv2d_weight(&shape, weight, [input, grad]);
                if let Some(grad_input) = grad_input {
                    let params = ConvParams {
                        weight_start: self.offset(weight),
                        ..geometry(&shape)
                    };
                    let slots = [grad, self.weights(), self.places.of(grad_input)];
                    let size = Size {
                        rows: self.samples * shape.input.pixels(),
                        columns: shape.group_inputs(),
                        depth: taps(&shape) * shape.group_outputs(),
                        batches: shape.groups,
                    };
                    let call = |tiles| Call::Conv2dBackwardInput(sized(params, size, tiles));
                    self.products(tiled((size, self.shape), &slots, [true, true], call));
                }
            }
            _ => unreachable!("{} is no convolution", op.name()),
        }
    }

    /// The gradient of the weights, in parts where they keep more of the device busy.
    fn conv2d_weight(&mut self, shape: &ConvShape, weight: TensorId, [input, grad]: [Slot; 2]) {
        let depth = self.samples * shape.output.pixels();
        let size = [shape.depth(), shape.group_outputs()];
        let [down, across] = self.shape.tile(size).count(size);
        let wanted = most_parts(down * across * shape.groups, depth);
        let part_depth = depth.div_ceil(wanted).next_multiple_of(16);
        let parts = depth.div_ceil(part_depth);
        let len = self.graph.layout.tensor(weight).len;
        let offset = self.offset(weight);
        if wanted > 1 {
            // Also for fewer samples, of which there may be more parts.
            self.need_scratch(Slot::Scratch(0), wanted * len);
        }
        let (target, start) = if parts == 1 {
            (Slot::Gradient, offset)
        } else {
            (Slot::Scratch(0), 0)
        };
        let params = ConvParams {
            weight_start: start,
            part_depth: word(part_depth),
            part_stride: word(len),
            parts: word(parts),
            ..geometry(shape)
        };
        let size = Size {
            rows: shape.depth(),
            columns: shape.group_outputs(),
            depth,
            batches: shape.groups * parts,
        };
        let call = |tiles| Call::Conv2dBackwardWeight(sized(params, size, tiles));
        let slots = [input, grad, target];
        self.products(tiled((size, self.shape), &slots, [false, false], call));
        if parts > 1 {
            self.sum_rows(target, [parts, len], weight, false);
        }
    }

    /// Sums of rows as the gradient of a tensor.
    pub(super) fn sum_rows(
        &mut self,
        values: Slot,
        size: [usize; 2],
        tensor: TensorId,
        adds: bool,
    ) {
        let params = SumRowsParams {
            rows: word(size[0]),
            columns: word(size[1]),
            sums_start: self.offset(tensor),
            adds: u32::from(adds),
        };
        let slots = [values, Slot::Gradient];
        self.dispatches.push(if size[0] <= FEW_ROWS {
            one_lane_a_value(Call::SumFewRows(params), &slots, size[1])
        } else {
            one_workgroup_eight_columns(Call::SumRows(params), &slots, size)
        });
    }

    pub(super) fn pool(&mut self, op: &Op) {
        match *op {
            Op::MaxPool {
                shape,
                input,
                output,
                choice,
            } => {
                let len = self.len(output);
                let call = Call::MaxPool(pooling(&shape, len, choice.is_some()));
                let choice = choice.map_or(Slot::Void, |id| self.places.of(id));
                let slots = [self.places.of(input), self.places.of(output), choice];
                self.values(call, &slots, len);
            }
            Op::MaxPoolBackward {
                shape,
                choice,
                grad_output,
                grad_input,
            } => {
                let len = self.len(grad_input);
                let slots = [choice, grad_output, grad_input].map(|id| self.places.of(id));
                self.values(
                    Call::MaxPoolBackward(pooling(&shape, len, true)),
                    &slots,
                    len,
                );
            }
            Op::AvgPool {
                shape,
                input,
                output,
            } => {
                let len = self.len(output);
                let slots = [input, output].map(|id| self.places.of(id));
                self.values(Call::AvgPool(pooling(&shape, len, false)), &slots, len);
            }
            Op::AvgPoolBackward {
                shape,
                grad_output,
                grad_input,
            } => {
                let len = self.len(grad_input);
                let slots = [grad_output, grad_input].map(|id| self.places.of(id));
                self.values(
                    Call::AvgPoolBackward(pooling(&shape, len, false)),
                    &slots,
                    len,
                );
            }
            _ => unreachable!("{} is no pooling", op.name()),
        }
    }
}

fn taps(shape: &ConvShape) -> usize {
    shape.window.size[0] * shape.window.size[1]
}

fn geometry(shape: &ConvShape) -> ConvParams {
    let (input, output, window) = (shape.input, shape.output, shape.window);
    ConvParams {
        height: word(input.height),
        width: word(input.width),
        channels: word(input.channels),
        output_height: word(output.height),
        output_width: word(output.width),
        output_channels: word(output.channels),
        window_height: word(window.size[0]),
        window_width: word(window.size[1]),
        stride_down: word(window.stride[0]),
        stride_right: word(window.stride[1]),
        padding_above: word(window.padding[0]),
        padding_left: word(window.padding[1]),
        group_inputs: word(shape.group_inputs()),
        group_outputs: word(shape.group_outputs()),
        parts: 1,
        ..ConvParams::default()
    }
}

fn sized(params: ConvParams, size: Size, [first_tile, tiles_across]: [u32; 2]) -> ConvParams {
    ConvParams {
        rows: word(size.rows),
        columns: word(size.columns),
        depth: word(size.depth),
        first_tile,
        tiles_across,
        ..params
    }
}

fn pooling(shape: &PoolShape, len: usize, has_choice: bool) -> PoolParams {
    PoolParams {
        len: word(len),
        height: word(shape.input.height),
        width: word(shape.input.width),
        channels: word(shape.input.channels),
        output_height: word(shape.output.height),
        output_width: word(shape.output.width),
        window_height: word(shape.window.size[0]),
        window_width: word(shape.window.size[1]),
        stride_down: word(shape.window.stride[0]),
        stride_right: word(shape.window.stride[1]),
        factor: quotient(1.0, shape.area()),
        has_choice: u32::from(has_choice),
    }
}

// The geometry of a convolution; images have their channels last.

struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    height: u32,
    width: u32,
    channels: u32,
    output_height: u32,
    output_width: u32,
    output_channels: u32,
    window_height: u32,
    window_width: u32,
    stride_down: u32,
    stride_right: u32,
    padding_above: u32,
    padding_left: u32,
    group_inputs: u32,
    group_outputs: u32,
    weight_start: u32,
    bias_start: u32,
    tiles_across: u32,
    first_tile: u32,
    activation: u32,
    has_bias: u32,
    has_slope: u32,
    // Depth of one part of the sums, and values from one part to the next.
    part_depth: u32,
    part_stride: u32,
    parts: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

var<private> group: u32;

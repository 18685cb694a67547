// What becomes of a product of the image, which is its left factor, and the weights: bias, activation.

@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read_write> slopes: array<f32>;

fn put(row: u32, column: u32, sum: f32) {
    let channel = group * p.group_outputs + column;
    var value = sum;
    if p.has_bias != 0 {
        value += bias[p.bias_start + channel];
    }
    let activated = activate(p.activation, value);
    let at = row * p.output_channels + channel;
    output[at] = activated.value;
    if p.has_slope != 0 {
        slopes[at] = activated.slope;
    }
}

// As conv2d_backward_input.wgsl, with blocks in registers.

@group(0) @binding(3) var<storage, read_write> grad_image: array<f32>;

fn put(row: u32, column: u32, sum: f32) {
    grad_image[row * p.channels + group * p.group_inputs + column] = sum;
}

// Four pixels of the image, moved by the padding, and the first line of their samples' outputs.
struct Pixels {
    y: vec4u,
    x: vec4u,
    line: vec4u,
}

fn pixels_of(rows: vec4u) -> Pixels {
    let lines = rows / p.width;
    let samples = lines / p.height;
    let y = lines - samples * p.height + p.padding_above;
    let x = rows - lines * p.width + p.padding_left;
    return Pixels(y, x, samples * p.output_height);
}

// The outputs whose windows have the pixels at (ky, kx).
struct Outputs {
    at: vec4u,
    exist: vec4<bool>,
}

fn outputs_of(pixels: Pixels, ky: u32, kx: u32) -> Outputs {
    // Before the first the difference wraps around to a large number.
    let below = pixels.y - ky;
    let right = pixels.x - kx;
    let y = below / p.stride_down;
    let x = right / p.stride_right;
    let is_window = (y * p.stride_down == below) & (x * p.stride_right == right);
    let exist = is_window & (y < vec4u(p.output_height)) & (x < vec4u(p.output_width));
    let at = ((pixels.line + y) * p.output_width + x) * p.output_channels + group * p.group_outputs;
    return Outputs(select(vec4u(), at, exist), exist);
}

fn grads_at(outputs: Outputs, channel: u32) -> vec4f {
    return select(vec4f(), left_values(outputs.at + channel), outputs.exist);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    group = workgroup.z;
    let tile = p.first_tile + workgroup.x;
    let rows = block_rows(tile, invocation);
    let columns = block_columns(tile, invocation);
    let upper = pixels_of(min(rows, vec4u(p.rows - 1)));
    let lower = pixels_of(min(rows + 4, vec4u(p.rows - 1)));
    let first_weight = p.weight_start + group * p.group_outputs;
    let near_first = first_weight + min(columns, vec4u(p.columns - 1)) * p.output_channels;
    let far_first = first_weight + min(columns + 4 * COLUMNS, vec4u(p.columns - 1)) * p.output_channels;
    let channels = p.group_outputs;
    let place_step = p.group_inputs * p.output_channels;
    var place_first = 0u;
    var sums = Sums();
    for (var ky = 0u; ky < p.window_height; ky++) {
        for (var kx = 0u; kx < p.window_width; kx++) {
            let upper_outputs = outputs_of(upper, ky, kx);
            let lower_outputs = outputs_of(lower, ky, kx);
            for (var channel = 0u; channel < channels; channel++) {
                let weight = place_first + channel;
                var wide = vec4f();
                if WIDE {
                    wide = right_values(far_first + weight);
                }
                take(
                    &sums,
                    grads_at(upper_outputs, channel),
                    grads_at(lower_outputs, channel),
                    right_values(near_first + weight),
                    wide,
                );
            }
            place_first += place_step;
        }
    }
    put_block(&sums, rows.x, columns.x);
}

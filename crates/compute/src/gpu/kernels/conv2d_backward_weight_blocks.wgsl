// As conv2d_backward_weight.wgsl, with blocks in registers.

@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;

var<private> target_first: u32;

fn put(row: u32, column: u32, sum: f32) {
    grad_weights[target_first + row * p.output_channels + column] = sum;
}

// Four places of a window, and how far their values are from its first.
struct Taps {
    y: vec4u,
    x: vec4u,
    offset: vec4u,
}

fn taps_of(rows: vec4u) -> Taps {
    let places = rows / p.group_inputs;
    let y = places / p.window_width;
    let x = places - y * p.window_width;
    return Taps(y, x, (y * p.width + x) * p.channels + rows - places * p.group_inputs);
}

// The values of the taps of the window that begins at (y, x) and value `first`; outside the image zero.
fn values_of(taps: Taps, y: u32, x: u32, first: u32) -> vec4f {
    let inside = (taps.y + y < vec4u(p.height)) & (taps.x + x < vec4u(p.width));
    let at = select(vec4u(), first + taps.offset, inside);
    return select(vec4f(), left_values(at), inside);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    group = workgroup.z / p.parts;
    let part = workgroup.z % p.parts;
    target_first = p.weight_start + part * p.part_stride + group * p.group_outputs;
    let tile = p.first_tile + workgroup.x;
    let rows = block_rows(tile, invocation);
    let columns = block_columns(tile, invocation);
    let upper = taps_of(min(rows, vec4u(p.rows - 1)));
    let lower = taps_of(min(rows + 4, vec4u(p.rows - 1)));
    let begin = part * p.part_depth;
    let end = min(begin + p.part_depth, p.depth);
    let first_grad = begin * p.output_channels + group * p.group_outputs;
    var near = first_grad + min(columns, vec4u(p.columns - 1));
    var far = first_grad + min(columns + 4 * COLUMNS, vec4u(p.columns - 1));
    let step = p.output_channels;
    // The pixel of the output, counted on rather than divided.
    var ox = begin % p.output_width;
    var oy = begin / p.output_width % p.output_height;
    var sample = begin / p.output_width / p.output_height;
    var sums = Sums();
    for (var k = begin; k < end; k++) {
        let y = oy * p.stride_down - p.padding_above;
        let x = ox * p.stride_right - p.padding_left;
        let first = ((sample * p.height + y) * p.width + x) * p.channels + group * p.group_inputs;
        var wide = vec4f();
        if WIDE {
            wide = right_values(far);
            far += step;
        }
        take(&sums, values_of(upper, y, x, first), values_of(lower, y, x, first), right_values(near), wide);
        near += step;
        ox += 1;
        if ox == p.output_width {
            ox = 0u;
            oy += 1;
        }
        if oy == p.output_height {
            oy = 0u;
            sample += 1;
        }
    }
    put_block(&sums, rows.x, columns.x);
}

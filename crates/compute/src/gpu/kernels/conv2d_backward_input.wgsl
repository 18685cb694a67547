// d image = patches of d output · the weights turned around, one group of channels a z.

@group(0) @binding(3) var<storage, read_write> grad_image: array<f32>;

// Rows are (sample, iy, ix), depths (ky, kx, o of the group).
fn left_at(row: u32, k: u32) -> f32 {
    if row >= p.rows || k >= p.depth {
        return 0.0;
    }
    let ix = row % p.width;
    let line = row / p.width;
    let iy = line % p.height;
    let sample = line / p.height;
    let channel = k % p.group_outputs;
    let place = k / p.group_outputs;
    let kx = place % p.window_width;
    let ky = place / p.window_width;
    let below = iy + p.padding_above;
    let right = ix + p.padding_left;
    if below < ky || right < kx {
        return 0.0;
    }
    let y = (below - ky) / p.stride_down;
    let x = (right - kx) / p.stride_right;
    let is_window = y * p.stride_down == below - ky && x * p.stride_right == right - kx;
    if !is_window || y >= p.output_height || x >= p.output_width {
        return 0.0;
    }
    let pixel = (sample * p.output_height + y) * p.output_width + x;
    return left_value(pixel * p.output_channels + group * p.group_outputs + channel);
}

fn right_at(k: u32, column: u32) -> f32 {
    if column >= p.columns || k >= p.depth {
        return 0.0;
    }
    let channel = k % p.group_outputs;
    let place = k / p.group_outputs;
    let tap = place * p.group_inputs + column;
    return right_value(p.weight_start + tap * p.output_channels + group * p.group_outputs + channel);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    group = workgroup.z;
    let tile = p.first_tile + workgroup.x;
    let first_row = tile / p.tiles_across * 4 * ROWS;
    let first_column = tile % p.tiles_across * 4 * COLUMNS;
    let sums = tile_sums(first_row, first_column, 0, p.depth, invocation);
    for (var r = 0u; r < 4; r++) {
        let row = first_row + 4 * (invocation / COLUMNS) + r;
        for (var c = 0u; c < 4; c++) {
            let column = first_column + 4 * (invocation % COLUMNS) + c;
            if row >= p.rows || column >= p.columns {
                continue;
            }
            grad_image[row * p.channels + group * p.group_inputs + column] = sums[r][c];
        }
    }
}

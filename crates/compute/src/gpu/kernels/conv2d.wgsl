// output = activation(patches · weights + bias), one group of channels a z.

fn left_at(row: u32, k: u32) -> f32 {
    if row >= p.rows || k >= p.depth {
        return 0.0;
    }
    return patch_at(row, k);
}

fn right_at(k: u32, column: u32) -> f32 {
    if column >= p.columns || k >= p.depth {
        return 0.0;
    }
    return right_value(p.weight_start + k * p.output_channels + group * p.group_outputs + column);
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
            if row < p.rows && column < p.columns {
                put(row, column, sums[r][c]);
            }
        }
    }
}

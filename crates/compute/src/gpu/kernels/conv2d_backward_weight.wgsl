// d weights = patchesᵀ · d output, one group of channels and one part of the depth a z. Where there are several
// parts they go to a place each, to be added up by sum_rows.

@group(0) @binding(3) var<storage, read_write> grad_weights: array<f32>;

fn left_at(row: u32, k: u32) -> f32 {
    if row >= p.rows || k >= p.depth {
        return 0.0;
    }
    return patch_at(k, row);
}

fn right_at(k: u32, column: u32) -> f32 {
    if column >= p.columns || k >= p.depth {
        return 0.0;
    }
    return right_value(k * p.output_channels + group * p.group_outputs + column);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    group = workgroup.z / p.parts;
    let part = workgroup.z % p.parts;
    let tile = p.first_tile + workgroup.x;
    let first_row = tile / p.tiles_across * 4 * ROWS;
    let first_column = tile % p.tiles_across * 4 * COLUMNS;
    let begin = part * p.part_depth;
    let end = min(begin + p.part_depth, p.depth);
    let sums = tile_sums(first_row, first_column, begin, end, invocation);
    for (var r = 0u; r < 4; r++) {
        let row = first_row + 4 * (invocation / COLUMNS) + r;
        for (var c = 0u; c < 4; c++) {
            let column = first_column + 4 * (invocation % COLUMNS) + c;
            if row >= p.rows || column >= p.columns {
                continue;
            }
            let at = row * p.output_channels + group * p.group_outputs + column;
            grad_weights[p.weight_start + part * p.part_stride + at] = sums[r][c];
        }
    }
}

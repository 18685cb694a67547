// target = activation(scale · left · right + bias), for any strides of the factors, so that each may be
// transposed; over `batches` pairs of matrices, which are numbered (sample, head).

fn left_at(row: u32, k: u32) -> f32 {
    if row >= p.rows || k >= p.depth {
        return 0.0;
    }
    return left_value(left_first + row * p.left_row + k * p.left_depth);
}

fn right_at(k: u32, column: u32) -> f32 {
    if column >= p.columns || k >= p.depth {
        return 0.0;
    }
    return right_value(right_first + k * p.right_depth + column * p.right_column);
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    let sample = workgroup.z / p.heads;
    let head = workgroup.z % p.heads;
    left_first = p.left_start + sample * p.left_sample + head * p.left_head;
    right_first = p.right_start + sample * p.right_sample + head * p.right_head;
    let tile = p.first_tile + workgroup.x;
    let first_row = tile / p.tiles_across * 4 * ROWS;
    let first_column = tile % p.tiles_across * 4 * COLUMNS;
    let sums = tile_sums(first_row, first_column, 0, p.depth, invocation);
    target_first = p.target_start + sample * p.target_sample + head * p.target_head;
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

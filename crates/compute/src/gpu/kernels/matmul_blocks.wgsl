// As matmul.wgsl, with blocks in registers.

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    let sample = workgroup.z / p.heads;
    let head = workgroup.z % p.heads;
    left_first = p.left_start + sample * p.left_sample + head * p.left_head;
    right_first = p.right_start + sample * p.right_sample + head * p.right_head;
    target_first = p.target_start + sample * p.target_sample + head * p.target_head;
    let tile = p.first_tile + workgroup.x;
    let rows = block_rows(tile, invocation);
    let columns = block_columns(tile, invocation);
    // What lies outside is computed as the last row or column is, and not stored.
    var upper = left_first + min(rows, vec4u(p.rows - 1)) * p.left_row;
    var lower = left_first + min(rows + 4, vec4u(p.rows - 1)) * p.left_row;
    var near = right_first + min(columns, vec4u(p.columns - 1)) * p.right_column;
    var far = right_first + min(columns + 4 * COLUMNS, vec4u(p.columns - 1)) * p.right_column;
    let left_step = p.left_depth;
    let right_step = p.right_depth;
    let depth = p.depth;
    var sums = Sums();
    for (var k = 0u; k < depth; k++) {
        var wide = vec4f();
        if WIDE {
            wide = right_values(far);
            far += right_step;
        }
        take(&sums, left_values(upper), left_values(lower), right_values(near), wide);
        upper += left_step;
        lower += left_step;
        near += right_step;
    }
    put_block(&sums, rows.x, columns.x);
}

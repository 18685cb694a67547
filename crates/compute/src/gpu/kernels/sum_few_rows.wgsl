// As sum_rows.wgsl; an invocation has a column, which is faster for few rows.

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = value_index(workgroup, workgroups, lane);
    if column >= p.columns {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < p.rows; row++) {
        sum += values[row * p.columns + column];
    }
    let before = select(0.0, sums[p.sums_start + column], p.adds != 0);
    sums[p.sums_start + column] = before + sum;
}

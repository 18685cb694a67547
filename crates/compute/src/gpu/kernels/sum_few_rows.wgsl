// As sum_rows.wgsl; an invocation has a column, which is faster for few rows.

struct Params {
    rows: u32,
    columns: u32,
    sums_start: u32,
    adds: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

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

// d table[v, j] = sum(row with token v: d output[row, j]).

struct Params {
    // vocabulary · width.
    len: u32,
    width: u32,
    table_start: u32,
    rows: u32,
    adds: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> tokens: array<f32>;
@group(0) @binding(2) var<storage, read> grad_output: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_table: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = value_index(workgroup, workgroups, lane);
    if i >= p.len {
        return;
    }
    let token = f32(i / p.width);
    let column = i % p.width;
    var sum = select(0.0, grad_table[p.table_start + i], p.adds != 0);
    for (var row = 0u; row < p.rows; row++) {
        if tokens[row] == token {
            sum += grad_output[row * p.width + column];
        }
    }
    grad_table[p.table_start + i] = sum;
}

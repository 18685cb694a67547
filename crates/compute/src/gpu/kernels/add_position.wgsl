// output[sample, i] = input[sample, i] + table[i].

struct Params {
    len: u32,
    period: u32,
    table_start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

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
    output[i] = input[i] + table[p.table_start + i % p.period];
}

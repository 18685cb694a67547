// output = activation(input), and the slope where it is to be saved.

struct Params {
    len: u32,
    activation: u32,
    has_slope: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(3) var<storage, read_write> slopes: array<f32>;

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
    let activated = activate(p.activation, input[i]);
    output[i] = activated.value;
    if p.has_slope != 0 {
        slopes[i] = activated.slope;
    }
}

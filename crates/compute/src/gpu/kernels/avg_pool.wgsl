// The mean of each window.

@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

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
    let first = window_start(i);
    var sum = 0.0;
    for (var ky = 0u; ky < p.window_height; ky++) {
        for (var kx = 0u; kx < p.window_width; kx++) {
            sum += image[first + (ky * p.width + kx) * p.channels];
        }
    }
    output[i] = sum * p.factor;
}

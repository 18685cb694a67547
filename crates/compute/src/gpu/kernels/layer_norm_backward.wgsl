// The gradient of a layer norm's input; a row a workgroup.

struct Params {
    rows: u32,
    width: u32,
    gain_start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> params: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read> grad_output: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_input: array<f32>;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if row >= p.rows {
        return;
    }
    let first = row * p.width;
    let mean = statistics[2 * row];
    let rstd = statistics[2 * row + 1];
    var sum = 0.0;
    var products = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        let g = grad_output[first + j] * params[p.gain_start + j];
        sum += g;
        products += g * (input[first + j] - mean) * rstd;
    }
    let a = sum_of_lanes(lane, sum) / f32(p.width);
    let b = sum_of_lanes(lane, products) / f32(p.width);
    for (var j = lane; j < p.width; j += LANES) {
        let g = grad_output[first + j] * params[p.gain_start + j];
        let z = (input[first + j] - mean) * rstd;
        grad_input[first + j] = (g - a - z * b) * rstd;
    }
}

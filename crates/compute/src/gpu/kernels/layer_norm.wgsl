// output = (x - mean) · rstd · gain + bias for each row, and (mean, rstd); a row a workgroup.

struct Params {
    rows: u32,
    width: u32,
    gain_start: u32,
    bias_start: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> params: array<f32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;

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
    var sum = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        sum += input[first + j];
    }
    let mean = sum_of_lanes(lane, sum) / f32(p.width);
    var squares = 0.0;
    for (var j = lane; j < p.width; j += LANES) {
        let difference = input[first + j] - mean;
        squares += difference * difference;
    }
    let variance = sum_of_lanes(lane, squares) / f32(p.width);
    let rstd = 1.0 / sqrt(variance + p.epsilon);
    for (var j = lane; j < p.width; j += LANES) {
        let z = (input[first + j] - mean) * rstd;
        output[first + j] = z * params[p.gain_start + j] + params[p.bias_start + j];
    }
    if lane == 0 {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = rstd;
    }
}

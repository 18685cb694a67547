// d gain[j] = sum(row: dy[row, j] · z[row, j]) and d bias[j] = sum(row: dy[row, j]); a workgroup has 8 columns,
// whose rows 32 invocations share.

struct Params {
    rows: u32,
    width: u32,
    gain_start: u32,
    bias_start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> statistics: array<f32>;
@group(0) @binding(3) var<storage, read> grad_output: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;

var<workgroup> partial: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) invocation: u32,
) {
    let column = (workgroup.y * workgroups.x + workgroup.x) * 8 + invocation % 8;
    var sums = vec2f();
    if column < p.width {
        for (var row = invocation / 8; row < p.rows; row += 32) {
            let z = (input[row * p.width + column] - statistics[2 * row]) * statistics[2 * row + 1];
            let dy = grad_output[row * p.width + column];
            sums += vec2f(dy * z, dy);
        }
    }
    partial[invocation] = sums;
    workgroupBarrier();
    for (var half = 16u; half > 0; half /= 2) {
        if invocation < half * 8 {
            partial[invocation] += partial[invocation + half * 8];
        }
        workgroupBarrier();
    }
    if invocation < 8 && column < p.width {
        gradient[p.gain_start + column] = partial[invocation].x;
        gradient[p.bias_start + column] = partial[invocation].y;
    }
}

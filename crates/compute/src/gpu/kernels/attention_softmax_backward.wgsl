// In place, the gradient of the scores from the one of the probabilities: ds = p · (dp - sum(p · dp)). A row a
// workgroup.

struct Params {
    rows: u32,
    positions: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> probabilities: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad: array<f32>;

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
    let first = row * p.positions;
    var products = 0.0;
    for (var j = lane; j < p.positions; j += LANES) {
        products += probabilities[first + j] * grad[first + j];
    }
    let t = sum_of_lanes(lane, products);
    for (var j = lane; j < p.positions; j += LANES) {
        grad[first + j] = probabilities[first + j] * (grad[first + j] - t);
    }
}

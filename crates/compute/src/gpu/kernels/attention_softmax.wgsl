// In place, the probabilities of a row from its scores: exp(s - largest) / sum over the positions that it sees,
// 0 beyond. Rows are (sample, head, position); a row a workgroup.

struct Params {
    rows: u32,
    positions: u32,
    causal: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;

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
    let seen = select(p.positions, row % p.positions + 1, p.causal != 0);
    // Every row sees its first position.
    var largest = scores[first];
    for (var j = lane; j < seen; j += LANES) {
        largest = max(largest, scores[first + j]);
    }
    largest = largest_of_lanes(lane, largest);
    var sum = 0.0;
    for (var j = lane; j < p.positions; j += LANES) {
        let e = select(0.0, exp_nonpositive(scores[first + j] - largest), j < seen);
        scores[first + j] = e;
        sum += e;
    }
    let reciprocal = 1.0 / sum_of_lanes(lane, sum);
    for (var j = lane; j < p.positions; j += LANES) {
        scores[first + j] *= reciprocal;
    }
}

// Takes a micro-batch's gradient up into the lease's sums without the scale of the loss, counts what is wrong with
// it, and marks it as not written, so that a kernel which does not run is noticed the next time.

struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Number of the micro-batch within the lease; the fourth word is one over the scale of the loss.
@group(0) @binding(1) var<storage, read> turn: array<u32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;

// Not a number, with a payload that no arithmetic gives.
const UNWRITTEN: u32 = 0x7fa5c3e1;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    // Every invocation has many values, so that few of them count what they found.
    var bad = 0u;
    var infinite = 0u;
    var nonzero = 0u;
    let step = workgroups.x * workgroups.y * LANES;
    for (var i = value_index(workgroup, workgroups, lane); i < p.len; i += step) {
        let bits = gradient[i];
        gradient[i] = UNWRITTEN;
        sums[i] += bitcast<f32>(bits) * bitcast<f32>(turn[3]);
        let magnitude = bits & 0x7fffffff;
        let is_bad = bits == UNWRITTEN;
        let is_infinite = magnitude >= 0x7f800000;
        bad += select(0u, 1u, is_bad);
        infinite += select(0u, 1u, is_infinite && !is_bad);
        nonzero += select(0u, 1u, magnitude != 0 && !is_infinite);
    }
    let first = COUNTS * turn[0];
    if bad + infinite > 0 {
        atomicAdd(&counts[first], bad);
        atomicAdd(&counts[first + 1], infinite);
    }
    if nonzero > 0 {
        atomicAdd(&counts[first + 2], nonzero);
    }
}

// Values in half precision, two to a word. What it can't hold becomes its largest value, and is counted: what drivers
// make of it is not defined.

struct Params {
    len: u32,
    // Which of the micro-batch's counts.
    count: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Number of the micro-batch within the lease.
@group(0) @binding(1) var<storage, read> turn: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> halves: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;

const LARGEST: f32 = 65504.0;

var<private> bad: u32;

fn bounded(i: u32) -> f32 {
    if i >= p.len {
        return 0.0;
    }
    let bits = bitcast<u32>(values[i]);
    // By its bits, as comparisons need not tell what is no number.
    if (bits & 0x7fffffff) > bitcast<u32>(LARGEST) {
        bad++;
        return select(LARGEST, -LARGEST, bits > 0x7fffffff);
    }
    return values[i];
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let word = value_index(workgroup, workgroups, lane);
    if 2 * word >= p.len {
        return;
    }
    halves[word] = pack2x16float(vec2f(bounded(2 * word), bounded(2 * word + 1)));
    if bad > 0 {
        atomicAdd(&counts[COUNTS * turn[0] + p.count], bad);
    }
}

// A checksum of values that depends on their places and on the lease's nonce: what is read back must have it, or
// is not what this lease computed.

struct Params {
    len: u32,
    // Number of the first value's place.
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// The lease's nonce.
@group(0) @binding(1) var<storage, read> turn: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<u32>;
@group(0) @binding(3) var<storage, read_write> seal: array<atomic<u32>>;

fn mixed(word: u32) -> u32 {
    // The finalizer of MurmurHash3.
    var h = word;
    h ^= h >> 16;
    h *= 0x85ebca6b;
    h ^= h >> 13;
    h *= 0xc2b2ae35;
    h ^= h >> 16;
    return h;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    var sum = 0u;
    let step = workgroups.x * workgroups.y * LANES;
    for (var i = value_index(workgroup, workgroups, lane); i < p.len; i += step) {
        sum += mixed(values[i] ^ mixed((p.first + i) ^ turn[1]));
    }
    atomicAdd(&seal[0], sum);
}

// output[i] = input[i] · scale where word i of the noise is at least the threshold, else 0. The gradient goes
// through the same function. The noise is Threefry-2x32 with 20 rounds.

struct Params {
    len: u32,
    // Which two words of the micro-batch's keys are this layer's.
    site: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

fn rotated(word: u32, bits: u32) -> u32 {
    return (word << bits) | (word >> (32 - bits));
}

fn threefry(key0: u32, key1: u32, counter: u32) -> vec2u {
    var rotations = array<u32, 8>(13, 15, 26, 6, 17, 29, 16, 24);
    var keys = array<u32, 3>(key0, key1, 0x1bd11bda ^ key0 ^ key1);
    var x = counter + key0;
    var y = key1;
    for (var round = 0u; round < 20; round++) {
        x += y;
        y = rotated(y, rotations[round % 8]) ^ x;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x += keys[injection % 3];
            y += keys[(injection + 1) % 3] + injection;
        }
    }
    return vec2u(x, y);
}

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
    // Indices come in groups of 32: 16 first words of as many blocks, then their 16 second words.
    let block = threefry(keys[2 * p.site], keys[2 * p.site + 1], i / 32 * 16 + i % 16);
    let word = select(block.x, block.y, i % 32 >= 16);
    output[i] = select(0.0, input[i] * p.scale, word >= p.threshold);
}

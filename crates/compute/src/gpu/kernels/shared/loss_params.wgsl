// A loss over rows of predictions; `tallies` sums each row's loss and how often it was right over a lease.

struct Params {
    rows: u32,
    width: u32,
    // 1 / rows of a sample.
    per_row: f32,
    temperature: f32,
    // 2 / width.
    slope: f32,
    has_classes: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> prediction: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;
@group(0) @binding(4) var<storage, read_write> tallies: array<f32>;
// Its third word is what the loss is multiplied with before it is differentiated: a power of two.
@group(0) @binding(5) var<storage, read> turn: array<u32>;

// What the gradient of a row's loss is multiplied with.
fn factor() -> f32 {
    return p.per_row * bitcast<f32>(turn[2]);
}

fn tally(row: u32, nats: f32, is_correct: bool) {
    tallies[2 * row] += nats;
    tallies[2 * row + 1] += select(0.0, 1.0, is_correct);
}

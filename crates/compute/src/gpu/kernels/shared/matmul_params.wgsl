// Products of matrices, for any strides of the factors, so that each may be transposed.

struct Params {
    rows: u32,
    columns: u32,
    depth: u32,
    left_start: u32,
    left_row: u32,
    left_depth: u32,
    right_start: u32,
    right_depth: u32,
    right_column: u32,
    target_start: u32,
    target_row: u32,
    bias_start: u32,
    batches: u32,
    heads: u32,
    left_sample: u32,
    left_head: u32,
    right_sample: u32,
    right_head: u32,
    target_sample: u32,
    target_head: u32,
    tiles_across: u32,
    first_tile: u32,
    scale: f32,
    activation: u32,
    has_bias: u32,
    has_slope: u32,
    adds: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> products: array<f32>;
@group(0) @binding(5) var<storage, read_write> slopes: array<f32>;

var<private> left_first: u32;
var<private> right_first: u32;

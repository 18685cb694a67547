// Sums of the columns of a matrix.

struct Params {
    rows: u32,
    columns: u32,
    sums_start: u32,
    adds: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

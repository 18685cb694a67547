// target = activation(scale · left · right + bias), for any strides of the factors, so that each may be
// transposed; over `batches` pairs of matrices, which are numbered (sample, head).

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
@group(0) @binding(1) var<storage, read> left: array<f32>;
@group(0) @binding(2) var<storage, read> right: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> products: array<f32>;
@group(0) @binding(5) var<storage, read_write> slopes: array<f32>;

var<private> left_first: u32;
var<private> right_first: u32;

fn left_at(row: u32, k: u32) -> f32 {
    if row >= p.rows || k >= p.depth {
        return 0.0;
    }
    return left[left_first + row * p.left_row + k * p.left_depth];
}

fn right_at(k: u32, column: u32) -> f32 {
    if column >= p.columns || k >= p.depth {
        return 0.0;
    }
    return right[right_first + k * p.right_depth + column * p.right_column];
}

@compute @workgroup_size(ROWS * COLUMNS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) invocation: u32) {
    let sample = workgroup.z / p.heads;
    let head = workgroup.z % p.heads;
    left_first = p.left_start + sample * p.left_sample + head * p.left_head;
    right_first = p.right_start + sample * p.right_sample + head * p.right_head;
    let tile = p.first_tile + workgroup.x;
    let first_row = tile / p.tiles_across * 4 * ROWS;
    let first_column = tile % p.tiles_across * 4 * COLUMNS;
    let sums = tile_sums(first_row, first_column, 0, p.depth, invocation);
    let target_first = p.target_start + sample * p.target_sample + head * p.target_head;
    for (var r = 0u; r < 4; r++) {
        let row = first_row + 4 * (invocation / COLUMNS) + r;
        for (var c = 0u; c < 4; c++) {
            let column = first_column + 4 * (invocation % COLUMNS) + c;
            if row >= p.rows || column >= p.columns {
                continue;
            }
            var value = sums[r][c] * p.scale;
            if p.has_bias != 0 {
                value += bias[p.bias_start + column];
            }
            let activated = activate(p.activation, value);
            let at = target_first + row * p.target_row + column;
            if p.adds != 0 {
                products[at] += activated.value;
            } else {
                products[at] = activated.value;
            }
            if p.has_slope != 0 {
                slopes[at] = activated.slope;
            }
        }
    }
}

// One tile of a product (rows, depth) · (depth, columns). An invocation has 4 rows and 4 columns of it in
// registers; slabs of both factors go through workgroup memory, four rows or columns to a vector.
//
// The kernel has: fn left_at(row: u32, k: u32) -> f32 and fn right_at(k: u32, column: u32) -> f32,
// both zero outside.

// Invocations along the rows and the columns of a tile, and the depth of a slab.
override ROWS: u32 = 16;
override COLUMNS: u32 = 16;
override DEPTH: u32 = 16;
// Whether neighboring invocations load along the depth (where it lies contiguous) or along rows or columns.
override LEFT_ALONG_DEPTH: bool = false;
override RIGHT_ALONG_DEPTH: bool = false;

// The largest slabs of any shape: 12 KiB together.
var<workgroup> left_slab: array<vec4f, 512>;
var<workgroup> right_slab: array<vec4f, 256>;

fn load_slabs(first_row: u32, first_column: u32, first_k: u32, invocation: u32) {
    let invocations = ROWS * COLUMNS;
    for (var slot = invocation; slot < ROWS * DEPTH; slot += invocations) {
        var four = slot % ROWS;
        var k = slot / ROWS;
        if LEFT_ALONG_DEPTH {
            four = slot / DEPTH;
            k = slot % DEPTH;
        }
        let row = first_row + 4 * four;
        left_slab[k * ROWS + four] = vec4f(
            left_at(row, first_k + k),
            left_at(row + 1, first_k + k),
            left_at(row + 2, first_k + k),
            left_at(row + 3, first_k + k),
        );
    }
    for (var slot = invocation; slot < COLUMNS * DEPTH; slot += invocations) {
        var four = slot % COLUMNS;
        var k = slot / COLUMNS;
        if RIGHT_ALONG_DEPTH {
            four = slot / DEPTH;
            k = slot % DEPTH;
        }
        let column = first_column + 4 * four;
        right_slab[k * COLUMNS + four] = vec4f(
            right_at(first_k + k, column),
            right_at(first_k + k, column + 1),
            right_at(first_k + k, column + 2),
            right_at(first_k + k, column + 3),
        );
    }
}

// The sums over depths begin..end, of which the invocation has rows 4 · (invocation / COLUMNS) .. and columns
// 4 · (invocation % COLUMNS) .. of the tile.
fn tile_sums(first_row: u32, first_column: u32, begin: u32, end: u32, invocation: u32) -> mat4x4f {
    let row = invocation / COLUMNS;
    let column = invocation % COLUMNS;
    var sum0 = vec4f();
    var sum1 = vec4f();
    var sum2 = vec4f();
    var sum3 = vec4f();
    for (var first_k = begin; first_k < end; first_k += DEPTH) {
        load_slabs(first_row, first_column, first_k, invocation);
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let a = left_slab[k * ROWS + row];
            let b = right_slab[k * COLUMNS + column];
            sum0 += a.x * b;
            sum1 += a.y * b;
            sum2 += a.z * b;
            sum3 += a.w * b;
        }
        workgroupBarrier();
    }
    // One row a "column" of the matrix type.
    return mat4x4f(sum0, sum1, sum2, sum3);
}

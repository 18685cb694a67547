// One block of a product in an invocation's registers: 8 rows and 4 columns, or 8 where WIDE. There is no workgroup
// memory and no barrier, which are what software adapters are slowest at.
//
// The kernel has: fn put(row: u32, column: u32, sum: f32), which is only called inside of the product.

// Invocations along the rows and the columns of a workgroup's tile.
override ROWS: u32 = 16;
override COLUMNS: u32 = 4;
override WIDE: bool = false;

// One vector a row; `b` has the columns from the fifth on.
struct Sums {
    a0: vec4f, a1: vec4f, a2: vec4f, a3: vec4f, a4: vec4f, a5: vec4f, a6: vec4f, a7: vec4f,
    b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f, b4: vec4f, b5: vec4f, b6: vec4f, b7: vec4f,
}

// The first four rows of an invocation, if there were no end to them.
fn block_rows(tile: u32, invocation: u32) -> vec4u {
    return (tile / p.tiles_across * ROWS + invocation / COLUMNS) * 8 + vec4u(0, 1, 2, 3);
}

// Its first four columns: neighbors have the ones in between, so that they load what lies side by side.
fn block_columns(tile: u32, invocation: u32) -> vec4u {
    let width = select(4u, 8u, WIDE) * COLUMNS;
    return tile % p.tiles_across * width + invocation % COLUMNS + COLUMNS * vec4u(0, 1, 2, 3);
}

// Adds the products of one depth: of 8 rows and 4 or 8 columns.
fn take(sums: ptr<function, Sums>, upper: vec4f, lower: vec4f, near: vec4f, far: vec4f) {
    (*sums).a0 += upper.x * near;
    (*sums).a1 += upper.y * near;
    (*sums).a2 += upper.z * near;
    (*sums).a3 += upper.w * near;
    (*sums).a4 += lower.x * near;
    (*sums).a5 += lower.y * near;
    (*sums).a6 += lower.z * near;
    (*sums).a7 += lower.w * near;
    if WIDE {
        (*sums).b0 += upper.x * far;
        (*sums).b1 += upper.y * far;
        (*sums).b2 += upper.z * far;
        (*sums).b3 += upper.w * far;
        (*sums).b4 += lower.x * far;
        (*sums).b5 += lower.y * far;
        (*sums).b6 += lower.z * far;
        (*sums).b7 += lower.w * far;
    }
}

fn near_sums(sums: ptr<function, Sums>, r: u32) -> vec4f {
    switch r {
        case 0: { return (*sums).a0; }
        case 1: { return (*sums).a1; }
        case 2: { return (*sums).a2; }
        case 3: { return (*sums).a3; }
        case 4: { return (*sums).a4; }
        case 5: { return (*sums).a5; }
        case 6: { return (*sums).a6; }
        default: { return (*sums).a7; }
    }
}

fn far_sums(sums: ptr<function, Sums>, r: u32) -> vec4f {
    switch r {
        case 0: { return (*sums).b0; }
        case 1: { return (*sums).b1; }
        case 2: { return (*sums).b2; }
        case 3: { return (*sums).b3; }
        case 4: { return (*sums).b4; }
        case 5: { return (*sums).b5; }
        case 6: { return (*sums).b6; }
        default: { return (*sums).b7; }
    }
}

fn put_four(row: u32, first_column: u32, sums: vec4f) {
    for (var c = 0u; c < 4; c++) {
        let column = first_column + c * COLUMNS;
        if column < p.columns {
            put(row, column, sums[c]);
        }
    }
}

fn put_block(sums: ptr<function, Sums>, first_row: u32, first_column: u32) {
    for (var r = 0u; r < 8 && first_row + r < p.rows; r++) {
        put_four(first_row + r, first_column, near_sums(sums, r));
        if WIDE {
            put_four(first_row + r, first_column + 4 * COLUMNS, far_sums(sums, r));
        }
    }
}

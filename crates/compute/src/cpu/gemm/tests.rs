//! Every path against the naive chains, bit by bit.

use proptest::prelude::*;
use tabswarm_model::ArithmeticClass;

use super::{DEPTH_BLOCK, Gemm, Left, Offsets, Path, ROW_BLOCK, Right, Target};

/// Sizes around every tile height, panel width and vector width in use, and a few primes.
const SIZES: [usize; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 33, 37];

/// Numbers with full mantissas, so that every rounding shows.
fn values(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

fn transpose(values: &[f32], rows: usize) -> Vec<f32> {
    let cols = values.len() / rows;
    (0..values.len())
        .map(|i| values[i % rows * cols + i / rows])
        .collect()
}

/// The definition: one chain per element, from what `target` holds.
fn naive(class: ArithmeticClass, left: &[f32], right: &[f32], cols: usize, target: &mut [f32]) {
    let depth = right.len() / cols;
    for (idx, target) in target.iter_mut().enumerate() {
        let (row, col) = (idx / cols, idx % cols);
        for k in 0..depth {
            let (a, b) = (left[row * depth + k], right[k * cols + col]);
            *target = match class {
                ArithmeticClass::Portable => *target + a * b,
                ArithmeticClass::Fused => a.mul_add(b, *target),
            };
        }
    }
}

fn rights<'a>(right: &'a [f32], right_t: &'a [f32], depth: usize, cols: usize) -> [Right<'a>; 2] {
    [
        Right::RowMajor {
            values: right,
            stride: cols,
        },
        Right::Transposed {
            values: right_t,
            stride: depth,
        },
    ]
}

fn target(values: &mut [f32], stride: usize, accumulate: bool) -> Target<'_> {
    Target {
        values,
        stride,
        accumulate,
    }
}

/// Checks all combinations of operand layouts, from zero and accumulating, on every available path.
fn check(rows: usize, depth: usize, cols: usize) {
    check_values(
        &values(rows * depth, 1),
        &values(depth * cols, 2),
        rows,
        cols,
    );
}

fn check_values(left: &[f32], right: &[f32], rows: usize, cols: usize) {
    let depth = right.len() / cols;
    let held = values(rows * cols, 3);
    let (left_t, right_t) = (transpose(left, rows), transpose(right, depth));
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut gemm = Gemm::new(path).unwrap();
        let mut panels = gemm.panels(depth, cols);
        gemm.reserve(cols);
        for accumulate in [false, true] {
            let mut expected = if accumulate {
                held.clone()
            } else {
                vec![0.0; held.len()]
            };
            naive(path.class(), left, right, cols, &mut expected);
            let row_places = Offsets::new((0..rows).map(|row| row * depth));
            let depth_places = Offsets::new(0..depth);
            let lefts = [
                Left::RowMajor(left),
                Left::Transposed(&left_t),
                Left::Gathered {
                    values: left,
                    rows: row_places.all(),
                    depths: depth_places.all(),
                },
            ];
            for right in rights(right, &right_t, depth, cols) {
                gemm.pack(&mut panels, right);
                for left in lefts {
                    for is_once in [false, true] {
                        let mut values = if accumulate {
                            held.clone()
                        } else {
                            vec![f32::NAN; held.len()]
                        };
                        let target = target(&mut values, cols, accumulate);
                        if is_once {
                            gemm.product_once(rows, left, (right, depth, cols), target);
                        } else {
                            gemm.product(rows, left, &panels, target);
                        }
                        let mut pairs = values.iter().zip(&expected);
                        let same = pairs.all(|(a, b)| a.to_bits() == b.to_bits());
                        let name = format!("{path:?} {rows}×{depth}×{cols}");
                        assert!(same, "{name} accumulate {accumulate} once {is_once}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_path_equals_the_chains_around_the_tile_sizes() {
    for rows in SIZES {
        for cols in SIZES {
            check(rows, 11, cols);
        }
    }
    for depth in SIZES {
        check(7, depth, 19);
    }
}

#[test]
fn blocking_of_rows_and_depth_does_not_show() {
    for depth in [
        DEPTH_BLOCK - 1,
        DEPTH_BLOCK,
        DEPTH_BLOCK + 1,
        3 * DEPTH_BLOCK + 17,
    ] {
        check(7, depth, 17);
    }
    for rows in [ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1, 2 * ROW_BLOCK + 5] {
        check(rows, DEPTH_BLOCK + 3, 33);
    }
}

#[test]
fn zeros_of_both_signs_are_like_any_other_value() {
    let (rows, depth, cols) = (3 * ROW_BLOCK + 7, 9, 17);
    let mut left = values(rows * depth, 8);
    for (idx, value) in left[ROW_BLOCK * depth..(2 * ROW_BLOCK + 5) * depth]
        .iter_mut()
        .enumerate()
    {
        *value = if idx % 2 == 0 { 0.0 } else { -0.0 };
    }
    check_values(&left, &values(depth * cols, 9), rows, cols);
}

#[test]
fn a_value_that_is_not_finite_reaches_exactly_its_row_and_column() {
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut gemm = Gemm::new(path).unwrap();
        let (mut left, right) = (values(9 * 5, 6), values(5 * 18, 7));
        left[4 * 5 + 2] = f32::NAN;
        let mut panels = gemm.panels(5, 18);
        let values = &right;
        gemm.pack(&mut panels, Right::RowMajor { values, stride: 18 });
        let mut product = vec![0.0; 9 * 18];
        let left = Left::RowMajor(&left);
        gemm.product(9, left, &panels, target(&mut product, 18, false));
        for (idx, value) in product.iter().enumerate() {
            assert_eq!(value.is_nan(), idx / 18 == 4, "{path:?} element {idx}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_path_equals_the_chains_for_any_shape(
        rows in 1_usize..120, depth in 1_usize..300, cols in 1_usize..70
    ) {
        check(rows, depth, cols);
    }
}

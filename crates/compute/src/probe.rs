//! Which arithmetic classes this machine really computes, by known answers.
//!
//! A feature flag says what a CPU claims; a relaxed wasm instruction does not even claim. So before a path is
//! used it multiplies a small matrix whose result differs in every element between the two classes, and
//! the bits must be the expected ones.

use tabswarm_model::ArithmeticClass;

use crate::cpu::gemm::{Gemm, Left, Path, Right, Target};

/// Rows of the test product: more than one tile of any path, and not a multiple of its height.
const ROWS: u16 = 7;
/// Columns of the test product: more than one panel of any path, and not a multiple of its width.
const COLS: u16 = 19;
/// Depth of the test product.
const DEPTH: usize = 2;
/// 2^-12: the product of two odd multiples ends half a unit below the last place of 1.
const UNIT: f32 = 1.0 / 4096.0;

/// The classes that this build computes correctly on this machine, [`ArithmeticClass::Portable`] first.
pub fn supported_classes() -> Vec<ArithmeticClass> {
    [ArithmeticClass::Portable, ArithmeticClass::Fused]
        .into_iter()
        .filter(|&class| fastest_path(class).is_some())
        .collect()
}

/// The fastest path that gives the bits of `class` here.
pub fn fastest_path(class: ArithmeticClass) -> Option<Path> {
    Path::ALL
        .into_iter()
        .find(|&path| path.class() == class && is_correct(path))
}

/// Whether `path` runs here and passes the known-answer test of its class.
pub fn is_correct(path: Path) -> bool {
    let Some(mut gemm) = Gemm::new(path) else {
        return false;
    };
    let (rows, cols) = (usize::from(ROWS), usize::from(COLS));
    // Element (i, j) is 1 · (-1) + (1 + u) · (1 + v), with u and v odd multiples of 2^-12.
    let left: Vec<f32> = (0..ROWS).flat_map(|i| [1.0, 1.0 + odd(i) * UNIT]).collect();
    let mut right = vec![-1.0; cols];
    right.extend((0..COLS).map(|j| 1.0 + odd(j) * UNIT));
    let mut panels = gemm.panels(DEPTH, cols);
    let values = &right;
    let stride = cols;
    gemm.pack(&mut panels, Right::RowMajor { values, stride });
    let mut product = vec![f32::NAN; rows * cols];
    let target = Target {
        values: &mut product,
        stride,
        accumulate: false,
    };
    gemm.product(rows, Left::RowMajor(&left), &panels, target);
    let expected = (0..ROWS).flat_map(|i| (0..COLS).map(move |j| expected(path.class(), i, j)));
    product
        .iter()
        .zip(expected)
        .all(|(got, expected)| got.to_bits() == expected.to_bits())
}

fn odd(idx: u16) -> f32 {
    f32::from(2 * idx + 1)
}

/// Element (i, j) of the test product, from integers.
///
/// With a = 2i + 1 and b = 2j + 1 the exact value is (a + b) · 2^-12 + a · b · 2^-24, which an `f32` holds:
/// the fused answer. Rounded before the addition of -1, the last bit (a · b is odd) is a tie and goes to
/// even: the portable answer.
fn expected(class: ArithmeticClass, i: u16, j: u16) -> f32 {
    let (a, b) = (u32::from(2 * i + 1), u32::from(2 * j + 1));
    let last_bits = match class {
        ArithmeticClass::Fused => a * b,
        // Even in units of 2^-23 is a multiple of four in units of 2^-24.
        ArithmeticClass::Portable => (a * b + 1) / 4 * 4,
    };
    ((a + b) * 4096 + last_bits) as f32 * UNIT * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_answers_differ_in_every_element() {
        for (i, j) in (0..ROWS).flat_map(|i| (0..COLS).map(move |j| (i, j))) {
            let (x, y) = (1.0 + odd(i) * UNIT, 1.0 + odd(j) * UNIT);
            let fused = expected(ArithmeticClass::Fused, i, j);
            let portable = expected(ArithmeticClass::Portable, i, j);
            assert_eq!(fused.to_bits(), x.mul_add(y, -1.0).to_bits());
            assert_eq!(portable.to_bits(), (x * y - 1.0).to_bits());
            assert_ne!(fused.to_bits(), portable.to_bits());
        }
    }

    #[test]
    fn every_available_path_passes_and_no_other_does() {
        for path in Path::ALL {
            assert_eq!(is_correct(path), path.is_available(), "{path:?}");
        }
    }

    #[test]
    fn portable_is_supported_everywhere() {
        assert_eq!(supported_classes()[0], ArithmeticClass::Portable);
    }
}

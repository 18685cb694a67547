//! Errors over the whole range, special values, and one set of bits on all paths.

use super::*;

/// A prime stride through all bit patterns: it meets every exponent, and mantissas without a pattern.
const STRIDE: usize = 509;

fn all_floats() -> impl Iterator<Item = f32> {
    (0..=u32::MAX)
        .step_by(STRIDE)
        .map(f32::from_bits)
        .filter(|x| x.is_finite())
}

/// The largest error over the `wanted` arguments, in units in the last place of the exact result.
fn worst<F: Function>(exact: impl Fn(f64) -> f64, wanted: impl Fn(f32) -> bool) -> f64 {
    let mut worst = 0.0_f64;
    for x in all_floats().filter(|&x| wanted(x)) {
        let exact = exact(f64::from(x));
        let error = (f64::from(scalar::<F>(x)) - exact).abs() / unit(exact);
        assert!(!error.is_nan(), "at {x:e}");
        worst = worst.max(error);
    }
    worst
}

/// One unit in the last place of an `f32` of this size.
fn unit(exact: f64) -> f64 {
    let smallest = f64::from(f32::from_bits(1));
    (exact.abs().log2().floor() - 23.0).exp2().max(smallest)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn gelu(x: f64) -> f64 {
    let v = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    x * sigmoid(v)
}

fn gelu_slope(x: f64) -> f64 {
    let c = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    let v = c * (x + 0.044_715 * x * x * x);
    let s = sigmoid(v);
    let rest = x * s * sigmoid(-v) * c * (1.0 + 3.0 * 0.044_715 * x * x);
    s + if rest.is_nan() { 0.0 } else { rest }
}

#[test]
fn exp_is_within_1_unit() {
    assert!(worst::<Exp>(f64::exp, |x| (-87.0..=0.0).contains(&x)) <= 1.0);
}

#[test]
fn sigmoid_is_within_3_units() {
    assert!(worst::<Sigmoid>(sigmoid, |x| x >= -87.0) <= 3.0);
}

#[test]
fn tanh_is_within_3_units() {
    assert!(worst::<Tanh>(f64::tanh, |_| true) <= 3.0);
}

#[test]
fn gelu_is_within_its_bounds() {
    assert!(worst::<Gelu>(gelu, |x| x >= -1.0) <= 4.0);
    let (mut value_error, mut slope_error) = (0.0_f64, 0.0_f64);
    for x in all_floats() {
        let ([value], [slope]) = gelu::value_and_slope(Scalar, [x]);
        let exact = gelu(f64::from(x));
        value_error = value_error.max((f64::from(value) - exact).abs() / exact.abs().max(1.0));
        slope_error = slope_error.max((f64::from(slope) - gelu_slope(f64::from(x))).abs());
    }
    assert!(value_error <= 2.0_f64.powi(-22), "off by {value_error:e}");
    assert!(slope_error <= 2.0_f64.powi(-22), "off by {slope_error:e}");
}

#[test]
#[expect(clippy::float_cmp, reason = "results that are exact")]
fn special_values() {
    assert_eq!(scalar::<Exp>(0.0), 1.0);
    assert_eq!(scalar::<Exp>(-0.0), 1.0);
    assert!(scalar::<Exp>(-87.0) >= f32::MIN_POSITIVE);
    for x in [-87.1, -1e4, f32::MIN, f32::NEG_INFINITY] {
        assert_eq!(scalar::<Exp>(x).to_bits(), 0);
        assert_eq!(scalar::<Sigmoid>(x).to_bits(), 0);
        assert_eq!(scalar::<Tanh>(x), -1.0);
    }
    for x in [87.1, 1e4, f32::MAX, f32::INFINITY] {
        assert_eq!(scalar::<Sigmoid>(x), 1.0);
        assert_eq!(scalar::<Tanh>(x), 1.0);
        assert_eq!(scalar::<Gelu>(x), x);
    }
    assert_eq!(scalar::<Sigmoid>(0.0), 0.5);
    for x in [0.0, -0.0, 1e-45, -1e-40, 1e-20] {
        assert_eq!(scalar::<Tanh>(x).to_bits(), x.to_bits());
    }
    assert_eq!(scalar::<Gelu>(-1e30), 0.0);
    let nan = f32::NAN;
    assert!(scalar::<Exp>(nan).is_nan() && scalar::<Sigmoid>(nan).is_nan());
    assert!(scalar::<Tanh>(nan).is_nan() && scalar::<Gelu>(nan).is_nan());
}

#[test]
fn known_bits() {
    let bits = [-0.1, -1.0, -5.5, -20.25, -86.9].map(|x| scalar::<Exp>(x).to_bits());
    assert_eq!(
        bits,
        [
            0x3f67_a36d,
            0x3ebc_5ab2,
            0x3b85_ea53,
            0x30dc_9ef1,
            0x00c6_0f89
        ]
    );
}

#[test]
fn all_paths_give_the_same_bits() {
    // An odd length: the last values are computed one by one.
    let mut values: Vec<f32> = all_floats().step_by(97).collect();
    values.truncate(values.len() / 16 * 16 - 3);
    check::<Tanh>(&values);
    check::<Sigmoid>(&values);
    check::<Gelu>(&values);
    check::<Exp>(&values.iter().map(|x| -x.abs()).collect::<Vec<_>>());
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let (mut got, mut slopes) = (values.clone(), vec![0.0; values.len()]);
        gelu_with_slope(path, &mut got, &mut slopes);
        for ((&x, got), slope) in values.iter().zip(got).zip(slopes) {
            let ([value], [expected]) = gelu::value_and_slope(Scalar, [x]);
            assert_eq!(
                (got.to_bits(), slope.to_bits()),
                (value.to_bits(), expected.to_bits())
            );
        }
    }
}

fn check<F: Function>(values: &[f32]) {
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut got = values.to_vec();
        apply::<F>(path, &mut got);
        for (&x, got) in values.iter().zip(got) {
            assert_eq!(got.to_bits(), scalar::<F>(x).to_bits(), "{path:?} {x:e}");
        }
    }
}

//! Every operation of every instruction set against plain Rust, special values included.

use super::*;

use std::marker::PhantomData;

use tabswarm_model::ArithmeticClass;

/// Applies one operation to the lanes of three slices, of one length that is a multiple of every width.
struct Apply<'a, O> {
    operation: PhantomData<O>,
    values: [&'a [f32]; 3],
    results: &'a mut [f32],
}

trait Operation {
    fn apply<I: Isa>(isa: I, a: I::Reg, b: I::Reg, c: I::Reg) -> I::Reg;
    fn expected(class: ArithmeticClass, a: f32, b: f32, c: f32) -> f32;
}

impl<O: Operation> Kernel for Apply<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (at, to) in self.results.chunks_exact_mut(I::LANES).enumerate() {
            let [a, b, c] = self
                .values
                .map(|values| &values[at * I::LANES..][..I::LANES]);
            isa.write(to, O::apply(isa, isa.read(a), isa.read(b), isa.read(c)));
        }
    }
}

macro_rules! operations {
    ($($name:ident ($isa:ident, $class:ident, $a:ident, $b:ident, $c:ident) $apply:expr => $expected:expr;)*) => {
        $(
            struct $name;

            impl Operation for $name {
                #[inline(always)]
                fn apply<I: Isa>($isa: I, $a: I::Reg, $b: I::Reg, $c: I::Reg) -> I::Reg {
                    $apply
                }

                fn expected($class: ArithmeticClass, $a: f32, $b: f32, $c: f32) -> f32 {
                    $expected
                }
            }
        )*

        fn check_all(values: [&[f32]; 3]) {
            $(check::<$name>(stringify!($name), values);)*
        }
    };
}

operations! {
    Splat(isa, _class, a, _b, _c) isa.add(a, isa.splat(1.5)) => a + 1.5;
    Add(isa, _class, a, b, _c) isa.add(a, b) => a + b;
    Sub(isa, _class, a, b, _c) isa.sub(a, b) => a - b;
    Mul(isa, _class, a, b, _c) isa.mul(a, b) => a * b;
    Div(isa, _class, a, b, _c) isa.div(a, b) => a / b;
    Max(isa, _class, a, b, _c) isa.max(a, b) => if a > b { a } else { b };
    Abs(isa, _class, a, _b, _c) isa.abs(a) => a.abs();
    WithSign(isa, _class, a, b, _c) isa.with_sign(isa.abs(a), b) => a.copysign(b);
    SelectLess(isa, _class, a, b, c) isa.select_less((a, b), c, a) => if a < b { c } else { a };
    PowerOfTwo(isa, _class, a, _b, _c) isa.power_of_two(a)
        => f32::from_bits(a.to_bits().wrapping_add(127) << 23);
    MultiplyAdd(isa, class, a, b, c) isa.multiply_add(a, b, c) => match class {
        ArithmeticClass::Fused => b.mul_add(c, a),
        ArithmeticClass::Portable => a + b * c,
    };
}

fn check<O: Operation>(name: &str, values: [&[f32]; 3]) {
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut results = vec![0.0; values[0].len()];
        let operation = PhantomData::<O>;
        run(
            path,
            Apply {
                operation,
                values,
                results: &mut results,
            },
        );
        for (i, got) in results.iter().enumerate() {
            let [a, b, c] = values.map(|values| values[i]);
            let expected = O::expected(path.class(), a, b, c);
            let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
            assert!(
                same,
                "{path:?} {name}({a}, {b}, {c}): {got}, not {expected}"
            );
        }
    }
}

#[test]
fn every_operation_on_every_path_is_the_plain_one() {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        -0.3,
        1.0 + f32::EPSILON,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -1e-45,
        12_582_912.0 - 100.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        7e5,
    ];
    let n = special.len();
    let column =
        |step: usize| -> Vec<f32> { (0..n * n * n).map(|i| special[i / step % n]).collect() };
    check_all([&column(n * n), &column(n), &column(1)]);
}

struct Transpose<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Transpose<'_> {
    /// The size of the square.
    type Output = usize;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> usize {
        let mut square = [isa.splat(0.0); MAX_LANES];
        let rows = self.0.chunks_exact(I::LANES);
        for (reg, row) in square.iter_mut().zip(rows) {
            *reg = isa.read(row);
        }
        isa.transpose(&mut square[..I::LANES]);
        for (to, reg) in self.1.chunks_exact_mut(I::LANES).zip(square) {
            isa.write(to, reg);
        }
        I::LANES
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "values are only moved")]
fn a_transposed_square_has_its_rows_for_columns() {
    let values: Vec<f32> = (0..256).map(|i: u16| f32::from(i)).collect();
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut turned = [0.0; 256];
        let n = run(path, Transpose(&values, &mut turned));
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            assert_eq!(turned[i * n + j], values[j * n + i], "{path:?} {i} {j}");
        }
    }
}

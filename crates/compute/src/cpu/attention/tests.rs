//! Both passes against the formulas of the training graph, to the bit.
#![expect(
    clippy::many_single_char_names,
    reason = "the names that the formulas have"
)]

use tabswarm_model::ArithmeticClass;
use tabswarm_model::graph::op::STRIPES;
use tabswarm_model::graph::shape::AttentionShape;

use super::Attention;
use crate::cpu::gemm::Path;
use crate::cpu::math::{Exp, scalar};

/// The formulas one after the other, in `f32` with the roundings of a class.
struct Naive {
    class: ArithmeticClass,
    shape: AttentionShape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Naive {
    /// One head of one sample's `qkv`.
    fn new(class: ArithmeticClass, shape: AttentionShape, qkv: &[f32], head: usize) -> Self {
        let part = |part: usize| -> Vec<f32> {
            let rows = qkv.chunks_exact(3 * shape.width());
            let first = part * shape.width() + head * shape.head_width;
            rows.flat_map(|row| row[first..first + shape.head_width].to_vec())
                .collect()
        };
        let scale = shape.scale();
        Self {
            class,
            shape,
            q: part(0).iter().map(|q| q * scale).collect(),
            k: part(1),
            v: part(2),
        }
    }

    fn chain(&self, terms: impl Iterator<Item = (f32, f32)>) -> f32 {
        terms.fold(0.0, |acc: f32, (a, b)| match self.class {
            ArithmeticClass::Fused => a.mul_add(b, acc),
            ArithmeticClass::Portable => acc + a * b,
        })
    }

    /// `chain(d: a[i, d] · b[j, d])`.
    fn over_width(&self, a: &[f32], i: usize, b: &[f32], j: usize) -> f32 {
        let w = self.shape.head_width;
        self.chain((0..w).map(|d| (a[i * w + d], b[j * w + d])))
    }

    fn exponentials(&self, i: usize) -> (Vec<f32>, f32, f32) {
        let seen = self.shape.seen(i);
        let s: Vec<f32> = (0..seen)
            .map(|j| self.over_width(&self.q, i, &self.k, j))
            .collect();
        let m = s.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = s.iter().map(|s| scalar::<Exp>(s - m)).collect();
        let mut stripes = [0.0; STRIPES];
        for (j, e) in e.iter().enumerate() {
            stripes[j % STRIPES] += e;
        }
        for half in [8, 4, 2, 1] {
            for s in 0..half {
                stripes[s] += stripes[s + half];
            }
        }
        (e, m, 1.0 / stripes[0])
    }

    /// Output (positions, head width) and statistics (positions, 2).
    fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let w = self.shape.head_width;
        let (mut y, mut statistics) = (Vec::new(), Vec::new());
        for i in 0..self.shape.positions {
            let (e, m, r) = self.exponentials(i);
            let at =
                |d: usize| self.chain(e.iter().enumerate().map(|(j, &e)| (e, self.v[j * w + d])));
            y.extend((0..w).map(|d| at(d) * r));
            statistics.extend([m, r]);
        }
        (y, statistics)
    }

    /// Gradients of queries, keys and values, each (positions, head width).
    fn backward(&self, y: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let (w, n) = (self.shape.head_width, self.shape.positions);
        let (mut p, mut ds) = (vec![0.0; n * n], vec![0.0; n * n]);
        for i in 0..n {
            let (e, _, r) = self.exponentials(i);
            let t = self.over_width(dy, i, y, i);
            for (j, e) in e.iter().enumerate() {
                p[i * n + j] = e * r;
                let dp = self.over_width(dy, i, &self.v, j);
                ds[i * n + j] = p[i * n + j] * (dp - t);
            }
        }
        let seeing = |j: usize| (0..n).filter(move |&i| j < self.shape.seen(i));
        let each = |f: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..n * w).map(|at| f(at / w, at % w)).collect()
        };
        let scale = self.shape.scale();
        let seen = |i: usize| 0..self.shape.seen(i);
        [
            each(&|i, d| self.chain(seen(i).map(|j| (ds[i * n + j], self.k[j * w + d]))) * scale),
            each(&|j, d| self.chain(seeing(j).map(|i| (ds[i * n + j], self.q[i * w + d])))),
            each(&|j, d| self.chain(seeing(j).map(|i| (p[i * n + j], dy[i * w + d])))),
        ]
    }
}

fn numbers(seed: u32, len: usize, size: f32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * size
    };
    (0..len).map(|_| next()).collect()
}

/// A head's columns of (positions, stride) values.
fn columns(values: &[f32], stride: usize, first: usize, width: usize) -> Vec<f32> {
    let rows = values.chunks_exact(stride);
    rows.flat_map(|row| row[first..first + width].to_vec())
        .collect()
}

fn assert_same(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        // Zeros that a tile took in may turn the sign of a zero that stands for nothing.
        let same = got.to_bits() == expected.to_bits();
        assert!(same, "{what} [{i}]: {got:e}, not {expected:e}");
    }
}

fn check(path: Path, shape: AttentionShape, attention: &mut Attention, samples: usize) {
    let sample = shape.positions * shape.width();
    let qkv = numbers(7, samples * 3 * sample, 1.5);
    let dy = numbers(11, samples * sample, 1.0);
    let mut y = vec![f32::NAN; samples * sample];
    let mut statistics = vec![f32::NAN; samples * shape.heads * shape.positions * 2];
    attention.forward(path, &qkv, &mut y, &mut statistics);
    let mut grad = vec![f32::NAN; qkv.len()];
    attention.backward(path, (&qkv, &y, &statistics), &dy, &mut grad);
    for (at, head) in (0..samples).flat_map(|s| (0..shape.heads).map(move |h| (s, h))) {
        let what = |what: &str| format!("{path:?} {shape:?} sample {at} head {head} {what}");
        let (width, w) = (shape.width(), shape.head_width);
        let naive = Naive::new(
            path.class(),
            shape,
            &qkv[at * 3 * sample..][..3 * sample],
            head,
        );
        let (expected, expected_statistics) = naive.forward();
        let y = columns(&y[at * sample..][..sample], width, head * w, w);
        assert_same(&y, &expected, &what("output"));
        let of_head = (at * shape.heads + head) * shape.positions * 2;
        let statistics = &statistics[of_head..][..shape.positions * 2];
        assert_same(statistics, &expected_statistics, &what("statistics"));
        let dy = columns(&dy[at * sample..][..sample], width, head * w, w);
        let expected = naive.backward(&y, &dy);
        for (part, expected) in expected.iter().enumerate() {
            let first = part * width + head * w;
            let got = columns(&grad[at * 3 * sample..][..3 * sample], 3 * width, first, w);
            assert_same(&got, expected, &what(["dq", "dk", "dv"][part]));
        }
    }
}

#[test]
fn all_paths_give_the_bits_of_the_formulas() {
    let shapes = [
        (1, 1, 1),
        (5, 2, 3),
        (16, 1, 16),
        (17, 3, 20),
        (64, 2, 32),
        (71, 1, 8),
        (150, 2, 5),
    ];
    for (positions, heads, head_width) in shapes {
        for causal in [true, false] {
            let shape = AttentionShape {
                positions,
                heads,
                head_width,
                causal,
            };
            for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
                let mut attention = Attention::new(shape);
                check(path, shape, &mut attention, 2);
            }
        }
    }
}

#[test]
fn a_batch_that_went_wrong_leaves_nothing_behind() {
    let shape = AttentionShape {
        positions: 21,
        heads: 2,
        head_width: 5,
        causal: true,
    };
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut attention = Attention::new(shape);
        let sample = shape.positions * shape.width();
        let bad = vec![f32::NAN; 3 * sample];
        let (mut y, mut statistics) = (vec![0.0; sample], vec![0.0; 2 * 21 * 2]);
        attention.forward(path, &bad, &mut y, &mut statistics);
        assert!(y.iter().all(|y| y.is_nan()), "{path:?}");
        let mut grad = vec![0.0; 3 * sample];
        attention.backward(path, (&bad, &y, &statistics), &y, &mut grad);
        assert!(grad.iter().all(|y| y.is_nan()), "{path:?}");
        check(path, shape, &mut attention, 1);
    }
}

#[test]
fn large_scores_neither_overflow_nor_divide_by_zero() {
    let shape = AttentionShape {
        positions: 18,
        heads: 1,
        head_width: 4,
        causal: true,
    };
    let qkv = numbers(3, 18 * 12, 1e15);
    let (mut y, mut statistics) = (vec![0.0; 18 * 4], vec![0.0; 18 * 2]);
    let mut attention = Attention::new(shape);
    attention.forward(Path::Generic, &qkv, &mut y, &mut statistics);
    let mut grad = vec![0.0; qkv.len()];
    let dy = vec![1.0; y.len()];
    attention.backward(Path::Generic, (&qkv, &y, &statistics), &dy, &mut grad);
    assert!(y.iter().chain(&grad).all(|x| x.is_finite()));
}

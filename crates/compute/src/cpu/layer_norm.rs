//! Layer norm: each row is shifted and scaled to mean 0 and variance 1, then scaled and shifted by learned vectors.
//!
//! The formulas and the order of every sum are those of [`Op::LayerNorm`](tabswarm_model::graph::Op); no step
//! is fused, so the bits are the same in both classes. Rows are taken in chunks of one value a stripe, the
//! last one filled up with values that add nothing.

use tabswarm_model::graph::op::STRIPES;

use super::gemm::Path;
use super::isa::stripes::{Chunk, Stripes, padded, part};
use super::isa::{self, Isa, Kernel};

/// What the forward pass knows of the layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerNorm<'a> {
    /// (width).
    pub(crate) gain: &'a [f32],
    /// (width).
    pub(crate) bias: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// Where the gradients go.
#[derive(Debug)]
pub(crate) struct Gradients<'a> {
    /// (width), added to what is there.
    pub(crate) gain: &'a mut [f32],
    /// (width), added to what is there.
    pub(crate) bias: &'a mut [f32],
    /// (rows, width); none where nothing before the layer needs it.
    pub(crate) input: Option<&'a mut [f32]>,
}

/// Writes `output (rows, width)` and `statistics (rows, 2)`: mean and reciprocal standard deviation.
pub(crate) fn forward(
    path: Path,
    layer: LayerNorm<'_>,
    input: &[f32],
    output: &mut [f32],
    statistics: &mut [f32],
) {
    let width = layer.gain.len();
    assert_eq!(layer.bias.len(), width, "a bias for each gain");
    assert_eq!(input.len(), output.len(), "an output for each input");
    assert_eq!(statistics.len(), input.len() / width * 2, "two a row");
    isa::run(
        path,
        Forward {
            layer,
            input,
            output,
            statistics,
        },
    );
}

/// Writes the gradient of the input and adds to those of gain and bias, from the forward pass's input and
/// statistics and the gradient of its output.
pub(crate) fn backward(
    path: Path,
    gain: &[f32],
    (input, statistics): (&[f32], &[f32]),
    grad_output: &[f32],
    gradients: Gradients<'_>,
) {
    let width = gain.len();
    assert_eq!(gradients.gain.len(), width, "a gradient for each gain");
    assert_eq!(gradients.bias.len(), width, "a gradient for each bias");
    assert_eq!(input.len(), grad_output.len(), "a gradient for each output");
    assert_eq!(statistics.len(), input.len() / width * 2, "two a row");
    isa::run(
        path,
        Backward {
            gain,
            input,
            statistics,
            grad_output,
            gradients,
        },
    );
}

struct Forward<'a> {
    layer: LayerNorm<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
    statistics: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let LayerNorm {
            gain,
            bias,
            epsilon,
        } = self.layer;
        let width = gain.len();
        let (statistics, _) = self.statistics.as_chunks_mut::<2>();
        let rows = self.input.chunks_exact(width);
        let rows = rows.zip(self.output.chunks_exact_mut(width));
        for ((x, y), statistics) in rows.zip(statistics) {
            let mean = row_mean(isa, x);
            let rstd = 1.0 / (row_variance(isa, x, mean) + epsilon).sqrt();
            normalize_row(isa, [x, gain, bias], [mean, rstd], y);
            *statistics = [mean, rstd];
        }
    }
}

#[inline(always)]
fn row_mean<I: Isa>(isa: I, x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks();
    let mut sum = Stripes::new(isa);
    for chunk in chunks {
        add_values(isa, chunk, &mut sum);
    }
    if !rest.is_empty() {
        add_values(isa, &padded(rest, 0.0), &mut sum);
    }
    sum.total(isa) / x.len() as f32
}

#[inline(always)]
fn add_values<I: Isa>(isa: I, x: &Chunk, sum: &mut Stripes<I>) {
    for at in (0..STRIPES).step_by(I::LANES) {
        sum.add(isa, at, part(isa, x, at));
    }
}

#[inline(always)]
fn row_variance<I: Isa>(isa: I, x: &[f32], mean: f32) -> f32 {
    let (chunks, rest) = x.as_chunks();
    let mut sum = Stripes::new(isa);
    for chunk in chunks {
        add_squares(isa, chunk, mean, &mut sum);
    }
    if !rest.is_empty() {
        // The mean differs by zero from itself.
        add_squares(isa, &padded(rest, mean), mean, &mut sum);
    }
    sum.total(isa) / x.len() as f32
}

#[inline(always)]
fn add_squares<I: Isa>(isa: I, x: &Chunk, mean: f32, sum: &mut Stripes<I>) {
    let mean = isa.splat(mean);
    for at in (0..STRIPES).step_by(I::LANES) {
        let difference = isa.sub(part(isa, x, at), mean);
        sum.add(isa, at, isa.mul(difference, difference));
    }
}

#[inline(always)]
fn normalize_row<I: Isa>(isa: I, inputs: [&[f32]; 3], statistics: [f32; 2], y: &mut [f32]) {
    let [(x, x_rest), (gain, gain_rest), (bias, bias_rest)] = inputs.map(<[f32]>::as_chunks);
    let (y, y_rest) = y.as_chunks_mut();
    for (((x, gain), bias), y) in x.iter().zip(gain).zip(bias).zip(y) {
        normalize(isa, [x, gain, bias], statistics, y);
    }
    if !y_rest.is_empty() {
        let [x, gain, bias] = [x_rest, gain_rest, bias_rest].map(|rest| padded(rest, 0.0));
        let mut y = [0.0; STRIPES];
        normalize(isa, [&x, &gain, &bias], statistics, &mut y);
        y_rest.copy_from_slice(&y[..y_rest.len()]);
    }
}

#[inline(always)]
fn normalize<I: Isa>(isa: I, [x, gain, bias]: [&Chunk; 3], [mean, rstd]: [f32; 2], y: &mut Chunk) {
    let (mean, rstd) = (isa.splat(mean), isa.splat(rstd));
    for (at, y) in (0..).step_by(I::LANES).zip(y.chunks_exact_mut(I::LANES)) {
        let z = isa.mul(isa.sub(part(isa, x, at), mean), rstd);
        let scaled = isa.mul(z, part(isa, gain, at));
        isa.write(y, isa.add(scaled, part(isa, bias, at)));
    }
}

struct Backward<'a> {
    gain: &'a [f32],
    input: &'a [f32],
    statistics: &'a [f32],
    grad_output: &'a [f32],
    gradients: Gradients<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let width = self.gain.len();
        let gradients = self.gradients;
        let mut inputs = gradients.input.map(|inputs| inputs.chunks_exact_mut(width));
        let (statistics, _) = self.statistics.as_chunks::<2>();
        let rows = self.input.chunks_exact(width);
        let rows = rows.zip(self.grad_output.chunks_exact(width));
        for ((x, dy), &statistics) in rows.zip(statistics) {
            let row = Row {
                x,
                dy,
                gain: self.gain,
                statistics,
            };
            let means = row.add_parameters(isa, gradients.gain, gradients.bias);
            if let Some(dx) = inputs.as_mut().and_then(Iterator::next) {
                row.write_input(isa, means, dx);
            }
        }
    }
}

/// What the backward pass knows of one row.
#[derive(Clone, Copy)]
struct Row<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    gain: &'a [f32],
    /// Mean and `rstd`.
    statistics: [f32; 2],
}

/// One chunk of a [`Row`].
#[derive(Clone, Copy)]
struct RowChunk<'a> {
    x: &'a Chunk,
    dy: &'a Chunk,
    gain: &'a Chunk,
    statistics: [f32; 2],
}

impl Row<'_> {
    /// Adds to the gradients of gain and bias; returns the means `a` of `g` and `b` of `g · z`.
    #[inline(always)]
    fn add_parameters<I: Isa>(self, isa: I, d_gain: &mut [f32], d_bias: &mut [f32]) -> [f32; 2] {
        let mut sums = [Stripes::new(isa), Stripes::new(isa)];
        let (d_gain, d_gain_rest) = d_gain.as_chunks_mut();
        let (d_bias, d_bias_rest) = d_bias.as_chunks_mut();
        let targets = d_gain.iter_mut().zip(d_bias);
        for (chunk, (d_gain, d_bias)) in self.chunks().zip(targets) {
            chunk.add_parameters(isa, d_gain, d_bias, &mut sums);
        }
        if !d_gain_rest.is_empty() {
            let [mut d_gain, mut d_bias] = [&*d_gain_rest, &*d_bias_rest].map(|x| padded(x, 0.0));
            self.with_rest(|chunk| {
                chunk.add_parameters(isa, &mut d_gain, &mut d_bias, &mut sums);
            });
            d_gain_rest.copy_from_slice(&d_gain[..d_gain_rest.len()]);
            d_bias_rest.copy_from_slice(&d_bias[..d_bias_rest.len()]);
        }
        let width = self.x.len() as f32;
        [sums[0].total(isa) / width, sums[1].total(isa) / width]
    }

    #[inline(always)]
    fn write_input<I: Isa>(self, isa: I, means: [f32; 2], dx: &mut [f32]) {
        let (dx, dx_rest) = dx.as_chunks_mut();
        for (chunk, dx) in self.chunks().zip(dx) {
            chunk.write_input(isa, means, dx);
        }
        if !dx_rest.is_empty() {
            let mut dx = [0.0; STRIPES];
            self.with_rest(|chunk| chunk.write_input(isa, means, &mut dx));
            dx_rest.copy_from_slice(&dx[..dx_rest.len()]);
        }
    }

    #[inline(always)]
    fn chunks(&self) -> impl Iterator<Item = RowChunk<'_>> {
        let [(x, _), (dy, _), (gain, _)] = [self.x, self.dy, self.gain].map(<[f32]>::as_chunks);
        let statistics = self.statistics;
        x.iter()
            .zip(dy)
            .zip(gain)
            .map(move |((x, dy), gain)| RowChunk {
                x,
                dy,
                gain,
                statistics,
            })
    }

    /// Calls `with` with what is left over, filled up with zeros: `g` is zero there, so nothing is added.
    #[inline(always)]
    fn with_rest(&self, with: impl FnOnce(RowChunk<'_>)) {
        let [x, dy, gain] = [self.x, self.dy, self.gain].map(|values| {
            let (_, rest) = values.as_chunks::<STRIPES>();
            padded(rest, 0.0)
        });
        with(RowChunk {
            x: &x,
            dy: &dy,
            gain: &gain,
            statistics: self.statistics,
        });
    }
}

impl RowChunk<'_> {
    /// `z`, `dy` and `g` of the register at `at`.
    #[inline(always)]
    fn terms<I: Isa>(self, isa: I, at: usize) -> [I::Reg; 3] {
        let [mean, rstd] = self.statistics;
        let (mean, rstd) = (isa.splat(mean), isa.splat(rstd));
        let z = isa.mul(isa.sub(part(isa, self.x, at), mean), rstd);
        let dy = part(isa, self.dy, at);
        [z, dy, isa.mul(dy, part(isa, self.gain, at))]
    }

    #[inline(always)]
    fn add_parameters<I: Isa>(
        self,
        isa: I,
        d_gain: &mut Chunk,
        d_bias: &mut Chunk,
        [sum_g, sum_gz]: &mut [Stripes<I>; 2],
    ) {
        let d_gain = d_gain.chunks_exact_mut(I::LANES);
        let targets = d_gain.zip(d_bias.chunks_exact_mut(I::LANES));
        for (at, (d_gain, d_bias)) in (0..).step_by(I::LANES).zip(targets) {
            let [z, dy, g] = self.terms(isa, at);
            isa.write(d_gain, isa.add(isa.read(d_gain), isa.mul(dy, z)));
            isa.write(d_bias, isa.add(isa.read(d_bias), dy));
            sum_g.add(isa, at, g);
            sum_gz.add(isa, at, isa.mul(g, z));
        }
    }

    #[inline(always)]
    fn write_input<I: Isa>(self, isa: I, [a, b]: [f32; 2], dx: &mut Chunk) {
        let rstd = isa.splat(self.statistics[1]);
        for (at, dx) in (0..).step_by(I::LANES).zip(dx.chunks_exact_mut(I::LANES)) {
            let [z, _, g] = self.terms(isa, at);
            let rest = isa.sub(isa.sub(g, isa.splat(a)), isa.mul(z, isa.splat(b)));
            isa.write(dx, isa.mul(rest, rstd));
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::many_single_char_names,
    reason = "the names that the formulas have"
)]
mod tests {
    use super::*;

    fn striped(values: impl Iterator<Item = f32>) -> f32 {
        let mut stripes = [0.0; STRIPES];
        for (j, value) in values.enumerate() {
            stripes[j % STRIPES] += value;
        }
        for half in [8, 4, 2, 1] {
            for s in 0..half {
                stripes[s] += stripes[s + half];
            }
        }
        stripes[0]
    }

    fn numbers(seed: usize, len: usize) -> Vec<f32> {
        let number = |i: usize| ((i + seed) * 7_919 % 4_096) as f32 / 1_024.0 - 1.7;
        (0..len).map(number).collect()
    }

    #[test]
    fn all_paths_give_the_bits_of_the_formulas() {
        for (rows, width) in [(1, 1), (3, 2), (2, 7), (5, 16), (4, 31), (3, 48), (2, 129)] {
            for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
                check(path, rows, width);
            }
        }
    }

    fn check(path: Path, rows: usize, width: usize) {
        let (gain, bias) = (numbers(1, width), numbers(2, width));
        let (x, dy) = (numbers(3, rows * width), numbers(5, rows * width));
        let layer = LayerNorm {
            gain: &gain,
            bias: &bias,
            epsilon: 1e-5,
        };
        let (mut y, mut statistics) = (vec![f32::NAN; x.len()], vec![f32::NAN; rows * 2]);
        forward(path, layer, &x, &mut y, &mut statistics);
        let mut got = [vec![0.0; width], vec![0.0; width], vec![f32::NAN; x.len()]];
        let [d_gain, d_bias, dx] = &mut got;
        let gradients = Gradients {
            gain: d_gain,
            bias: d_bias,
            input: Some(dx),
        };
        backward(path, &gain, (&x, &statistics), &dy, gradients);

        let mut expected = [vec![0.0; width], vec![0.0; width], Vec::new()];
        let n = width as f32;
        for row in 0..rows {
            let of = |values: &[f32]| values[row * width..][..width].to_vec();
            let (x, dy, y) = (of(&x), of(&dy), of(&y));
            let mean = striped(x.iter().copied()) / n;
            let variance = striped(x.iter().map(|x| (x - mean) * (x - mean))) / n;
            let rstd = 1.0 / (variance + 1e-5).sqrt();
            let z: Vec<f32> = x.iter().map(|x| (x - mean) * rstd).collect();
            let g: Vec<f32> = dy.iter().zip(&gain).map(|(dy, gain)| dy * gain).collect();
            let a = striped(g.iter().copied()) / n;
            let b = striped(g.iter().zip(&z).map(|(g, z)| g * z)) / n;
            for j in 0..width {
                assert_eq!(
                    y[j].to_bits(),
                    (z[j] * gain[j] + bias[j]).to_bits(),
                    "{path:?}"
                );
                expected[0][j] += dy[j] * z[j];
                expected[1][j] += dy[j];
                expected[2].push((g[j] - a - z[j] * b) * rstd);
            }
            assert_eq!(statistics[row * 2..][..2], [mean, rstd]);
        }
        let bits = |values: &Vec<f32>| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            got.each_ref().map(bits),
            expected.each_ref().map(bits),
            "{path:?} {width}"
        );
    }
}

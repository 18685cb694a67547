//! The operations of a training graph and their exact arithmetic.
//!
//! # Notation
//!
//! A batch has `n` samples. An operation on the last axis treats a sample as `rows` rows and so sees `n · rows`
//! rows, in the order of samples and of rows within a sample. All gradients are those of the *sum* of the
//! losses of the batch.
//!
//! Bits are part of a run's definition, so each formula below fixes its roundings:
//!
//! - `chain(k: a · b)`: an accumulator starts at +0 and takes up one product after the other over increasing
//!   `k`. In the portable class the product is rounded, then the sum; in the fused class both are one rounding.
//!   Nothing else differs between the classes.
//! - `sum(k: x)`: the same without a product: `acc = acc + x` over increasing `k` from +0.
//! - `striped(k: x)`: [`STRIPES`] such sums, the `s`-th over the `k` with `k mod STRIPES = s`, added up in
//!   halves: stripe `s` takes in stripe `s + 8`, then `s + 4`, `s + 2` and `s + 1`.
//! - Everything else is evaluated as written, from left to right where there are no parentheses, and rounded
//!   after each operation. Products inside `sum` and `striped` are rounded before they are added, in both classes.
//! - `/` and `sqrt` are IEEE's. `exp`, `ln`, `tanh`, `sigmoid` and `gelu` are the backend's own functions,
//!   the same code on all machines of a class.
//!
//! Where a factor is zero because it is padding or masked, the product may be left out: the bits of finite
//! numbers are the same, because an accumulator that starts at +0 never becomes -0. (In the fused class it does
//! where the first products underflow. The sign of a zero then depends on what is left out, and nothing more:
//! no formula here and no fixed-point sum tells the two zeros apart.)
//!
//! # Who writes and who adds
//!
//! Every operation *writes* its output buffers, whatever was there. Where a value has two consumers, their
//! gradients are separate buffers that an explicit [`Op::Add`] joins. The gradient of a parameter tensor is
//! written by the first backward operation that has it; only a tensor shared by two layers (a tied embedding)
//! has another, marked `adds`, which continues from what is there instead of +0.

use super::BufferId;
use super::shape::{AttentionShape, ConvShape, PoolShape};
use crate::layout::TensorId;

/// Number of partial sums of a striped sum: a power of two that fills several registers on every machine.
pub const STRIPES: usize = 16;

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The value as it is.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    Gelu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Whether the derivative follows from the function's value alone, so that no slope need be saved.
    pub fn slope_follows_from_output(self) -> bool {
        !matches!(self, Self::Gelu)
    }
}

/// The weights of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DenseWeight {
    /// The tensor.
    pub tensor: TensorId,
    /// False: the tensor is `[in, out]`. True: it is `[out, in]`, an embedding table used backwards.
    pub transposed: bool,
}

/// One operation over buffers and parameter tensors.
///
/// Buffers are written as (n, …) with the sizes of one sample; see the module's notation for the formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// `y = activation(chain(k: x[k] · w[k, j]) + bias[j])` for each of `n · rows` rows.
    ///
    /// The bias is added to the finished chain.
    Dense {
        /// The weights.
        weight: DenseWeight,
        /// `[out]`, where there is one.
        bias: Option<TensorId>,
        /// Rows of a sample.
        rows: usize,
        /// (n, rows, in).
        input: BufferId,
        /// (n, rows, out).
        output: BufferId,
        /// Applied after the bias.
        activation: Activation,
        /// (n, rows, out): the activation's derivative, where the backward pass needs it saved.
        slope: Option<BufferId>,
    },
    /// The gradients of a dense layer; `dy` is the gradient *before* the activation.
    ///
    /// - `d weight[k, j] = chain(row: x[row, k] · dy[row, j])`; with `adds` the chain starts from what is there.
    /// - `d bias[j] = sum(row: dy[row, j])`.
    /// - `dx[row, k] = chain(j: dy[row, j] · w[k, j])`.
    DenseBackward {
        /// The weights.
        weight: DenseWeight,
        /// `[out]`, where there is one.
        bias: Option<TensorId>,
        /// Rows of a sample.
        rows: usize,
        /// (n, rows, in), as it was in the forward pass.
        input: BufferId,
        /// (n, rows, out).
        grad_output: BufferId,
        /// (n, rows, in); none where nothing before needs it.
        grad_input: Option<BufferId>,
        /// Whether the gradient of the weights continues from what an earlier operation wrote.
        adds: bool,
    },
    /// Two-dimensional convolution over images with channels last.
    ///
    /// `y[oy, ox, o] = activation(chain(ky, kx, c: x[oy · sy + ky - py, ox · sx + kx - px, c] · w[ky, kx, c, o]) + bias[o])`,
    /// `c` over the input channels of the group of `o`; outside the image `x` is zero. The last index runs
    /// fastest.
    Conv2d {
        /// [`ConvShape::weight_shape`].
        weight: TensorId,
        /// `[output channels]`, where there is one.
        bias: Option<TensorId>,
        /// Geometry.
        shape: ConvShape,
        /// (n, height, width, channels).
        input: BufferId,
        /// (n, output height, output width, output channels).
        output: BufferId,
        /// Applied after the bias.
        activation: Activation,
        /// As the output: the activation's derivative, where the backward pass needs it saved.
        slope: Option<BufferId>,
    },
    /// The gradients of a convolution; `dy` is the gradient *before* the activation.
    ///
    /// - `d w[ky, kx, c, o] = chain(sample, oy, ox: x[oy · sy + ky - py, ox · sx + kx - px, c] · dy[oy, ox, o])`.
    /// - `d bias[o] = sum(sample, oy, ox: dy[oy, ox, o])`.
    /// - `dx[iy, ix, c] = chain(oy, ox, o: dy[oy, ox, o] · w[iy + py - oy · sy, ix + px - ox · sx, c, o])` over
    ///   the output positions whose window holds the pixel and the output channels of the group of `c`. With a
    ///   stride of 1 this is the forward formula with the kernel turned by 180°.
    Conv2dBackward {
        /// [`ConvShape::weight_shape`].
        weight: TensorId,
        /// `[output channels]`, where there is one.
        bias: Option<TensorId>,
        /// Geometry.
        shape: ConvShape,
        /// As in the forward pass.
        input: BufferId,
        /// As the output.
        grad_output: BufferId,
        /// As the input; none where nothing before needs it.
        grad_input: Option<BufferId>,
    },
    /// The largest value of each window, per channel; the first in the order (ky, kx) if several are equal
    /// (a value replaces the one before only if it is greater).
    MaxPool {
        /// Geometry.
        shape: PoolShape,
        /// (n, height, width, channels).
        input: BufferId,
        /// (n, output height, output width, channels).
        output: BufferId,
        /// As the output: `ky · window width + kx` of the value taken, as a whole number; none where the backward
        /// pass does not need it.
        choice: Option<BufferId>,
    },
    /// `dx[pixel, c] = sum(oy, ox: dy[oy, ox, c])` over the windows that took their value from the pixel.
    MaxPoolBackward {
        /// Geometry.
        shape: PoolShape,
        /// As saved by the forward pass.
        choice: BufferId,
        /// As the output.
        grad_output: BufferId,
        /// As the input.
        grad_input: BufferId,
    },
    /// `y[oy, ox, c] = sum(ky, kx: x[oy · sy + ky, ox · sx + kx, c]) · (1 / area)`, the factor rounded once.
    AvgPool {
        /// Geometry.
        shape: PoolShape,
        /// (n, height, width, channels).
        input: BufferId,
        /// (n, output height, output width, channels).
        output: BufferId,
    },
    /// `dx[pixel, c] = sum(oy, ox: dy[oy, ox, c] · (1 / area))` over the windows that hold the pixel.
    AvgPoolBackward {
        /// Geometry.
        shape: PoolShape,
        /// As the output.
        grad_output: BufferId,
        /// As the input.
        grad_input: BufferId,
    },
    /// `y = activation(x)`, where it could not be joined to the operation before.
    Activate {
        /// The function.
        activation: Activation,
        /// (n, features).
        input: BufferId,
        /// (n, features).
        output: BufferId,
        /// (n, features): the derivative, where the backward pass needs it saved.
        slope: Option<BufferId>,
    },
    /// In place, the gradient before an activation from the gradient after it.
    ///
    /// - `relu`: `grad = 0` wherever the saved *output* is not positive.
    /// - `sigmoid`: `grad = grad · (y · (1 - y))`, `tanh`: `grad = grad · (1 - y · y)`, with the saved *output* `y`.
    /// - `gelu`: `grad = grad · slope`, with the saved *slope*.
    ActivationBackward {
        /// The function.
        activation: Activation,
        /// (n, features): output or slope, see above.
        saved: BufferId,
        /// (n, features).
        grad: BufferId,
    },
    /// While training, each value is dropped (made +0) with a probability, or else multiplied by `scale`.
    /// In a forward pass without a backward pass it copies.
    ///
    /// Element `i` of the batch's (n, features) values is kept where
    /// [](crate::noise::Noise::word)`(i) >= threshold`, for the noise of this `site`.
    Dropout {
        /// Which dropout layer, counted from 0.
        site: u32,
        /// The drop rate in units of 2^-32.
        threshold: u32,
        /// `1 / (1 - rate)`, rounded once.
        scale: f32,
        /// (n, features).
        input: BufferId,
        /// (n, features).
        output: BufferId,
    },
    /// The same mask and factor as in the forward pass, applied to the gradient.
    DropoutBackward {
        /// Which dropout layer.
        site: u32,
        /// As in the forward pass.
        threshold: u32,
        /// As in the forward pass.
        scale: f32,
        /// (n, features).
        grad_output: BufferId,
        /// (n, features).
        grad_input: BufferId,
    },
    /// `y[row] = table[token[row]]`: a row of the table for each token.
    ///
    /// Tokens are whole numbers stored as `f32`; the engine refuses others, and those not below the vocabulary.
    Embedding {
        /// `[vocabulary, width]`.
        table: TensorId,
        /// Tokens of a sample.
        rows: usize,
        /// (n, rows).
        tokens: BufferId,
        /// (n, rows, width).
        output: BufferId,
    },
    /// `d table[v, j] = sum(row with token v: dy[row, j])`; with `adds` the sums start from what is there, not +0.
    EmbeddingBackward {
        /// `[vocabulary, width]`.
        table: TensorId,
        /// Tokens of a sample.
        rows: usize,
        /// (n, rows).
        tokens: BufferId,
        /// (n, rows, width).
        grad_output: BufferId,
        /// Whether the gradient continues from what an earlier operation wrote.
        adds: bool,
    },
    /// `y[sample, i] = x[sample, i] + table[i]`: a learned vector for each position.
    AddPosition {
        /// `[positions, width]`.
        table: TensorId,
        /// (n, positions, width).
        input: BufferId,
        /// (n, positions, width).
        output: BufferId,
    },
    /// `d table[i] = sum(sample: dy[sample, i])`. The gradient of the input is `dy` itself.
    AddPositionBackward {
        /// `[positions, width]`.
        table: TensorId,
        /// (n, positions, width).
        grad_output: BufferId,
    },
    /// Normalizes each row of `width` values:
    ///
    /// - `mean = striped(j: x[j]) / width`
    /// - `variance = striped(j: (x[j] - mean) · (x[j] - mean)) / width`
    /// - `rstd = 1 / sqrt(variance + epsilon)`
    /// - `y[j] = (x[j] - mean) · rstd · gain[j] + bias[j]`
    LayerNorm {
        /// `[width]`.
        gain: TensorId,
        /// `[width]`.
        bias: TensorId,
        /// Rows of a sample.
        rows: usize,
        /// Added to the variance.
        epsilon: f32,
        /// (n, rows, width).
        input: BufferId,
        /// (n, rows, width).
        output: BufferId,
        /// (n, rows, 2): mean and `rstd` of each row.
        statistics: BufferId,
    },
    /// The gradients of a layer norm, with `z[j] = (x[j] - mean) · rstd` and `g[j] = dy[j] · gain[j]`:
    ///
    /// - `d gain[j] = sum(row: dy[row, j] · z[row, j])`, `d bias[j] = sum(row: dy[row, j])`
    /// - `a = striped(j: g[j]) / width`, `b = striped(j: g[j] · z[j]) / width`
    /// - `dx[j] = (g[j] - a - z[j] · b) · rstd`
    LayerNormBackward {
        /// `[width]`.
        gain: TensorId,
        /// `[width]`.
        bias: TensorId,
        /// Rows of a sample.
        rows: usize,
        /// (n, rows, width), as it was in the forward pass.
        input: BufferId,
        /// As saved by the forward pass.
        statistics: BufferId,
        /// (n, rows, width).
        grad_output: BufferId,
        /// (n, rows, width); none where nothing before needs it.
        grad_input: Option<BufferId>,
    },
    /// Scaled dot-product self-attention of each sample and head; projections are dense operations of their own.
    ///
    /// A position of `qkv` holds all heads' queries, then all keys, then all values, each `width` wide; head `h`
    /// has columns `h · head_width ..` of each. With `q'[i] = q[i] · scale` and `j` over the positions seen from `i`:
    ///
    /// - `s[i, j] = chain(d: q'[i, d] · k[j, d])`
    /// - `m[i] = max(j: s[i, j])`, `e[i, j] = exp(s[i, j] - m[i])`, `r[i] = 1 / striped(j: e[i, j])`
    /// - `y[i, d] = chain(j: e[i, j] · v[j, d]) · r[i]`
    Attention {
        /// Geometry.
        shape: AttentionShape,
        /// (n, positions, 3 · width).
        qkv: BufferId,
        /// (n, positions, width).
        output: BufferId,
        /// (n, heads, positions, 2): `m` and `r`.
        statistics: BufferId,
    },
    /// The gradients of queries, keys and values; `s` and `e` are computed again, as in the forward pass:
    ///
    /// - `p[i, j] = e[i, j] · r[i]`
    /// - `dp[i, j] = chain(d: dy[i, d] · v[j, d])`, `t[i] = chain(d: dy[i, d] · y[i, d])`
    /// - `ds[i, j] = p[i, j] · (dp[i, j] - t[i])`
    /// - `dq[i, d] = chain(j: ds[i, j] · k[j, d]) · scale`
    /// - `dk[j, d] = chain(i: ds[i, j] · q'[i, d])`, `dv[j, d] = chain(i: p[i, j] · dy[i, d])`, `i` over the
    ///   positions that see `j`
    AttentionBackward {
        /// Geometry.
        shape: AttentionShape,
        /// (n, positions, 3 · width), as it was in the forward pass.
        qkv: BufferId,
        /// (n, positions, width), as the forward pass left it.
        output: BufferId,
        /// As saved by the forward pass.
        statistics: BufferId,
        /// (n, positions, width).
        grad_output: BufferId,
        /// (n, positions, 3 · width).
        grad_qkv: BufferId,
    },
    /// `output = left + right`: the end of a residual block, and gradients that meet at its beginning.
    Add {
        /// (n, features).
        left: BufferId,
        /// (n, features).
        right: BufferId,
        /// (n, features).
        output: BufferId,
    },
    /// `output = input`, before an operation in place on a gradient that somebody else reads as well.
    Copy {
        /// (n, features).
        input: BufferId,
        /// (n, features).
        output: BufferId,
    },
}

/// What a loss compares the predictions with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// One class index for each row.
    Classes,
    /// `width` values for each row.
    Values,
}

/// The function that is minimized. A sample's loss is the mean over its rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossKind {
    /// Against a class index: `ln(sum(c: exp(z[c] - m))) - (z[label] - m)` with `m = max(c: z[c])`, in nats.
    ///
    /// `grad = (exp(z[c] - m) / sum - onehot[c]) · (1 / rows)`.
    SoftmaxCrossEntropy,
    /// Against probabilities `t` (a teacher's softmax at the same temperature), for distillation, with
    /// `u[c] = z[c] / T`: `(ln(sum(c: exp(u[c] - m))) · sum(c: t[c]) - sum(c: t[c] · (u[c] - m))) · T²`.
    ///
    /// `grad = (exp(u[c] - m) / sum · sum(c: t[c]) - t[c]) · T · (1 / rows)`. The factor T² keeps the gradient's
    /// size when the temperature changes.
    SoftTargets {
        /// `T`, above 0.
        temperature: f32,
    },
    /// `sum(j: (y[j] - t[j]) · (y[j] - t[j])) / width`; a class index stands for `t = onehot`.
    ///
    /// `grad = (y[j] - t[j]) · (2 / width) · (1 / rows)`.
    MeanSquaredError {
        /// What `t` is.
        targets: Targets,
    },
}

/// The end of the forward pass: the loss of each sample and its gradient.
///
/// The loss of a sample is the sum of its rows' losses in double precision, in order, divided by `rows`, and
/// rounded once to the fixed-point unit in which losses are added up. `1 / rows` in the gradients is rounded
/// once to `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The function.
    pub kind: LossKind,
    /// Rows of a sample; each has a target.
    pub rows: usize,
    /// Values of a row: classes, or outputs.
    pub width: usize,
    /// (n, rows, width): what the last layer gives.
    pub prediction: BufferId,
    /// (n, rows, width).
    pub grad: BufferId,
}

impl Loss {
    /// What the predictions are compared with.
    pub fn targets(&self) -> Targets {
        match self.kind {
            LossKind::SoftmaxCrossEntropy => Targets::Classes,
            LossKind::SoftTargets { .. } => Targets::Values,
            LossKind::MeanSquaredError { targets } => targets,
        }
    }
}

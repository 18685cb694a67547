//! The readable reference: a naive interpreter of the training graph in double precision.
//!
//! Every formula is written as the graph's documentation has it, one value at a time. Nothing is fast here, and
//! nothing is shared with the engine but the graph itself and the noise of dropout.

mod attention;
mod dense;
mod images;
mod loss;
mod norm;

use tabswarm_compute::bits::Case;
use tabswarm_model::Graph;
use tabswarm_model::graph::{Activation, BufferId, Op, Step, Targets};
use tabswarm_model::layout::TensorId;
use tabswarm_model::noise::NoiseKey;

/// What a batch is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// A class for each row of each sample.
    Classes(&'a [u16]),
    /// Values for each row of each sample.
    Values(&'a [f64]),
}

/// Hands the targets that a case's loss wants to `f`, in double precision.
pub(crate) fn with_expected<R>(case: &Case, f: impl FnOnce(Expected<'_>) -> R) -> R {
    match case.graph.loss.targets() {
        Targets::Classes => f(Expected::Classes(&case.labels)),
        Targets::Values => {
            let values: Vec<f64> = case.values.iter().map(|&v| v.into()).collect();
            f(Expected::Values(&values))
        }
    }
}

/// Interprets a graph for one batch.
pub(crate) struct Reference<'a> {
    graph: &'a Graph,
    params: &'a [f64],
    samples: usize,
    /// None: a forward pass on its own, without dropout.
    noise: Option<NoiseKey>,
    buffers: Vec<Vec<f64>>,
    pub(crate) gradient: Vec<f64>,
}

impl<'a> Reference<'a> {
    pub(crate) fn new(graph: &'a Graph, params: &'a [f64]) -> Self {
        Self {
            graph,
            params,
            samples: 0,
            noise: None,
            buffers: vec![Vec::new(); graph.buffers.len()],
            gradient: vec![0.0; params.len()],
        }
    }

    /// Dropout as in training, with this noise.
    pub(crate) fn with_noise(self, noise: NoiseKey) -> Self {
        Self {
            noise: Some(noise),
            ..self
        }
    }

    /// The summed loss in nats.
    pub(crate) fn loss(&mut self, inputs: &[f64], expected: Expected<'_>) -> f64 {
        self.samples = inputs.len() / self.graph.input_features();
        // What an operation does not write must not matter.
        for (buffer, spec) in self.buffers.iter_mut().zip(&self.graph.buffers) {
            *buffer = vec![f64::NAN; spec.features * self.samples];
        }
        self.buffers[self.graph.input.0] = inputs.to_vec();
        for step in &self.graph.forward {
            self.run(step);
        }
        let loss = self.graph.loss;
        let (total, grad) = loss::forward_backward(&loss, self.at(loss.prediction), expected);
        self.buffers[loss.grad.0] = grad;
        total
    }

    /// The summed loss; its gradient is then in `gradient`.
    pub(crate) fn loss_and_gradient(&mut self, inputs: &[f64], expected: Expected<'_>) -> f64 {
        let loss = self.loss(inputs, expected);
        self.gradient.fill(f64::NAN);
        for step in &self.graph.backward {
            self.run(step);
        }
        loss
    }

    fn run(&mut self, step: &Step) {
        match step.op {
            Op::Dense { .. } | Op::DenseBackward { .. } => self.dense(&step.op),
            Op::Conv2d { .. }
            | Op::Conv2dBackward { .. }
            | Op::MaxPool { .. }
            | Op::MaxPoolBackward { .. }
            | Op::AvgPool { .. }
            | Op::AvgPoolBackward { .. } => self.images(&step.op),
            Op::LayerNorm { .. } | Op::LayerNormBackward { .. } => self.norm(&step.op),
            Op::Attention { .. } | Op::AttentionBackward { .. } => self.attention(&step.op),
            Op::Embedding { .. }
            | Op::EmbeddingBackward { .. }
            | Op::AddPosition { .. }
            | Op::AddPositionBackward { .. } => self.tables(&step.op),
            _ => self.elementwise(&step.op),
        }
    }

    fn elementwise(&mut self, op: &Op) {
        match *op {
            Op::Activate {
                activation,
                input,
                output,
                slope,
            } => {
                let before = self.at(input).to_vec();
                self.activate(activation, &before, output, slope);
            }
            Op::ActivationBackward {
                activation,
                saved,
                grad,
            } => {
                let saved = self.at(saved).to_vec();
                for (grad, s) in self.buffers[grad.0].iter_mut().zip(saved) {
                    *grad *= match activation {
                        Activation::Identity => 1.0,
                        Activation::Relu => f64::from(u8::from(s > 0.0)),
                        Activation::Gelu => s,
                        Activation::Sigmoid => s * (1.0 - s),
                        Activation::Tanh => 1.0 - s * s,
                    };
                }
            }
            Op::Dropout {
                site,
                threshold,
                scale,
                input,
                output,
            }
            | Op::DropoutBackward {
                site,
                threshold,
                scale,
                grad_output: input,
                grad_input: output,
            } => {
                let noise = self.noise.map(|key| key.site(site));
                let kept = |idx: usize| {
                    let idx = u32::try_from(idx).expect("small batches");
                    noise.is_none_or(|noise| noise.word(idx) >= threshold)
                };
                let scale = if noise.is_some() { scale.into() } else { 1.0 };
                let values = self.at(input).iter().enumerate();
                self.buffers[output.0] = values
                    .map(|(idx, x)| if kept(idx) { x * scale } else { 0.0 })
                    .collect();
            }
            Op::Add {
                left,
                right,
                output,
            } => {
                let pairs = self.at(left).iter().zip(self.at(right));
                self.buffers[output.0] = pairs.map(|(l, r)| l + r).collect();
            }
            Op::Copy { input, output } => self.buffers[output.0] = self.at(input).to_vec(),
            _ => unreachable!("{} is not elementwise", op.name()),
        }
    }

    fn tables(&mut self, op: &Op) {
        match *op {
            Op::Embedding {
                table,
                tokens,
                output,
                ..
            } => {
                let width = self.graph.layout.tensor(table).shape[1];
                let values = self.param(table);
                let rows = self.at(tokens).iter().map(|&token| token_row(token, width));
                self.buffers[output.0] = rows.flat_map(|row| values[row].to_vec()).collect();
            }
            Op::EmbeddingBackward {
                table,
                tokens,
                grad_output,
                adds,
                ..
            } => {
                let spec = self.graph.layout.tensor(table);
                let width = spec.shape[1];
                let mut sums = vec![0.0; spec.len];
                let rows = self.at(grad_output).chunks_exact(width);
                for (&token, row) in self.at(tokens).iter().zip(rows) {
                    for (sum, g) in sums[token_row(token, width)].iter_mut().zip(row) {
                        *sum += g;
                    }
                }
                self.write_gradient(table, &sums, adds);
            }
            Op::AddPosition {
                table,
                input,
                output,
            } => {
                let values = self.param(table).iter().cycle();
                let sums = self.at(input).iter().zip(values).map(|(x, t)| x + t);
                self.buffers[output.0] = sums.collect();
            }
            Op::AddPositionBackward { table, grad_output } => {
                let len = self.graph.layout.tensor(table).len;
                let mut sums = vec![0.0; len];
                for (idx, g) in self.at(grad_output).iter().enumerate() {
                    sums[idx % len] += g;
                }
                self.write_gradient(table, &sums, false);
            }
            _ => unreachable!("{} has no table", op.name()),
        }
    }

    /// Writes `activation(before)` and, where asked for, its derivative.
    fn activate(
        &mut self,
        activation: Activation,
        before: &[f64],
        output: BufferId,
        slope: Option<BufferId>,
    ) {
        let value = |x: &f64| value_and_slope(activation, *x).0;
        self.buffers[output.0] = before.iter().map(value).collect();
        if let Some(slope) = slope {
            let derivative = |x: &f64| value_and_slope(activation, *x).1;
            self.buffers[slope.0] = before.iter().map(derivative).collect();
        }
    }

    /// All values of a buffer, (samples, features).
    pub(crate) fn at(&self, id: BufferId) -> &[f64] {
        &self.buffers[id.0]
    }

    fn param(&self, id: TensorId) -> &'a [f64] {
        &self.params[self.graph.layout.tensor(id).range()]
    }

    fn write_gradient(&mut self, id: TensorId, values: &[f64], adds: bool) {
        let range = self.graph.layout.tensor(id).range();
        for (to, value) in self.gradient[range].iter_mut().zip(values) {
            *to = if adds { *to + value } else { *value };
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tokens are small whole numbers"
)]
fn token_row(token: f64, width: usize) -> std::ops::Range<usize> {
    let first = token as usize * width;
    first..first + width
}

fn value_and_slope(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Identity => (x, 1.0),
        Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
        Activation::Sigmoid => {
            let y = 1.0 / (1.0 + (-x).exp());
            (y, y * (1.0 - y))
        }
        Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
        Activation::Gelu => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let t = (root * (x + 0.044_715 * x.powi(3))).tanh();
            let inner = root * (1.0 + 3.0 * 0.044_715 * x * x);
            (
                0.5 * x * (1.0 + t),
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner,
            )
        }
    }
}

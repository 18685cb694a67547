//! One lane: walks the training graph over planned buffers.

use std::sync::Arc;

use tabswarm_model::graph::{Activation, BufferId, LossKind, Op};
use tabswarm_model::layout::TensorId;
use tabswarm_model::{ArithmeticClass, Graph};

use crate::batch::{Batch, BatchStats};
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::buffers::Buffers;
use crate::cpu::dense::Dense;
use crate::cpu::gemm::{Gemm, Path};
use crate::cpu::magnitude::largest_magnitude;
use crate::cpu::{relu, softmax_cross_entropy};
use crate::error::ComputeError;
use crate::probe;

/// Computes gradients, losses and predictions of one graph on the calling thread.
///
/// All memory is taken in [`Engine::new`]; nothing is allocated afterwards.
#[derive(Debug)]
pub struct Engine {
    graph: Arc<Graph>,
    class: ArithmeticClass,
    max_samples: usize,
    has_params: bool,
    gemm: Gemm,
    /// One per parameter tensor; a dense layer stands at its weight.
    dense: Vec<Option<Dense>>,
    buffers: Buffers,
    gradient: AlignedBuffer,
}

impl Engine {
    /// An engine for batches of up to `max_samples`, on the fastest path of `class`.
    ///
    /// # Errors
    /// [`ComputeError::ClassUnavailable`] where the known-answer test finds no path that gives the bits.
    pub fn new(
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Self, ComputeError> {
        let path = probe::fastest_path(class).ok_or(ComputeError::ClassUnavailable { class })?;
        Self::with_path(graph, path, max_samples)
    }

    /// An engine on a given path, for tests and measurements.
    ///
    /// # Errors
    /// [`ComputeError::ClassUnavailable`] where this build and machine cannot run `path`.
    pub fn with_path(
        graph: Arc<Graph>,
        path: Path,
        max_samples: usize,
    ) -> Result<Self, ComputeError> {
        let class = path.class();
        let gemm = Gemm::new(path).ok_or(ComputeError::ClassUnavailable { class })?;
        check_supported(&graph)?;
        let mut dense: Vec<Option<Dense>> = graph.layout.tensors().iter().map(|_| None).collect();
        for step in &graph.forward {
            if let Op::Dense {
                weight,
                input,
                output,
                ..
            } = &step.op
            {
                let weight = &weight.tensor;
                let (inputs, outputs) = (graph.features(*input), graph.features(*output));
                let needs_grad = graph.backward.iter().any(|step| {
                    matches!(&step.op, Op::DenseBackward { weight: w, grad_input: Some(_), .. } if w.tensor == *weight)
                });
                dense[weight.0] = Some(Dense::new(&gemm, inputs, outputs, needs_grad, max_samples));
            }
        }
        Ok(Self {
            class,
            max_samples,
            has_params: false,
            gemm,
            dense,
            buffers: Buffers::new(&graph, max_samples),
            gradient: AlignedBuffer::new(graph.layout.len()),
            graph,
        })
    }

    /// The arithmetic class whose bits this engine gives.
    pub fn class(&self) -> ArithmeticClass {
        self.class
    }

    /// The graph that this engine runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over a version of the parameters (flat, in layout order).
    ///
    /// # Errors
    /// Wrong length, or a value that is not finite; the engine then keeps what it had.
    pub fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        let layout = &self.graph.layout;
        if params.len() != layout.len() {
            return Err(ComputeError::ParamsLength {
                got: params.len(),
                expected: layout.len(),
            });
        }
        check_finite(&self.graph, params)?;
        for step in &self.graph.forward {
            if let Op::Dense {
                weight,
                bias: Some(bias),
                ..
            } = &step.op
            {
                let weights = &params[layout.tensor(weight.tensor).range()];
                let biases = &params[layout.tensor(*bias).range()];
                dense_at(&mut self.dense, weight.tensor).set_params(&self.gemm, weights, biases);
            }
        }
        self.has_params = true;
        Ok(())
    }

    /// Forward and backward pass. The gradient of the *sum* of the losses is then in
    /// [`Self::gradient_buffer`].
    ///
    /// # Errors
    /// A batch that does not fit, or values that are not finite; see [`ComputeError`].
    pub fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let samples = self.check(batch.inputs, batch.labels.len())?;
        self.check_labels(batch.labels)?;
        self.run_forward(batch.inputs, samples);
        let stats = self.loss(batch, softmax_cross_entropy::forward_backward)?;
        self.run_backward(batch.inputs, samples);
        check_finite(&self.graph, &self.gradient)?;
        Ok(stats)
    }

    /// What the last successful [`Self::gradient`] left: flat, in layout order.
    pub fn gradient_buffer(&self) -> &[f32] {
        &self.gradient
    }

    /// Forward pass only: loss and correct answers.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub fn evaluate(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let samples = self.check(batch.inputs, batch.labels.len())?;
        self.check_labels(batch.labels)?;
        self.run_forward(batch.inputs, samples);
        self.loss(batch, softmax_cross_entropy::forward)
    }

    /// The probabilities of the classes, (samples, classes).
    ///
    /// # Errors
    /// A batch that does not fit; see [`ComputeError`].
    pub fn predict(&mut self, inputs: &[f32], samples: usize) -> Result<&[f32], ComputeError> {
        let samples = self.check(inputs, samples)?;
        self.run_forward(inputs, samples);
        let (logits, grad_logits) = self.loss_buffers();
        let finite = self
            .buffers
            .write(grad_logits, samples, |buffers, probabilities| {
                let logits = buffers.read(logits, inputs, samples);
                softmax_cross_entropy::softmax(logits, probabilities, self.graph.classes);
                largest_magnitude(logits).is_some()
            });
        if !finite {
            let tensor = self.graph.buffers[logits.0].name.clone();
            return Err(ComputeError::NonFinite { tensor });
        }
        Ok(self.buffers.stored(grad_logits, samples))
    }

    fn loss_buffers(&self) -> (BufferId, BufferId) {
        (self.graph.loss.prediction, self.graph.loss.grad)
    }

    fn check(&self, inputs: &[f32], samples: usize) -> Result<usize, ComputeError> {
        let (features, max_samples) = (self.graph.input_features(), self.max_samples);
        if !self.has_params {
            return Err(ComputeError::ParamsMissing);
        }
        if samples == 0 {
            return Err(ComputeError::EmptyBatch);
        }
        if samples > max_samples {
            return Err(ComputeError::TooManySamples {
                samples,
                max_samples,
            });
        }
        if inputs.len() != samples * features {
            return Err(ComputeError::InputLength {
                got: inputs.len(),
                samples,
                features,
            });
        }
        Ok(samples)
    }

    fn check_labels(&self, labels: &[u16]) -> Result<(), ComputeError> {
        let classes = self.graph.classes;
        match labels
            .iter()
            .position(|&label| usize::from(label) >= classes)
        {
            Some(sample) => Err(ComputeError::Label {
                sample,
                label: labels[sample],
                classes,
            }),
            None => Ok(()),
        }
    }

    fn run_forward(&mut self, inputs: &[f32], samples: usize) {
        let Self {
            graph,
            gemm,
            dense,
            buffers,
            ..
        } = self;
        for step in &graph.forward {
            match step.op {
                Op::Dense {
                    weight,
                    input,
                    output,
                    activation,
                    ..
                } => {
                    buffers.write(output, samples, |buffers, to| {
                        let from = buffers.read(input, inputs, samples);
                        dense_at(dense, weight.tensor).forward(gemm, from, to, activation);
                    });
                }
                Op::Activate { input, output, .. } => {
                    buffers.write(output, samples, |buffers, to| {
                        relu::forward(buffers.read(input, inputs, samples), to);
                    });
                }
                op => unreachable!("{} was refused in `new`", op.name()),
            }
        }
    }

    fn loss(
        &mut self,
        batch: Batch<'_>,
        kernel: softmax_cross_entropy::Kernel,
    ) -> Result<BatchStats, ComputeError> {
        let (logits, grad_logits) = self.loss_buffers();
        let (samples, classes) = (batch.labels.len(), self.graph.classes);
        self.buffers.write(grad_logits, samples, |buffers, grad| {
            kernel(
                buffers.read(logits, batch.inputs, samples),
                batch.labels,
                grad,
                classes,
            )
        })
    }

    fn run_backward(&mut self, inputs: &[f32], samples: usize) {
        let Self {
            graph,
            gemm,
            dense,
            buffers,
            gradient,
            ..
        } = self;
        for step in &graph.backward {
            match step.op {
                Op::DenseBackward {
                    weight,
                    bias: Some(bias),
                    input,
                    grad_output,
                    grad_input,
                    ..
                } => {
                    let tensors = [weight.tensor, bias].map(|id| graph.layout.tensor(id).range());
                    let [weight_grad, bias_grad] = gradient
                        .get_disjoint_mut(tensors)
                        .expect("tensors do not overlap");
                    let layer = dense_at(dense, weight.tensor);
                    let from = buffers.read(input, inputs, samples);
                    let grad = buffers.read(grad_output, inputs, samples);
                    layer.backward_params(gemm, from, grad, (weight_grad, bias_grad));
                    if let Some(grad_input) = grad_input {
                        buffers.write(grad_input, samples, |buffers, to| {
                            let grad = buffers.read(grad_output, inputs, samples);
                            layer.backward_input(gemm, grad, to);
                        });
                    }
                }
                Op::ActivationBackward { saved, grad, .. } => {
                    buffers.write(grad, samples, |buffers, to| {
                        relu::backward(buffers.read(saved, inputs, samples), to);
                    });
                }
                op => unreachable!("{} was refused in `new`", op.name()),
            }
        }
    }
}

/// Refuses what there is no kernel for.
fn check_supported(graph: &Graph) -> Result<(), ComputeError> {
    let relu_at_most = |activation| matches!(activation, Activation::Identity | Activation::Relu);
    for step in graph.forward.iter().chain(&graph.backward) {
        let supported = match step.op {
            Op::Dense {
                weight,
                bias,
                rows,
                activation,
                ..
            } => !weight.transposed && bias.is_some() && rows == 1 && relu_at_most(activation),
            Op::DenseBackward { adds, .. } => !adds,
            Op::Activate { activation, .. } | Op::ActivationBackward { activation, .. } => {
                relu_at_most(activation)
            }
            _ => false,
        };
        if !supported {
            let op = step.op.name();
            return Err(ComputeError::Unsupported { op });
        }
    }
    let loss = graph.loss;
    if loss.kind != LossKind::SoftmaxCrossEntropy || loss.rows != 1 {
        return Err(ComputeError::Unsupported { op: "loss" });
    }
    Ok(())
}

fn dense_at(dense: &mut [Option<Dense>], weight: TensorId) -> &mut Dense {
    dense[weight.0]
        .as_mut()
        .expect("every dense operation got its layer in `new`")
}

fn check_finite(graph: &Graph, flat: &[f32]) -> Result<(), ComputeError> {
    for tensor in graph.layout.tensors() {
        if largest_magnitude(&flat[tensor.range()]).is_none() {
            return Err(ComputeError::NonFinite {
                tensor: tensor.name.clone(),
            });
        }
    }
    Ok(())
}

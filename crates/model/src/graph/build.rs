//! From a validated layer list to a training graph.

use super::{Activation, BufferId, BufferSpec, Graph, Loss, Op};
use crate::layout::{Init, Layout, TensorId};
use crate::rounding::narrow;
use crate::run_file::{LayerSpec, LossSpec, ModelSpec};

/// Builds the graph of a validated model.
///
/// Shapes were checked when the run file was validated, so this cannot fail.
pub fn build(model: &ModelSpec) -> Graph {
    let mut builder = Builder::default();
    let input = builder.buffer("input", model.input.iter().product());
    let steps = builder.forward(model, input);
    let logits = steps.last().map_or(input, |step| step.output);
    let LossSpec::SoftmaxCrossEntropy = model.loss;
    let grad_logits = builder.buffer("grad_logits", builder.buffers[logits.0].features);
    let backward = builder.backward(&steps, grad_logits);
    Graph {
        input_shape: model.input.clone(),
        input,
        classes: builder.buffers[logits.0].features,
        loss: Loss::SoftmaxCrossEntropy {
            logits,
            grad_logits,
        },
        forward: steps.into_iter().map(|step| step.op).collect(),
        backward,
        buffers: builder.buffers,
        layout: builder.layout,
    }
}

/// A forward operation with what its backward pass needs to know.
struct Step {
    op: Op,
    input: BufferId,
    output: BufferId,
    layer_idx: usize,
}

#[derive(Default)]
struct Builder {
    buffers: Vec<BufferSpec>,
    layout: Layout,
}

impl Builder {
    fn buffer(&mut self, name: &str, features: usize) -> BufferId {
        self.buffers.push(BufferSpec {
            name: name.to_owned(),
            features,
        });
        BufferId(self.buffers.len() - 1)
    }

    fn forward(&mut self, model: &ModelSpec, input: BufferId) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut current = input;
        let mut layers = model.layers.iter().enumerate().peekable();
        while let Some((layer_idx, layer)) = layers.next() {
            let op = match layer {
                // Samples are stored flat: flattening is a change of shape only.
                LayerSpec::Flatten => continue,
                LayerSpec::Dense { units } => {
                    let activation = match layers.peek() {
                        Some((_, LayerSpec::Relu)) => {
                            layers.next();
                            Activation::Relu
                        }
                        _ => Activation::Identity,
                    };
                    self.dense(layer_idx, current, *units, activation)
                }
                LayerSpec::Relu => {
                    let features = self.buffers[current.0].features;
                    let output = self.buffer(&format!("layers.{layer_idx}.output"), features);
                    Op::Relu {
                        input: current,
                        output,
                    }
                }
            };
            let (Op::Dense { output, .. } | Op::Relu { output, .. }) = op else {
                unreachable!("only forward operations are built here")
            };
            steps.push(Step {
                op,
                input: current,
                output,
                layer_idx,
            });
            current = output;
        }
        steps
    }

    fn dense(&mut self, idx: usize, input: BufferId, units: usize, activation: Activation) -> Op {
        let features = self.buffers[input.0].features;
        // The bound of PyTorch's `nn.Linear`, so that the same recipe starts from the same distribution.
        let bound = narrow(1.0 / (features as f64).sqrt());
        let init = Init::Uniform { bound };
        let weight = self
            .layout
            .push(format!("layers.{idx}.weight"), vec![features, units], init);
        let bias = self
            .layout
            .push(format!("layers.{idx}.bias"), vec![units], init);
        let output = self.buffer(&format!("layers.{idx}.output"), units);
        Op::Dense {
            weight,
            bias,
            input,
            output,
            activation,
        }
    }

    fn backward(&mut self, steps: &[Step], grad_logits: BufferId) -> Vec<Op> {
        let first_with_parameters = steps.iter().position(|s| matches!(s.op, Op::Dense { .. }));
        let mut ops = Vec::new();
        let mut grad = grad_logits;
        for (step_idx, step) in steps.iter().enumerate().rev() {
            if first_with_parameters.is_none_or(|first| step_idx < first) {
                break;
            }
            match step.op {
                Op::Dense {
                    weight,
                    bias,
                    activation,
                    ..
                } => {
                    if activation == Activation::Relu {
                        ops.push(Op::ReluBackward {
                            output: step.output,
                            grad,
                        });
                    }
                    let needs_input = first_with_parameters.is_some_and(|first| step_idx > first);
                    let grad_input = needs_input.then(|| self.grad_buffer(step));
                    ops.push(dense_backward(weight, bias, step.input, grad, grad_input));
                    grad = grad_input.unwrap_or(grad);
                }
                Op::Relu { output, .. } => ops.push(Op::ReluBackward { output, grad }),
                Op::DenseBackward { .. } | Op::ReluBackward { .. } => {
                    unreachable!("only forward operations are recorded as steps")
                }
            }
        }
        ops
    }

    fn grad_buffer(&mut self, step: &Step) -> BufferId {
        let features = self.buffers[step.input.0].features;
        self.buffer(&format!("layers.{}.grad_input", step.layer_idx), features)
    }
}

fn dense_backward(
    weight: TensorId,
    bias: TensorId,
    input: BufferId,
    grad_output: BufferId,
    grad_input: Option<BufferId>,
) -> Op {
    Op::DenseBackward {
        weight,
        bias,
        input,
        grad_output,
        grad_input,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn model(layers: Vec<LayerSpec>) -> ModelSpec {
        ModelSpec {
            input: vec![2, 3],
            layers,
            loss: LossSpec::SoftmaxCrossEntropy,
        }
    }

    #[test]
    fn mlp_fuses_relu_and_needs_no_input_gradient() {
        let graph = build(&model(vec![
            LayerSpec::Flatten,
            LayerSpec::Dense { units: 4 },
            LayerSpec::Relu,
            LayerSpec::Dense { units: 5 },
        ]));
        let lines: Vec<String> = graph
            .forward
            .iter()
            .chain(&graph.backward)
            .map(|op| format!("{op:?}"))
            .collect();
        expect![[r"
            Dense { weight: TensorId(0), bias: TensorId(1), input: BufferId(0), output: BufferId(1), activation: Relu }
            Dense { weight: TensorId(2), bias: TensorId(3), input: BufferId(1), output: BufferId(2), activation: Identity }
            DenseBackward { weight: TensorId(2), bias: TensorId(3), input: BufferId(1), grad_output: BufferId(3), grad_input: Some(BufferId(4)) }
            ReluBackward { output: BufferId(1), grad: BufferId(4) }
            DenseBackward { weight: TensorId(0), bias: TensorId(1), input: BufferId(0), grad_output: BufferId(4), grad_input: None }"]]
        .assert_eq(&lines.join("\n"));
        assert_eq!(graph.layout.len(), 6 * 4 + 4 + 4 * 5 + 5);
        assert_eq!(graph.classes, 5);
    }

    #[test]
    fn a_relu_before_the_first_dense_has_no_backward() {
        let graph = build(&model(vec![LayerSpec::Relu, LayerSpec::Dense { units: 3 }]));
        assert_eq!(graph.forward.len(), 2);
        assert_eq!(graph.backward.len(), 1);
    }

    #[test]
    fn two_relus_in_a_row_are_kept() {
        let layers = vec![
            LayerSpec::Dense { units: 3 },
            LayerSpec::Relu,
            LayerSpec::Relu,
            LayerSpec::Dense { units: 2 },
        ];
        let graph = build(&model(layers));
        assert_eq!(graph.forward.len(), 3);
        assert_eq!(graph.backward.len(), 4);
    }

    #[test]
    fn flops_of_the_reference_mlp() {
        let layers = vec![
            LayerSpec::Dense { units: 128 },
            LayerSpec::Relu,
            LayerSpec::Dense { units: 10 },
        ];
        let spec = ModelSpec {
            input: vec![784],
            ..model(layers)
        };
        assert_eq!(
            build(&spec).flops_per_sample(),
            2 * (2 * 784 * 128 + 3 * 128 * 10)
        );
    }
}

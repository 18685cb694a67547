//! The backward pass: the forward pass from its end, each operation answered by its gradient.

use super::{Activation, BufferId, Builder, Node, Op, Step, TensorId};

/// A gradient on its way to the front.
#[derive(Clone, Copy)]
struct Grad {
    buffer: BufferId,
    /// Whether somebody reads the buffer later, so that it must stay as it is.
    shared: bool,
}

impl Grad {
    fn fresh(buffer: BufferId) -> Self {
        Self {
            buffer,
            shared: false,
        }
    }
}

impl Builder {
    /// Appends the operations that lead from the loss's gradient to all parameters.
    pub(super) fn run_backward(&mut self, nodes: &[Node], loss_grad: BufferId) {
        self.nodes_backward(nodes, Grad::fresh(loss_grad));
    }

    /// The gradient of the first node's input; what comes back where nobody needs it means nothing.
    fn nodes_backward(&mut self, nodes: &[Node], mut grad: Grad) -> Grad {
        for node in nodes.iter().rev() {
            match node {
                Node::Op {
                    step,
                    needs_grad: [input_needs, output_needs],
                } => {
                    if !output_needs {
                        break;
                    }
                    grad = self.op_backward(step, grad, *input_needs);
                }
                Node::Residual {
                    branch,
                    add,
                    input_needs_grad,
                } => grad = self.residual_backward(branch, add.layer, grad, *input_needs_grad),
            }
        }
        grad
    }

    fn residual_backward(
        &mut self,
        branch: &[Node],
        layer: usize,
        grad: Grad,
        input_needs_grad: bool,
    ) -> Grad {
        if !input_needs_grad {
            return self.nodes_backward(branch, grad);
        }
        let kept = Grad {
            shared: true,
            ..grad
        };
        let through_branch = self.nodes_backward(branch, kept);
        let output = self.buffer_like("residual.grad", grad.buffer);
        let op = Op::Add {
            left: grad.buffer,
            right: through_branch.buffer,
            output,
        };
        self.backward.push(Step { op, layer });
        Grad::fresh(output)
    }

    fn op_backward(&mut self, step: &Step, grad: Grad, input_needs_grad: bool) -> Grad {
        match step.op {
            Op::Dense { .. } | Op::Conv2d { .. } => {
                self.product_backward(step, grad, input_needs_grad)
            }
            Op::MaxPool { .. } | Op::AvgPool { .. } | Op::Dropout { .. } => {
                self.without_parameters(step, grad)
            }
            Op::LayerNorm { .. } | Op::Attention { .. } => {
                self.with_statistics(step, grad, input_needs_grad)
            }
            Op::Activate {
                activation,
                output,
                slope,
                ..
            } => self.before_activation(step.layer, activation, slope.unwrap_or(output), grad),
            Op::Embedding {
                table,
                rows,
                tokens,
                ..
            } => {
                let op = Op::EmbeddingBackward {
                    table,
                    rows,
                    tokens,
                    grad_output: grad.buffer,
                    adds: self.was_written(table),
                };
                self.push_backward(step.layer, op, grad.buffer)
            }
            Op::AddPosition { table, .. } => {
                let op = Op::AddPositionBackward {
                    table,
                    grad_output: grad.buffer,
                };
                // The gradient passes through as it is, shared or not.
                self.push_backward(step.layer, op, grad.buffer);
                grad
            }
            _ => unreachable!("{} is not built as a node", step.op.name()),
        }
    }

    fn product_backward(&mut self, step: &Step, grad: Grad, input_needs_grad: bool) -> Grad {
        let layer = step.layer;
        match step.op {
            Op::Dense {
                weight,
                bias,
                rows,
                input,
                output,
                activation,
                slope,
            } => {
                let grad = self.before_activation(layer, activation, slope.unwrap_or(output), grad);
                let grad_input = input_needs_grad.then(|| self.grad_of(input));
                let op = Op::DenseBackward {
                    weight,
                    bias,
                    rows,
                    input,
                    grad_output: grad.buffer,
                    grad_input,
                    adds: self.was_written(weight.tensor),
                };
                self.push_backward(layer, op, grad_input.unwrap_or(grad.buffer))
            }
            Op::Conv2d {
                weight,
                bias,
                shape,
                input,
                output,
                activation,
                slope,
            } => {
                let grad = self.before_activation(layer, activation, slope.unwrap_or(output), grad);
                let grad_input = input_needs_grad.then(|| self.grad_of(input));
                let op = Op::Conv2dBackward {
                    weight,
                    bias,
                    shape,
                    input,
                    grad_output: grad.buffer,
                    grad_input,
                };
                self.push_backward(layer, op, grad_input.unwrap_or(grad.buffer))
            }
            _ => unreachable!("{} is not a product", step.op.name()),
        }
    }

    fn without_parameters(&mut self, step: &Step, grad: Grad) -> Grad {
        let grad_output = grad.buffer;
        let (op, grad_input) = match step.op {
            Op::MaxPool {
                shape,
                input,
                choice,
                ..
            } => {
                let grad_input = self.grad_of(input);
                let op = Op::MaxPoolBackward {
                    shape,
                    choice: choice.expect("saved where the gradient is needed"),
                    grad_output,
                    grad_input,
                };
                (op, grad_input)
            }
            Op::AvgPool { shape, input, .. } => {
                let grad_input = self.grad_of(input);
                let op = Op::AvgPoolBackward {
                    shape,
                    grad_output,
                    grad_input,
                };
                (op, grad_input)
            }
            Op::Dropout {
                site,
                threshold,
                scale,
                input,
                ..
            } => {
                let grad_input = self.grad_of(input);
                let op = Op::DropoutBackward {
                    site,
                    threshold,
                    scale,
                    grad_output,
                    grad_input,
                };
                (op, grad_input)
            }
            _ => unreachable!("{} has parameters or statistics", step.op.name()),
        };
        self.push_backward(step.layer, op, grad_input)
    }

    fn with_statistics(&mut self, step: &Step, grad: Grad, input_needs_grad: bool) -> Grad {
        let grad_output = grad.buffer;
        match step.op {
            Op::LayerNorm {
                gain,
                bias,
                rows,
                input,
                statistics,
                ..
            } => {
                let grad_input = input_needs_grad.then(|| self.grad_of(input));
                let op = Op::LayerNormBackward {
                    gain,
                    bias,
                    rows,
                    input,
                    statistics,
                    grad_output,
                    grad_input,
                };
                self.push_backward(step.layer, op, grad_input.unwrap_or(grad_output))
            }
            Op::Attention {
                shape,
                qkv,
                output,
                statistics,
            } => {
                let grad_qkv = self.grad_of(qkv);
                let op = Op::AttentionBackward {
                    shape,
                    qkv,
                    output,
                    statistics,
                    grad_output,
                    grad_qkv,
                };
                self.push_backward(step.layer, op, grad_qkv)
            }
            _ => unreachable!("{} saves no statistics", step.op.name()),
        }
    }

    /// The gradient before an activation, made in place unless somebody else needs the one after it.
    fn before_activation(
        &mut self,
        layer: usize,
        activation: Activation,
        saved: BufferId,
        grad: Grad,
    ) -> Grad {
        if activation == Activation::Identity {
            return grad;
        }
        let mut buffer = grad.buffer;
        if grad.shared {
            buffer = self.buffer_like("copy.grad", grad.buffer);
            let op = Op::Copy {
                input: grad.buffer,
                output: buffer,
            };
            self.backward.push(Step { op, layer });
        }
        let op = Op::ActivationBackward {
            activation,
            saved,
            grad: buffer,
        };
        self.push_backward(layer, op, buffer)
    }

    fn push_backward(&mut self, layer: usize, op: Op, grad: BufferId) -> Grad {
        self.backward.push(Step { op, layer });
        Grad::fresh(grad)
    }

    fn grad_of(&mut self, buffer: BufferId) -> BufferId {
        let name = format!("{}.grad", self.buffers[buffer.0].name);
        self.buffer_like(&name, buffer)
    }

    /// Whether an operation before this one in the backward pass wrote the tensor's gradient.
    fn was_written(&mut self, tensor: TensorId) -> bool {
        let was = self.written.contains(&tensor);
        if !was {
            self.written.push(tensor);
        }
        was
    }
}

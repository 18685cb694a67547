//! One operation after the other: which kernel an operation calls, with which buffers and tensors.

use tabswarm_model::Graph;
use tabswarm_model::graph::{Activation, BufferId, Op};
use tabswarm_model::layout::TensorId;
use tabswarm_model::noise::NoiseKey;

use super::kernel::Kernel;
use super::params::Params;
use crate::cpu::arena::Buffers;
use crate::cpu::attention::Attention;
use crate::cpu::epilogue::Epilogue;
use crate::cpu::gemm::{Gemm, Path};
use crate::cpu::{activation, dropout, elementwise, pool};

/// What the operations of one batch share.
pub(super) struct Lane<'a> {
    pub(super) graph: &'a Graph,
    pub(super) path: Path,
    pub(super) gemm: &'a mut Gemm,
    pub(super) params: &'a Params,
    pub(super) attentions: &'a mut [Attention],
    pub(super) buffers: Buffers<'a>,
    /// Flat, in layout order.
    pub(super) gradient: &'a mut [f32],
    /// Where in the batch the samples of the buffers begin. Gradients of parameters go on from what the
    /// samples before have left.
    pub(super) first_sample: usize,
    /// None: a forward pass on its own, in which nothing is dropped.
    pub(super) noise: Option<NoiseKey>,
}

impl Lane<'_> {
    pub(super) fn run(&mut self, op: &Op, kernel: &mut Kernel) {
        match op {
            Op::Dense { .. } | Op::Conv2d { .. } => self.product(op, kernel),
            Op::DenseBackward { .. } => self.dense_backward(op, kernel),
            Op::Conv2dBackward { .. } => self.conv2d_backward(op, kernel),
            Op::MaxPool { .. }
            | Op::MaxPoolBackward { .. }
            | Op::AvgPool { .. }
            | Op::AvgPoolBackward { .. } => self.pool(op),
            Op::Embedding { .. }
            | Op::EmbeddingBackward { .. }
            | Op::AddPosition { .. }
            | Op::AddPositionBackward { .. } => self.embedding(op),
            Op::LayerNorm { .. } | Op::LayerNormBackward { .. } => self.layer_norm(op),
            Op::Attention { .. } | Op::AttentionBackward { .. } => self.attention(op),
            _ => self.elementwise(op),
        }
    }

    fn product(&mut self, op: &Op, kernel: &mut Kernel) {
        let (Op::Dense {
            bias,
            input,
            output,
            activation,
            slope,
            ..
        }
        | Op::Conv2d {
            bias,
            input,
            output,
            activation,
            slope,
            ..
        }) = *op
        else {
            unreachable!("{} is no product", op.name())
        };
        let epilogue = Epilogue {
            path: self.path,
            bias: bias.map(|id| self.params.at(id)),
            activation,
        };
        let (reads, [output, slopes]) = self.buffers.split([Some(output), slope]);
        let input = reads.at(input);
        match kernel {
            Kernel::Dense(kernel) => kernel.run(self.gemm, input, (output, slopes), &epilogue),
            Kernel::Conv2d(kernel) => kernel.run(self.gemm, input, (output, slopes), &epilogue),
            _ => unreachable!("{} has its own kernel", op.name()),
        }
    }

    fn dense_backward(&mut self, op: &Op, kernel: &Kernel) {
        let (
            Op::DenseBackward {
                weight,
                bias,
                input,
                grad_output,
                grad_input,
                adds,
                ..
            },
            Kernel::DenseBackward(kernel),
        ) = (*op, kernel)
        else {
            unreachable!("{} has its own kernel", op.name())
        };
        self.sum_bias(bias, grad_output);
        let (reads, [grad_input, _]) = self.buffers.split([grad_input, None]);
        let grad = reads.at(grad_output);
        let grad_weight = &mut self.gradient[self.graph.layout.tensor(weight.tensor).range()];
        let adds = adds || self.first_sample > 0;
        kernel.run_weight(self.gemm, reads.at(input), grad, grad_weight, adds);
        if !grad_input.is_empty() {
            kernel.run_input(self.gemm, grad, grad_input);
        }
    }

    fn conv2d_backward(&mut self, op: &Op, kernel: &mut Kernel) {
        let (
            Op::Conv2dBackward {
                weight,
                bias,
                input,
                grad_output,
                grad_input,
                ..
            },
            Kernel::Conv2dBackward(kernel),
        ) = (*op, kernel)
        else {
            unreachable!("{} has its own kernel", op.name())
        };
        self.sum_bias(bias, grad_output);
        let (reads, [grad_input, _]) = self.buffers.split([grad_input, None]);
        let (input, grad) = (reads.at(input), reads.at(grad_output));
        let grad_weight = &mut self.gradient[self.graph.layout.tensor(weight).range()];
        let adds = self.first_sample > 0;
        kernel.run(self.gemm, input, grad, (grad_weight, adds), grad_input);
    }

    /// The gradient of a bias: the sum over all rows.
    fn sum_bias(&mut self, bias: Option<TensorId>, grad_output: BufferId) {
        if let Some(bias) = bias {
            let (reads, _) = self.buffers.split([None, None]);
            let sums = &mut self.gradient[self.graph.layout.tensor(bias).range()];
            elementwise::sum_rows(reads.at(grad_output), sums, self.first_sample > 0);
        }
    }

    fn pool(&mut self, op: &Op) {
        match *op {
            Op::MaxPool {
                shape,
                input,
                output,
                choice,
            } => {
                let (reads, [output, choice]) = self.buffers.split([Some(output), choice]);
                pool::max(self.path, shape, reads.at(input), output, choice);
            }
            Op::MaxPoolBackward {
                shape,
                choice,
                grad_output,
                grad_input,
            } => {
                let (reads, grad_input) = self.buffers.split_one(grad_input);
                pool::max_backward(
                    self.path,
                    shape,
                    reads.at(choice),
                    reads.at(grad_output),
                    grad_input,
                );
            }
            Op::AvgPool {
                shape,
                input,
                output,
            } => {
                let (reads, output) = self.buffers.split_one(output);
                pool::average(self.path, shape, reads.at(input), output);
            }
            Op::AvgPoolBackward {
                shape,
                grad_output,
                grad_input,
            } => {
                let (reads, grad_input) = self.buffers.split_one(grad_input);
                pool::average_backward(self.path, shape, reads.at(grad_output), grad_input);
            }
            _ => unreachable!("{} is no pooling", op.name()),
        }
    }

    fn elementwise(&mut self, op: &Op) {
        match *op {
            Op::Activate {
                activation,
                input,
                output,
                slope,
            } => self.activate(activation, input, output, slope),
            Op::ActivationBackward {
                activation,
                saved,
                grad,
            } => {
                let (reads, grad) = self.buffers.split_one(grad);
                activation::backward(self.path, activation, reads.at(saved), grad);
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
                let first = self.first_sample * self.graph.features(output);
                let (reads, output) = self.buffers.split_one(output);
                let input = reads.at(input);
                if let Some(key) = self.noise {
                    let first = u32::try_from(first).expect("batches have fewer than 2^32 values");
                    let noise = key.site(site);
                    dropout::drop_out(noise, first, threshold, scale, input, output);
                } else {
                    output.copy_from_slice(input);
                }
            }
            Op::Add {
                left,
                right,
                output,
            } => {
                let (reads, output) = self.buffers.split_one(output);
                elementwise::add(reads.at(left), reads.at(right), output);
            }
            Op::Copy { input, output } => {
                let (reads, output) = self.buffers.split_one(output);
                output.copy_from_slice(reads.at(input));
            }
            _ => unreachable!("{} is not elementwise", op.name()),
        }
    }

    fn activate(
        &mut self,
        activation: Activation,
        input: BufferId,
        output: BufferId,
        slope: Option<BufferId>,
    ) {
        let (reads, [output, slopes]) = self.buffers.split([Some(output), slope]);
        output.copy_from_slice(reads.at(input));
        activation::activate(self.path, activation, output, slopes);
    }
}

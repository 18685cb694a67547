//! The operations on sequences: which kernel they call, with which buffers and tensors.

use tabswarm_model::Graph;
use tabswarm_model::graph::Op;

use super::run::Lane;
use crate::cpu::attention::Attention;
use crate::cpu::layer_norm::{self, Gradients, LayerNorm};
use crate::cpu::{add_position, elementwise, embedding};

impl Lane<'_> {
    pub(super) fn embedding(&mut self, op: &Op) {
        match *op {
            Op::Embedding {
                table,
                tokens,
                output,
                ..
            } => {
                let (reads, output) = self.buffers.split_one(output);
                let width = self.graph.layout.tensor(table).shape[1];
                embedding::forward(self.params.at(table), reads.at(tokens), width, output);
            }
            Op::EmbeddingBackward {
                table,
                tokens,
                grad_output,
                adds,
                ..
            } => {
                let (reads, _) = self.buffers.split([None, None]);
                let tensor = self.graph.layout.tensor(table);
                let (tokens, grad) = (reads.at(tokens), reads.at(grad_output));
                let grad_table = &mut self.gradient[tensor.range()];
                let adds = adds || self.first_sample > 0;
                embedding::backward(tokens, grad, tensor.shape[1], grad_table, adds);
            }
            Op::AddPosition {
                table,
                input,
                output,
            } => {
                let (reads, output) = self.buffers.split_one(output);
                add_position::forward(self.params.at(table), reads.at(input), output);
            }
            Op::AddPositionBackward { table, grad_output } => {
                let (reads, _) = self.buffers.split([None, None]);
                let sums = &mut self.gradient[self.graph.layout.tensor(table).range()];
                elementwise::sum_rows(reads.at(grad_output), sums, self.first_sample > 0);
            }
            _ => unreachable!("{} is no embedding", op.name()),
        }
    }

    pub(super) fn layer_norm(&mut self, op: &Op) {
        match *op {
            Op::LayerNorm {
                gain,
                bias,
                epsilon,
                input,
                output,
                statistics,
                ..
            } => {
                let layer = LayerNorm {
                    gain: self.params.at(gain),
                    bias: self.params.at(bias),
                    epsilon,
                };
                let writes = [Some(output), Some(statistics)];
                let (reads, [output, statistics]) = self.buffers.split(writes);
                layer_norm::forward(self.path, layer, reads.at(input), output, statistics);
            }
            Op::LayerNormBackward {
                gain,
                bias,
                input,
                statistics,
                grad_output,
                grad_input,
                ..
            } => {
                let (reads, [to, _]) = self.buffers.split([grad_input, None]);
                let [grad_gain, grad_bias] =
                    [gain, bias].map(|id| self.graph.layout.tensor(id).range());
                let [grad_gain, grad_bias] = self
                    .gradient
                    .get_disjoint_mut([grad_gain, grad_bias])
                    .expect("tensors do not overlap");
                if self.first_sample == 0 {
                    grad_gain.fill(0.0);
                    grad_bias.fill(0.0);
                }
                let gradients = Gradients {
                    gain: grad_gain,
                    bias: grad_bias,
                    input: grad_input.map(|_| to),
                };
                let forward = (reads.at(input), reads.at(statistics));
                let grad_output = reads.at(grad_output);
                layer_norm::backward(
                    self.path,
                    self.params.at(gain),
                    forward,
                    grad_output,
                    gradients,
                );
            }
            _ => unreachable!("{} is no layer norm", op.name()),
        }
    }

    pub(super) fn attention(&mut self, op: &Op) {
        let (Op::Attention { shape, .. } | Op::AttentionBackward { shape, .. }) = *op else {
            unreachable!("{} is no attention", op.name())
        };
        let kernel = self
            .attentions
            .iter_mut()
            .find(|kernel| kernel.shape() == shape)
            .expect("`attentions` has every geometry of the graph");
        match *op {
            Op::Attention {
                qkv,
                output,
                statistics,
                ..
            } => {
                let writes = [Some(output), Some(statistics)];
                let (reads, [output, statistics]) = self.buffers.split(writes);
                kernel.forward(self.path, reads.at(qkv), output, statistics);
            }
            Op::AttentionBackward {
                qkv,
                output,
                statistics,
                grad_output,
                grad_qkv,
                ..
            } => {
                let (reads, grad_qkv) = self.buffers.split_one(grad_qkv);
                let forward = (reads.at(qkv), reads.at(output), reads.at(statistics));
                kernel.backward(self.path, forward, reads.at(grad_output), grad_qkv);
            }
            _ => unreachable!("{} is no attention", op.name()),
        }
    }
}

/// Working memory for each geometry of attention in a graph, shared by all operations of that geometry.
pub(super) fn attentions(graph: &Graph) -> Vec<Attention> {
    let mut kernels: Vec<Attention> = Vec::new();
    for step in &graph.forward {
        if let Op::Attention { shape, .. } = step.op
            && kernels.iter().all(|kernel| kernel.shape() != shape)
        {
            kernels.push(Attention::new(shape));
        }
    }
    kernels
}

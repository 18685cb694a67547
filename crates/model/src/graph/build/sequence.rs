//! Layers on sequences become forward operations.

use super::forward::Site;
use super::{Activation, Builder, DenseWeight, Embedding, Init, Node, Op, Value};
use crate::graph::shape::AttentionShape;

/// Standard deviation of the first embedding vectors, as GPT-2 has it.
const EMBEDDING_STD: f32 = 0.02;

impl Builder {
    pub(super) fn embed(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        [vocabulary, width]: [usize; 2],
        nodes: &mut Vec<Node>,
    ) -> Value {
        let name = format!("{}.table", site.prefix);
        let init = Init::Normal { std: EMBEDDING_STD };
        let table = self.tensor(name, vec![vocabulary, width], init);
        self.embedding = Some(Embedding { table, vocabulary });
        let rows = value.features();
        let output = self.output(site, vec![rows, width], true);
        let op = Op::Embedding {
            table,
            rows,
            tokens: value.buffer,
            output: output.buffer,
        };
        Self::push(site, op, value, output, nodes)
    }

    pub(super) fn add_position(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let name = format!("{}.table", site.prefix);
        let init = Init::Normal { std: EMBEDDING_STD };
        let table = self.tensor(name, value.shape.clone(), init);
        let output = self.output(site, value.shape.clone(), true);
        let op = Op::AddPosition {
            table,
            input: value.buffer,
            output: output.buffer,
        };
        Self::push(site, op, value, output, nodes)
    }

    pub(super) fn layer_norm(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        epsilon: f32,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let (rows, width) = value.rows();
        let name = |what| format!("{}.{what}", site.prefix);
        let gain = self.tensor(name("gain"), vec![width], Init::One);
        let bias = self.tensor(name("bias"), vec![width], Init::Zero);
        let output = self.output(site, value.shape.clone(), true);
        let op = Op::LayerNorm {
            gain,
            bias,
            rows,
            epsilon,
            input: value.buffer,
            output: output.buffer,
            statistics: self.buffer(&name("statistics"), rows * 2),
        };
        Self::push(site, op, value, output, nodes)
    }

    pub(super) fn attention(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        heads: usize,
        causal: bool,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let (positions, width) = value.rows();
        let shape = AttentionShape {
            positions,
            heads,
            head_width: width / heads,
            causal,
        };
        let plain = Activation::Identity;
        let project = |builder: &mut Self, part: &str, value: &Value, units, nodes: &mut _| {
            let (tensor, bias) = builder.linear(site, part, [width, units], true);
            let weight = DenseWeight {
                tensor,
                transposed: false,
            };
            builder.product(site, value, weight, bias, plain, nodes)
        };
        let qkv = project(self, "qkv.", value, 3 * width, nodes);
        let output = self.output(site, vec![positions, width], true);
        let statistics = format!("{}.statistics", site.prefix);
        let op = Op::Attention {
            shape,
            qkv: qkv.buffer,
            output: output.buffer,
            statistics: self.buffer(&statistics, heads * positions * 2),
        };
        let output = Self::push(site, op, &qkv, output, nodes);
        project(self, "out.", &output, width, nodes)
    }
}

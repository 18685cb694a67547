//! Forward operations become operators.

use std::collections::BTreeSet;

use tabswarm_model::Graph;
use tabswarm_model::graph::shape::{AttentionShape, ConvShape, Image, PoolShape};
use tabswarm_model::graph::{Activation, BufferId, DenseWeight, Op, Step};
use tabswarm_model::layout::TensorId;

use super::proto::{self, Attribute, sizes};
use super::values::{Value, image_shape, row_shape};
use crate::protobuf::Message;

/// The model so far.
pub(super) struct Writer<'a> {
    graph: &'a Graph,
    params: &'a [f32],
    /// `NodeProto`s in order.
    pub(super) nodes: Vec<Message>,
    /// `TensorProto`s: parameters and constants.
    pub(super) initializers: Vec<Message>,
    /// Names of the initializers.
    known: BTreeSet<String>,
    /// By buffer.
    values: Vec<Value>,
    /// What is being translated, for the names of operators.
    place: &'a str,
}

impl<'a> Writer<'a> {
    pub(super) fn new(graph: &'a Graph, params: &'a [f32]) -> Self {
        let mut values = vec![Value::default(); graph.buffers.len()];
        let shape = match graph.vocabulary {
            Some(_) => vec![graph.input_features()],
            None => graph.input_shape.clone(),
        };
        values[graph.input.0] = Value::plain("input".to_owned(), shape);
        Self {
            graph,
            params,
            nodes: Vec::new(),
            initializers: Vec::new(),
            known: BTreeSet::new(),
            values,
            place: "",
        }
    }

    /// Translates one forward operation.
    pub(super) fn step(&mut self, step: &Step) {
        self.place = &self.graph.layers[step.layer].path;
        match step.op {
            Op::Dense {
                weight,
                bias,
                rows,
                input,
                output,
                activation,
                ..
            } => self.dense(weight, bias, rows, [input, output], activation),
            Op::Conv2d {
                weight,
                bias,
                shape,
                input,
                output,
                activation,
                ..
            } => self.conv2d(weight, bias, shape, [input, output], activation),
            Op::MaxPool {
                shape,
                input,
                output,
                ..
            } => self.pool("MaxPool", shape, input, output),
            Op::AvgPool {
                shape,
                input,
                output,
            } => self.pool("AveragePool", shape, input, output),
            Op::Activate {
                activation,
                input,
                output,
                ..
            } => self.each(input, output, |writer, name| {
                writer.activation(activation, name)
            }),
            // Does nothing outside of training, and a copy is the same value.
            Op::Dropout { input, output, .. } | Op::Copy { input, output } => {
                self.values[output.0] = self.values[input.0].clone();
            }
            op => self.sequence_step(op),
        }
    }

    /// Those on sequences, and the end of a residual block.
    fn sequence_step(&mut self, op: Op) {
        match op {
            Op::Embedding {
                table,
                rows,
                tokens,
                output,
            } => self.embedding(table, rows, tokens, output),
            Op::AddPosition {
                table,
                input,
                output,
            } => {
                let shape = self.graph.layout.tensor(table).shape.clone();
                let (input, table) = (self.plain(input, &shape), self.parameter(table));
                let sum = self.emit("Add", &[&input, &table], &[]);
                self.values[output.0] = Value::plain(sum, shape);
            }
            Op::LayerNorm {
                gain,
                bias,
                rows,
                epsilon,
                input,
                output,
                ..
            } => self.layer_norm([gain, bias], rows, epsilon, [input, output]),
            Op::Attention {
                shape, qkv, output, ..
            } => self.attention(shape, qkv, output),
            Op::Add {
                left,
                right,
                output,
            } => self.add(left, right, output),
            _ => {
                unreachable!("the others are above, and a forward pass has no backward operations")
            }
        }
    }

    /// The last layer's values under this name.
    pub(super) fn output(&mut self, name: &'a str) {
        let values = self.prediction();
        self.place = name;
        self.named("Identity", &[&values], name, &[]);
    }

    /// The last layer's values under one name, and what softmax makes of them under another.
    pub(super) fn softmax_output(&mut self, logits: &'a str, probabilities: &str) {
        self.output(logits);
        let last = [("axis", Attribute::Int(-1))];
        self.named("Softmax", &[logits], probabilities, &last);
    }

    fn prediction(&mut self) -> String {
        let loss = &self.graph.loss;
        self.plain(loss.prediction, &row_shape(loss.rows, loss.width))
    }

    /// (rows, in) · (in, out) + (out).
    fn dense(
        &mut self,
        weight: DenseWeight,
        bias: Option<TensorId>,
        rows: usize,
        [input, output]: [BufferId; 2],
        activation: Activation,
    ) {
        let shape = &self.graph.layout.tensor(weight.tensor).shape;
        let [inputs, outputs] = if weight.transposed {
            [shape[1], shape[0]]
        } else {
            [shape[0], shape[1]]
        };
        let mut factor = self.parameter(weight.tensor);
        if weight.transposed {
            let turned = [("perm", Attribute::Ints(&[1, 0]))];
            factor = self.emit("Transpose", &[&factor], &turned);
        }
        let values = self.plain(input, &row_shape(rows, inputs));
        let mut name = self.emit("MatMul", &[&values, &factor], &[]);
        if let Some(bias) = bias {
            let bias = self.parameter(bias);
            name = self.emit("Add", &[&name, &bias], &[]);
        }
        let name = self.activation(activation, name);
        self.values[output.0] = Value::plain(name, row_shape(rows, outputs));
    }

    fn conv2d(
        &mut self,
        weight: TensorId,
        bias: Option<TensorId>,
        shape: ConvShape,
        [input, output]: [BufferId; 2],
        activation: Activation,
    ) {
        let values = self.channels_first(input, shape.input);
        let mut inputs = vec![values, self.kernel(weight, shape)];
        inputs.extend(bias.map(|bias| self.parameter(bias)));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let kernel = sizes(&shape.window.size);
        let strides = sizes(&shape.window.stride);
        let pads = sizes(&pads(shape));
        let groups = sizes(&[shape.groups]);
        let attributes = [
            ("kernel_shape", Attribute::Ints(&kernel)),
            ("strides", Attribute::Ints(&strides)),
            ("pads", Attribute::Ints(&pads)),
            ("group", Attribute::Int(groups[0])),
        ];
        let name = self.emit("Conv", &inputs, &attributes);
        let name = self.activation(activation, name);
        self.values[output.0] = Value::channels_first(name, shape.output);
    }

    /// A convolution's weights as ONNX has them: (out, in of a group, height, width).
    fn kernel(&mut self, weight: TensorId, shape: ConvShape) -> String {
        let tensor = self.graph.layout.tensor(weight);
        let ours = &self.params[tensor.range()];
        let [height, width] = shape.window.size;
        let (inputs, outputs) = (shape.group_inputs(), shape.output.channels);
        let mut values = Vec::with_capacity(ours.len());
        for out in 0..outputs {
            for channel in 0..inputs {
                let pixels = (0..height * width).map(|pixel| (pixel * inputs + channel) * outputs);
                values.extend(pixels.map(|at| ours[at + out]));
            }
        }
        let turned = [outputs, inputs, height, width];
        let message = proto::floats(&tensor.name, &turned, &values);
        self.initializer(&tensor.name, || message)
    }

    fn pool(&mut self, operator: &str, shape: PoolShape, input: BufferId, output: BufferId) {
        let values = self.channels_first(input, shape.input);
        let size = sizes(&shape.window.size);
        let strides = sizes(&shape.window.stride);
        let attributes = [
            ("kernel_shape", Attribute::Ints(&size)),
            ("strides", Attribute::Ints(&strides)),
        ];
        let name = self.emit(operator, &[&values], &attributes);
        self.values[output.0] = Value::channels_first(name, shape.output);
    }

    fn embedding(&mut self, table: TensorId, rows: usize, tokens: BufferId, output: BufferId) {
        let width = self.graph.layout.tensor(table).shape[1];
        let tokens = self.plain(tokens, &[rows]);
        let table = self.parameter(table);
        let name = self.emit("Gather", &[&table, &tokens], &[]);
        self.values[output.0] = Value::plain(name, vec![rows, width]);
    }

    fn layer_norm(
        &mut self,
        [gain, bias]: [TensorId; 2],
        rows: usize,
        epsilon: f32,
        [input, output]: [BufferId; 2],
    ) {
        let width = self.graph.layout.tensor(gain).len;
        let shape = row_shape(rows, width);
        let values = self.plain(input, &shape);
        let (gain, bias) = (self.parameter(gain), self.parameter(bias));
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon)),
        ];
        let name = self.emit("LayerNormalization", &[&values, &gain, &bias], &attributes);
        self.values[output.0] = Value::plain(name, shape);
    }

    /// Scores of all heads at once: (samples, heads, positions, positions).
    fn attention(&mut self, shape: AttentionShape, qkv: BufferId, output: BufferId) {
        let (positions, heads, width) = (shape.positions, shape.heads, shape.head_width);
        let values = self.plain(qkv, &[positions, 3, heads, width]);
        // Queries, keys and values first, then samples, heads, positions.
        let order = [("perm", Attribute::Ints(&[2, 0, 3, 1, 4]))];
        let values = self.emit("Transpose", &[&values], &order);
        let [queries, keys, values] = [0, 1, 2].map(|part| {
            let index = self.integer(part);
            self.emit("Gather", &[&values, &index], &[])
        });
        let scale = self.float(shape.scale());
        let queries = self.emit("Mul", &[&queries, &scale], &[]);
        let turned = [("perm", Attribute::Ints(&[0, 1, 3, 2]))];
        let keys = self.emit("Transpose", &[&keys], &turned);
        let mut scores = self.emit("MatMul", &[&queries, &keys], &[]);
        if shape.causal {
            let mask = self.mask(positions);
            scores = self.emit("Add", &[&scores, &mask], &[]);
        }
        let last = [("axis", Attribute::Int(-1))];
        let shares = self.emit("Softmax", &[&scores], &last);
        let mixed = self.emit("MatMul", &[&shares, &values], &[]);
        let back = [("perm", Attribute::Ints(&[0, 2, 1, 3]))];
        let mixed = self.emit("Transpose", &[&mixed], &back);
        self.values[output.0] = Value::plain(mixed, vec![positions, heads, width]);
    }

    /// (positions, positions): minus infinity where a position would see a later one, else 0. Computed by the model,
    /// whose file would otherwise grow with the square of the context.
    fn mask(&mut self, positions: usize) -> String {
        let infinity = self.float(f32::NEG_INFINITY);
        let square = self.shape_of(&sizes(&[positions, positions]));
        let full = self.emit("Expand", &[&infinity, &square], &[]);
        let above = self.integer(1);
        self.emit("Trilu", &[&full, &above], &[("upper", Attribute::Int(1))])
    }

    fn add(&mut self, left: BufferId, right: BufferId, output: BufferId) {
        let sides = [&self.values[left.0], &self.values[right.0]];
        if let [Some((left, image)), Some((right, _))] =
            sides.map(|value| value.channels_first.clone())
        {
            let sum = self.emit("Add", &[&left, &right], &[]);
            self.values[output.0] = Value::channels_first(sum, image);
            return;
        }
        let (_, shape) = self.any_plain(left);
        let (left, right) = (self.plain(left, &shape), self.plain(right, &shape));
        let sum = self.emit("Add", &[&left, &right], &[]);
        self.values[output.0] = Value::plain(sum, shape);
    }

    /// Applies what does not depend on order or shape.
    fn each(
        &mut self,
        input: BufferId,
        output: BufferId,
        apply: impl Fn(&mut Self, String) -> String,
    ) {
        self.values[output.0] = match self.values[input.0].channels_first.clone() {
            Some((name, image)) => Value::channels_first(apply(self, name), image),
            None => {
                let (name, shape) = self.any_plain(input);
                Value::plain(apply(self, name), shape)
            }
        };
    }

    fn activation(&mut self, activation: Activation, name: String) -> String {
        let approximate = [("approximate", Attribute::Text("tanh"))];
        match activation {
            Activation::Identity => name,
            Activation::Relu => self.emit("Relu", &[&name], &[]),
            Activation::Gelu => self.emit("Gelu", &[&name], &approximate),
            Activation::Sigmoid => self.emit("Sigmoid", &[&name], &[]),
            Activation::Tanh => self.emit("Tanh", &[&name], &[]),
        }
    }

    /// A buffer's value in our order, in whatever shape.
    fn any_plain(&mut self, buffer: BufferId) -> (String, Vec<usize>) {
        let value = self.values[buffer.0].clone();
        if let Some(plain) = value.plain {
            return plain;
        }
        let (name, image) = value
            .channels_first
            .expect("the graph lists operations after those that they need");
        let last = [("perm", Attribute::Ints(&[0, 2, 3, 1]))];
        let plain = (self.emit("Transpose", &[&name], &last), image_shape(image));
        self.values[buffer.0].plain = Some(plain.clone());
        plain
    }

    /// A buffer's value in our order, in this shape.
    fn plain(&mut self, buffer: BufferId, shape: &[usize]) -> String {
        let (name, current) = self.any_plain(buffer);
        if current == shape {
            return name;
        }
        let mut axes = vec![-1];
        axes.extend(sizes(shape));
        let axes = self.shape_of(&axes);
        let name = self.emit("Reshape", &[&name, &axes], &[]);
        self.values[buffer.0].plain = Some((name.clone(), shape.to_vec()));
        name
    }

    /// A buffer's value as an image with its channels first.
    fn channels_first(&mut self, buffer: BufferId, image: Image) -> String {
        if let Some((name, _)) = &self.values[buffer.0].channels_first {
            return name.clone();
        }
        let name = self.plain(buffer, &image_shape(image));
        let first = [("perm", Attribute::Ints(&[0, 3, 1, 2]))];
        let name = self.emit("Transpose", &[&name], &first);
        self.values[buffer.0].channels_first = Some((name.clone(), image));
        name
    }

    /// A parameter tensor as it is.
    fn parameter(&mut self, id: TensorId) -> String {
        let (tensor, params) = (self.graph.layout.tensor(id), self.params);
        self.initializer(&tensor.name, || {
            proto::floats(&tensor.name, &tensor.shape, &params[tensor.range()])
        })
    }

    fn float(&mut self, value: f32) -> String {
        let name = format!("constant {value}");
        let make = || proto::floats(&name, &[], &[value]);
        self.initializer(&name, make)
    }

    fn integer(&mut self, value: i64) -> String {
        let name = format!("integer {value}");
        let make = || proto::integers(&name, &[], &[value]);
        self.initializer(&name, make)
    }

    fn shape_of(&mut self, axes: &[i64]) -> String {
        let name = format!("shape {axes:?}");
        let make = || proto::integers(&name, &[axes.len()], axes);
        self.initializer(&name, make)
    }

    fn initializer(&mut self, name: &str, make: impl FnOnce() -> Message) -> String {
        if self.known.insert(name.to_owned()) {
            self.initializers.push(make());
        }
        name.to_owned()
    }

    /// Appends an operator and gives the name of its output.
    fn emit(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        let output = format!("{}/{operator} {}", self.place, self.nodes.len());
        self.named(operator, inputs, &output, attributes);
        output
    }

    fn named(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) {
        let node = proto::node(operator, output, inputs, output, attributes);
        self.nodes.push(node);
    }
}

/// Rows above, columns left, rows below and columns right that a window needs to reach all of its positions.
fn pads(shape: ConvShape) -> [usize; 4] {
    let [top, left] = shape.window.padding;
    let after = |positions: usize, axis: usize, before: usize, pixels: usize| {
        let reach = (positions - 1) * shape.window.stride[axis] + shape.window.size[axis];
        reach.saturating_sub(before + pixels)
    };
    let below = after(shape.output.height, 0, top, shape.input.height);
    let right = after(shape.output.width, 1, left, shape.input.width);
    [top, left, below, right]
}

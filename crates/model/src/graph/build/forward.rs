//! Layers become forward operations.

use super::{
    Activation, BufferId, Builder, DenseWeight, Init, LayerInfo, Node, Op, Step, TensorId, Value,
};
use crate::graph::shape::{ConvShape, Image, Padding, PoolShape, Window};
use crate::rounding::narrow;
use crate::run_file::{LayerSpec, PoolSpec};

/// A layer's place in the model and what the operations made for it have in common.
pub(super) struct Site<'a> {
    /// Index in [`Builder::layers`].
    pub(super) layer: usize,
    /// Prefix of the names of its tensors and buffers.
    pub(super) prefix: &'a str,
}

impl Builder {
    /// Appends layers; `path` is the key of their list and `depth` the number of blocks around it.
    pub(super) fn layers(
        &mut self,
        specs: &[LayerSpec],
        mut value: Value,
        path: &str,
        depth: usize,
    ) -> (Value, Vec<Node>) {
        let mut nodes = Vec::new();
        let mut specs = specs.iter().enumerate().peekable();
        while let Some((idx, spec)) = specs.next() {
            let joins = matches!(
                spec,
                LayerSpec::Dense { .. } | LayerSpec::TiedDense { .. } | LayerSpec::Conv2d { .. }
            );
            let next = specs.peek().map(|(_, next)| *next);
            let mut joined = None;
            if let (true, Some(LayerSpec::Activation(activation))) = (joins, next) {
                joined = specs.next().map(|(next_idx, _)| (next_idx, *activation));
            }
            let epilogue = joined.map_or(Activation::Identity, |(_, activation)| activation);
            let layer = self.enter(spec.kind(), format!("{path}[{idx}]"), depth);
            let prefix = tensor_prefix(&self.layers[layer].path);
            let before = self.layout.len();
            let site = Site {
                layer,
                prefix: &prefix,
            };
            value = self.layer(&site, spec, &value, epilogue, &mut nodes);
            let within: usize = self.layers[layer + 1..].iter().map(|l| l.parameters).sum();
            self.layers[layer].parameters = self.layout.len() - before - within;
            self.layers[layer].output_shape.clone_from(&value.shape);
            if let Some((next_idx, activation)) = joined {
                let kind = LayerSpec::Activation(activation).kind();
                let layer = self.enter(kind, format!("{path}[{next_idx}]"), depth);
                self.layers[layer].output_shape.clone_from(&value.shape);
            }
        }
        (value, nodes)
    }

    fn enter(&mut self, kind: &'static str, path: String, depth: usize) -> usize {
        self.layers.push(LayerInfo {
            path,
            kind,
            output_shape: Vec::new(),
            parameters: 0,
            depth,
        });
        self.layers.len() - 1
    }

    fn layer(
        &mut self,
        site: &Site<'_>,
        spec: &LayerSpec,
        value: &Value,
        epilogue: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        match spec {
            // Samples are stored flat: flattening is a change of shape only.
            LayerSpec::Flatten => Value {
                shape: vec![value.features()],
                ..value.clone()
            },
            LayerSpec::Dense { units, bias } => {
                self.dense(site, value, *units, *bias, epilogue, nodes)
            }
            LayerSpec::TiedDense { bias } => self.tied_dense(site, value, *bias, epilogue, nodes),
            LayerSpec::Activation(activation) => self.activate(site, value, *activation, nodes),
            LayerSpec::Conv2d { .. } => self.conv2d(site, value, spec, epilogue, nodes),
            LayerSpec::MaxPool(pool) => self.max_pool(site, value, *pool, nodes),
            LayerSpec::AvgPool(pool) => self.avg_pool(site, value, *pool, nodes),
            LayerSpec::Dropout { rate } => self.dropout(site, value, *rate, nodes),
            LayerSpec::Embedding { vocabulary, width } => {
                self.embed(site, value, [*vocabulary, *width], nodes)
            }
            LayerSpec::PositionalEmbedding => self.add_position(site, value, nodes),
            LayerSpec::LayerNorm { epsilon } => self.layer_norm(site, value, *epsilon, nodes),
            LayerSpec::Attention { heads, causal } => {
                self.attention(site, value, *heads, *causal, nodes)
            }
            LayerSpec::Residual { layers } => self.residual(site, value, layers, nodes),
        }
    }

    /// Records an operation and gives its output as a value.
    pub(super) fn push(
        site: &Site<'_>,
        op: Op,
        input: &Value,
        output: Value,
        nodes: &mut Vec<Node>,
    ) -> Value {
        nodes.push(Node::Op {
            step: Step {
                op,
                layer: site.layer,
            },
            needs_grad: [input.needs_grad, output.needs_grad],
        });
        output
    }

    pub(super) fn output(&mut self, site: &Site<'_>, shape: Vec<usize>, needs_grad: bool) -> Value {
        let name = format!("{}.output", site.prefix);
        Value {
            buffer: self.buffer(&name, shape.iter().product()),
            shape,
            needs_grad,
        }
    }

    /// Room for an activation's derivative, where the backward pass will want it.
    fn slope(
        &mut self,
        site: &Site<'_>,
        activation: Activation,
        output: &Value,
    ) -> Option<BufferId> {
        (output.needs_grad && !activation.slope_follows_from_output()).then(|| {
            let name = format!("{}.slope", site.prefix);
            self.buffer(&name, output.features())
        })
    }

    fn dense(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        units: usize,
        bias: bool,
        epilogue: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let (_, width) = value.rows();
        let (weight, bias) = self.linear(site, "", [width, units], bias);
        let weight = DenseWeight {
            tensor: weight,
            transposed: false,
        };
        self.product(site, value, weight, bias, epilogue, nodes)
    }

    fn tied_dense(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        bias: bool,
        epilogue: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let embedding = self.embedding.expect("a tied layer follows an embedding");
        let (_, width) = value.rows();
        let name = format!("{}.bias", site.prefix);
        let bias = bias.then(|| self.tensor(name, vec![embedding.vocabulary], default_init(width)));
        let weight = DenseWeight {
            tensor: embedding.table,
            transposed: true,
        };
        self.product(site, value, weight, bias, epilogue, nodes)
    }

    /// Weights `[in, out]` and bias with the starting values of `PyTorch`'s linear layer, so that the same recipe
    /// starts from the same distribution.
    pub(super) fn linear(
        &mut self,
        site: &Site<'_>,
        part: &str,
        [inputs, outputs]: [usize; 2],
        bias: bool,
    ) -> (TensorId, Option<TensorId>) {
        let init = default_init(inputs);
        let name = |what| format!("{}.{part}{what}", site.prefix);
        let weight = self.tensor(name("weight"), vec![inputs, outputs], init);
        let bias = bias.then(|| self.tensor(name("bias"), vec![outputs], init));
        (weight, bias)
    }

    pub(super) fn product(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        weight: DenseWeight,
        bias: Option<TensorId>,
        epilogue: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let shape = &self.layout.tensor(weight.tensor).shape;
        let units = shape[usize::from(!weight.transposed)];
        let (rows, _) = value.rows();
        let mut axes = value.shape.clone();
        axes.pop();
        axes.push(units);
        let output = self.output(site, axes, true);
        let op = Op::Dense {
            weight,
            bias,
            rows,
            input: value.buffer,
            output: output.buffer,
            activation: epilogue,
            slope: self.slope(site, epilogue, &output),
        };
        Self::push(site, op, value, output, nodes)
    }

    fn activate(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        activation: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let output = self.output(site, value.shape.clone(), value.needs_grad);
        let op = Op::Activate {
            activation,
            input: value.buffer,
            output: output.buffer,
            slope: self.slope(site, activation, &output),
        };
        Self::push(site, op, value, output, nodes)
    }

    fn conv2d(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        spec: &LayerSpec,
        epilogue: Activation,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            groups,
            bias,
        } = *spec
        else {
            unreachable!("called for convolutions only")
        };
        let (output, window) = slide(image(value), kernel, stride, padding);
        let shape = ConvShape {
            input: image(value),
            output: Image { channels, ..output },
            window,
            groups,
        };
        let init = default_init(shape.depth());
        let name = |what| format!("{}.{what}", site.prefix);
        let weight = self.tensor(name("weight"), shape.weight_shape(), init);
        let bias = bias.then(|| self.tensor(name("bias"), vec![channels], init));
        let output = self.output(site, axes(shape.output), true);
        let op = Op::Conv2d {
            weight,
            bias,
            shape,
            input: value.buffer,
            output: output.buffer,
            activation: epilogue,
            slope: self.slope(site, epilogue, &output),
        };
        Self::push(site, op, value, output, nodes)
    }

    fn max_pool(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        spec: PoolSpec,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let shape = pool_shape(value, spec);
        let output = self.output(site, axes(shape.output), value.needs_grad);
        let name = format!("{}.choice", site.prefix);
        let choice = value
            .needs_grad
            .then(|| self.buffer_like(&name, output.buffer));
        let op = Op::MaxPool {
            shape,
            input: value.buffer,
            output: output.buffer,
            choice,
        };
        Self::push(site, op, value, output, nodes)
    }

    fn avg_pool(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        spec: PoolSpec,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let shape = pool_shape(value, spec);
        let output = self.output(site, axes(shape.output), value.needs_grad);
        let op = Op::AvgPool {
            shape,
            input: value.buffer,
            output: output.buffer,
        };
        Self::push(site, op, value, output, nodes)
    }

    fn dropout(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        rate: f32,
        nodes: &mut Vec<Node>,
    ) -> Value {
        let output = self.output(site, value.shape.clone(), value.needs_grad);
        let rate = f64::from(rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate from 0 to below 1 in f32 is at most 2^32 - 256 of these units"
        )]
        let threshold = (rate * 4_294_967_296.0).round_ties_even() as u32;
        let op = Op::Dropout {
            site: self.dropouts,
            threshold,
            scale: narrow(1.0 / (1.0 - rate)),
            input: value.buffer,
            output: output.buffer,
        };
        self.dropouts += 1;
        Self::push(site, op, value, output, nodes)
    }

    fn residual(
        &mut self,
        site: &Site<'_>,
        value: &Value,
        layers: &[LayerSpec],
        nodes: &mut Vec<Node>,
    ) -> Value {
        let path = format!("{}.layers", self.layers[site.layer].path);
        let depth = self.layers[site.layer].depth + 1;
        let (end, branch) = self.layers(layers, value.clone(), &path, depth);
        let needs_grad = value.needs_grad || end.needs_grad;
        let output = self.output(site, value.shape.clone(), needs_grad);
        let add = Step {
            op: Op::Add {
                left: value.buffer,
                right: end.buffer,
                output: output.buffer,
            },
            layer: site.layer,
        };
        nodes.push(Node::Residual {
            branch,
            add,
            input_needs_grad: value.needs_grad,
        });
        output
    }
}

fn default_init(inputs: usize) -> Init {
    let bound = narrow(1.0 / (inputs as f64).sqrt());
    Init::Uniform { bound }
}

/// `layers[2].layers[0]` is `layers.2.layers.0` in the names of tensors.
fn tensor_prefix(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

fn image(value: &Value) -> Image {
    let [height, width, channels] = value.shape[..] else {
        unreachable!("layers on images get (height, width, channels)")
    };
    Image {
        height,
        width,
        channels,
    }
}

fn axes(image: Image) -> Vec<usize> {
    vec![image.height, image.width, image.channels]
}

/// The positions of a window over an image.
fn slide(input: Image, size: [usize; 2], stride: [usize; 2], padding: Padding) -> (Image, Window) {
    let along = |axis: usize, pixels| {
        padding
            .resolve(pixels, size[axis], stride[axis])
            .expect("the window fits the image")
    };
    let ((height, top), (width, left)) = (along(0, input.height), along(1, input.width));
    let output = Image {
        height,
        width,
        channels: input.channels,
    };
    let window = Window {
        size,
        stride,
        padding: [top, left],
    };
    (output, window)
}

fn pool_shape(value: &Value, spec: PoolSpec) -> PoolShape {
    let input = image(value);
    let (output, window) = slide(input, spec.size, spec.stride, Padding::Valid);
    PoolShape {
        input,
        output,
        window,
    }
}

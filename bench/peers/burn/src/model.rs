//! A run file's layers out of Burn's modules.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{
    Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::activation::{gelu_approximate, relu, softmax};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor};
use serde_json::Value;

use crate::number;

/// What flows between layers.
#[derive(Debug, Clone)]
pub enum Activations {
    /// (n, positions).
    Tokens(Tensor<2, Int>),
    /// (n, features).
    Rows(Tensor<2>),
    /// (n, positions, width).
    Sequences(Tensor<3>),
    /// (n, channels, height, width).
    Images(Tensor<4>),
}

impl Activations {
    /// As (rows, width), for the loss.
    pub fn rows(self, rows: usize, width: usize) -> Tensor<2> {
        match self {
            Self::Rows(x) => x,
            Self::Sequences(x) => x.reshape([rows, width]),
            Self::Images(x) => x.reshape([rows, width]),
            Self::Tokens(_) => unreachable!("a model without layers has no loss"),
        }
    }

    fn map2(
        self,
        rows: impl FnOnce(Tensor<2>) -> Tensor<2>,
        sequences: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Self {
        match self {
            Self::Rows(x) => Self::Rows(rows(x)),
            Self::Sequences(x) => Self::Sequences(sequences(x)),
            other => other,
        }
    }
}

#[derive(Debug)]
enum Layer {
    Flatten,
    Dense(Linear),
    Relu,
    Gelu,
    Conv2d(Conv2d),
    MaxPool(MaxPool2d),
    Embedding(Embedding),
    Positions(Param<Tensor<2>>),
    LayerNorm(LayerNorm),
    Attention(Attention),
    Residual(Vec<Self>),
}

/// A model.
#[derive(Debug)]
pub struct Model {
    layers: Vec<Layer>,
    /// Shape of a sample.
    pub input: Vec<usize>,
    /// Of the tokens; none where inputs are values.
    pub vocabulary: Option<usize>,
    /// Labels of a sample.
    pub rows: usize,
    /// What the last layer tells apart.
    pub classes: usize,
    /// Trained values.
    pub parameters: usize,
}

impl Model {
    /// The model of a run.
    pub fn new(model: &Value, device: &Device) -> Result<Self, String> {
        let shape = model["input"]
            .as_array()
            .ok_or("the run has no model.input")?;
        let input: Vec<usize> = shape.iter().map(number).collect::<Result<_, _>>()?;
        let mut builder = Builder {
            device,
            parameters: 0,
        };
        let (layers, output) = builder.layers(&model["layers"], input.clone())?;
        let classes = *output.last().ok_or("the model gives nothing")?;
        Ok(Self {
            layers,
            input,
            vocabulary: number(&model["layers"][0]["vocabulary"]).ok(),
            rows: if output.len() == 2 { output[0] } else { 1 },
            classes,
            parameters: builder.parameters,
        })
    }

    /// The forward pass.
    pub fn forward(&self, inputs: Activations) -> Activations {
        forward(&self.layers, inputs)
    }
}

struct Builder<'a> {
    device: &'a Device,
    parameters: usize,
}

impl Builder<'_> {
    fn counted<M: Module>(&mut self, module: M) -> M {
        self.parameters += module.num_params();
        module
    }

    /// Layers, and the shape of their output without the batch.
    fn layers(
        &mut self,
        specs: &Value,
        mut shape: Vec<usize>,
    ) -> Result<(Vec<Layer>, Vec<usize>), String> {
        let mut layers = Vec::new();
        for spec in specs.as_array().ok_or("layers are a list")? {
            let (layer, output) = self.layer(spec, shape)?;
            layers.push(layer);
            shape = output;
        }
        Ok((layers, shape))
    }

    fn layer(&mut self, spec: &Value, shape: Vec<usize>) -> Result<(Layer, Vec<usize>), String> {
        let device = self.device;
        let last = *shape.last().ok_or("a shape without axes")?;
        Ok(match spec["kind"].as_str().unwrap_or_default() {
            "flatten" => (Layer::Flatten, vec![shape.iter().product()]),
            "relu" => (Layer::Relu, shape),
            "gelu" => (Layer::Gelu, shape),
            "dense" => {
                let units = number(&spec["units"])?;
                let bias = spec["bias"].as_bool().unwrap_or(true);
                let linear = LinearConfig::new(last, units).with_bias(bias).init(device);
                let mut output = shape;
                *output.last_mut().expect("looked at above") = units;
                (Layer::Dense(self.counted(linear)), output)
            }
            "conv2d" if spec["padding"] == "same" => {
                let (channels, kernel) = (number(&spec["channels"])?, number(&spec["kernel"])?);
                let conv = Conv2dConfig::new([last, channels], [kernel; 2])
                    .with_padding(PaddingConfig2d::Same)
                    .init(device);
                (
                    Layer::Conv2d(self.counted(conv)),
                    vec![shape[0], shape[1], channels],
                )
            }
            "max_pool" => {
                let size = number(&spec["size"])?;
                let pool = MaxPool2dConfig::new([size; 2])
                    .with_strides([size; 2])
                    .init();
                (
                    Layer::MaxPool(pool),
                    vec![shape[0] / size, shape[1] / size, last],
                )
            }
            "embedding" => {
                let (vocabulary, width) = (number(&spec["vocabulary"])?, number(&spec["width"])?);
                let table = EmbeddingConfig::new(vocabulary, width).init(device);
                (Layer::Embedding(self.counted(table)), vec![last, width])
            }
            "positional_embedding" => {
                let table =
                    Tensor::random([shape[0], last], Distribution::Normal(0.0, 0.02), device);
                (
                    Layer::Positions(self.counted(Param::from_tensor(table))),
                    shape,
                )
            }
            "layer_norm" => {
                let norm = LayerNormConfig::new(last).init(device);
                (Layer::LayerNorm(self.counted(norm)), shape)
            }
            "attention" => {
                let heads = number(&spec["heads"])?;
                (
                    Layer::Attention(self.attention(shape[0], last, heads)),
                    shape,
                )
            }
            "residual" => {
                let (inner, output) = self.layers(&spec["layers"], shape)?;
                (Layer::Residual(inner), output)
            }
            kind => return Err(format!("no layer {kind} like this in this comparison")),
        })
    }

    fn attention(&mut self, positions: usize, width: usize, heads: usize) -> Attention {
        let device = self.device;
        let qkv = LinearConfig::new(width, 3 * width).init(device);
        let out = LinearConfig::new(width, width).init(device);
        Attention {
            qkv: self.counted(qkv),
            out: self.counted(out),
            later: Tensor::<2, Bool>::tril_mask([positions; 2], 0, device).unsqueeze(),
            heads,
        }
    }
}

#[derive(Debug)]
struct Attention {
    qkv: Linear,
    out: Linear,
    /// (1, 1, positions, positions): true where a position would see a later one.
    later: Tensor<4, Bool>,
    heads: usize,
}

impl Attention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [n, positions, width] = x.dims();
        let head_width = width / self.heads;
        let parts = self.qkv.forward(x).chunk(3, 2);
        let [q, k, v] = <[Tensor<3>; 3]>::try_from(parts)
            .expect("three times the width is three parts")
            .map(|part| {
                part.reshape([n, positions, self.heads, head_width])
                    .swap_dims(1, 2)
            });
        let scores = q.matmul(k.swap_dims(2, 3)) / (head_width as f32).sqrt();
        let later = self
            .later
            .clone()
            .expand([n, self.heads, positions, positions]);
        let shares = softmax(scores.mask_fill(later, f32::NEG_INFINITY), 3);
        let mixed = shares
            .matmul(v)
            .swap_dims(1, 2)
            .reshape([n, positions, width]);
        self.out.forward(mixed)
    }
}

fn forward(layers: &[Layer], inputs: Activations) -> Activations {
    layers.iter().fold(inputs, |x, layer| layer.forward(x))
}

impl Layer {
    fn forward(&self, x: Activations) -> Activations {
        use Activations::{Images, Rows, Sequences, Tokens};
        match (self, x) {
            (Self::Flatten, Images(x)) => Rows(x.flatten(1, 3)),
            (Self::Flatten, x) => x,
            (Self::Relu, Images(x)) => Images(relu(x)),
            (Self::Relu, x) => x.map2(relu, relu),
            (Self::Gelu, x) => x.map2(gelu_approximate, gelu_approximate),
            (Self::Dense(linear), x) => x.map2(|x| linear.forward(x), |x| linear.forward(x)),
            (Self::LayerNorm(norm), x) => x.map2(|x| norm.forward(x), |x| norm.forward(x)),
            (Self::Conv2d(conv), Images(x)) => Images(conv.forward(x)),
            (Self::MaxPool(pool), Images(x)) => Images(pool.forward(x)),
            (Self::Embedding(table), Tokens(x)) => Sequences(table.forward(x)),
            (Self::Positions(table), Sequences(x)) => Sequences(x + table.val().unsqueeze()),
            (Self::Attention(attention), Sequences(x)) => Sequences(attention.forward(x)),
            (Self::Residual(inner), Sequences(x)) => {
                let Sequences(y) = forward(inner, Sequences(x.clone())) else {
                    unreachable!("layers within a residual block keep the shape")
                };
                Sequences(x + y)
            }
            (layer, x) => unreachable!("{layer:?} cannot follow {x:?}"),
        }
    }
}

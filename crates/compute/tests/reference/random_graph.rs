//! Small models with made-up parameters and batches: given ones, and random ones with every kind of layer.

use std::sync::Arc;

use tabswarm_model::Graph;
use tabswarm_model::graph::{Activation, Padding, Targets, build};
use tabswarm_model::layout::Init;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

use super::Expected;

/// A graph with everything that a batch needs.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) graph: Arc<Graph>,
    pub(crate) params: Vec<f32>,
    pub(crate) inputs: Vec<f32>,
    /// For losses against classes.
    pub(crate) labels: Vec<u16>,
    /// For losses against values, whole probabilities for each row.
    pub(crate) values: Vec<f32>,
    pub(crate) noise: NoiseKey,
    pub(crate) samples: usize,
}

impl Case {
    /// The model with parameters, inputs and targets that follow from `seed`.
    pub(crate) fn new(model: &ModelSpec, samples: usize, seed: u64) -> Self {
        let graph = Arc::new(build(model));
        let mut random = Random(seed);
        let params = graph.layout.tensors().iter().flat_map(|tensor| {
            let center = f32::from(u8::from(tensor.init == Init::One));
            let values: Vec<f32> = (0..tensor.len)
                .map(|_| center + 0.5 * random.unit())
                .collect();
            values
        });
        let params = params.collect();
        let inputs = (0..samples * graph.input_features()).map(|_| match graph.vocabulary {
            Some(vocabulary) => random.below(vocabulary) as f32,
            None => random.unit(),
        });
        let inputs = inputs.collect();
        let (rows, width) = (samples * graph.label_rows(), graph.classes);
        let label = |_| u16::try_from(random.below(width)).expect("few classes");
        let labels = (0..rows).map(label).collect();
        let values = (0..rows).flat_map(|_| random.probabilities(width));
        let values = values.collect();
        let noise = NoiseKey {
            seed,
            version: 3,
            micro_batch: 1,
        };
        Self {
            graph,
            params,
            inputs,
            labels,
            values,
            noise,
            samples,
        }
    }

    /// A random model of up to a few thousand parameters.
    pub(crate) fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let model = random.model();
        let samples = 1 + random.below(6);
        Self::new(&model, samples, seed ^ 1)
    }

    /// Hands the targets that the loss wants to `f`, in double precision.
    pub(crate) fn with_expected<R>(&self, f: impl FnOnce(Expected<'_>) -> R) -> R {
        match self.graph.loss.targets() {
            Targets::Classes => f(Expected::Classes(&self.labels)),
            Targets::Values => {
                let values: Vec<f64> = self.values.iter().map(|&v| v.into()).collect();
                f(Expected::Values(&values))
            }
        }
    }
}

/// A `SplitMix64` sequence.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.word() % bound as u64).expect("below a usize")
    }

    /// A multiple of 2^-15 in [-1, 1), the same in single and double precision.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.word() >> 48) as f32 / 32_768.0 - 1.0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn probabilities(&mut self, width: usize) -> Vec<f32> {
        let weights: Vec<f32> = (0..width).map(|_| self.unit().abs() + 0.01).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }

    fn model(&mut self) -> ModelSpec {
        let mut layers = Vec::new();
        let (input, classes_are_words) = match self.below(3) {
            0 => (self.vector_layers(&mut layers), false),
            1 => (self.image_layers(&mut layers), false),
            _ => self.sequence_layers(&mut layers),
        };
        if !classes_are_words {
            layers.push(LayerSpec::Dense {
                units: 2 + self.below(17),
                bias: self.chance(),
            });
        }
        let loss = match self.below(6) {
            0 => LossSpec::SoftTargets { temperature: 2.0 },
            1 => LossSpec::MeanSquaredError,
            2 => LossSpec::MeanSquaredErrorOfClasses,
            _ => LossSpec::SoftmaxCrossEntropy,
        };
        ModelSpec {
            input,
            layers,
            loss,
        }
    }

    fn activation(&mut self) -> LayerSpec {
        use Activation::{Gelu, Relu, Sigmoid, Tanh};
        LayerSpec::Activation(self.pick(&[Relu, Gelu, Sigmoid, Tanh]))
    }

    fn vector_layers(&mut self, layers: &mut Vec<LayerSpec>) -> Vec<usize> {
        let input = vec![1 + self.below(40)];
        let mut width = input[0];
        for _ in 0..=self.below(4) {
            match self.below(4) {
                0 => layers.push(self.activation()),
                1 => layers.push(self.residual(width)),
                2 => layers.push(LayerSpec::Dropout { rate: 0.25 }),
                _ => {
                    width = 1 + self.below(40);
                    let bias = self.chance();
                    layers.push(LayerSpec::Dense { units: width, bias });
                    if self.chance() {
                        layers.push(self.activation());
                    }
                }
            }
        }
        input
    }

    /// Layers that keep a last axis of `width`.
    fn residual(&mut self, width: usize) -> LayerSpec {
        let mut layers = Vec::new();
        for _ in 0..=self.below(3) {
            layers.push(match self.below(6) {
                0 => self.activation(),
                1 => LayerSpec::LayerNorm { epsilon: 1e-5 },
                2 => LayerSpec::Dropout { rate: 0.5 },
                3 => LayerSpec::Residual {
                    layers: vec![self.activation()],
                },
                _ => LayerSpec::dense(width),
            });
        }
        LayerSpec::Residual { layers }
    }

    fn image_layers(&mut self, layers: &mut Vec<LayerSpec>) -> Vec<usize> {
        let input = vec![4 + self.below(7), 4 + self.below(7), self.pick(&[1, 2, 4])];
        let mut sides = [input[0], input[1]];
        let mut channels = input[2];
        for _ in 0..=self.below(3) {
            let stride = [1 + self.below(2), 1 + self.below(2)];
            let size = sides.map(|side| 1 + self.below(side.min(3)));
            let mut padding = Padding::Valid;
            match self.below(4) {
                0 => layers.push(LayerSpec::MaxPool(PoolSpec { size, stride })),
                1 => layers.push(LayerSpec::AvgPool(PoolSpec { size, stride })),
                _ => {
                    padding = self.pick(&[Padding::Same, Padding::Valid, Padding::Pixels(1)]);
                    let groups = self.pick(&[1, channels]);
                    channels = groups * (1 + self.below(5));
                    layers.push(LayerSpec::Conv2d {
                        channels,
                        kernel: size,
                        stride,
                        padding,
                        groups,
                        bias: self.chance(),
                    });
                    if self.chance() {
                        layers.push(self.activation());
                    }
                }
            }
            for axis in 0..2 {
                let positions = padding.resolve(sides[axis], size[axis], stride[axis]);
                sides[axis] = positions.expect("windows are chosen to fit").0;
            }
        }
        layers.push(LayerSpec::Flatten);
        input
    }

    /// The input's shape, and whether the last layer scores the words of the vocabulary.
    fn sequence_layers(&mut self, layers: &mut Vec<LayerSpec>) -> (Vec<usize>, bool) {
        let (positions, vocabulary) = (1 + self.below(20), 2 + self.below(20));
        let heads = self.pick(&[1, 2, 3]);
        let width = heads * (1 + self.below(9));
        layers.push(LayerSpec::Embedding { vocabulary, width });
        if self.chance() {
            layers.push(LayerSpec::PositionalEmbedding);
        }
        for _ in 0..=self.below(2) {
            let causal = self.chance();
            let norm = LayerSpec::LayerNorm { epsilon: 1e-5 };
            let attention = LayerSpec::Attention { heads, causal };
            layers.push(match self.below(3) {
                0 => self.residual(width),
                1 => attention,
                _ => LayerSpec::Residual {
                    layers: vec![norm, attention],
                },
            });
        }
        let tied = self.chance();
        if tied {
            layers.push(LayerSpec::TiedDense {
                bias: self.chance(),
            });
        }
        (vec![positions], tied)
    }
}

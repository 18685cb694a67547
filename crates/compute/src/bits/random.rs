//! Random numbers that need no library to stay as they are, and random models made of them.

use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

/// A `SplitMix64` sequence.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.word() % bound as u64).expect("below a usize")
    }

    /// A multiple of 2^-15 in [-1, 1), the same in single and double precision.
    pub(super) fn unit(&mut self) -> f32 {
        (self.word() >> 48) as f32 / 32_768.0 - 1.0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Values above 0 that add up to 1.
    pub(super) fn probabilities(&mut self, width: usize) -> Vec<f32> {
        let weights: Vec<f32> = (0..width).map(|_| self.unit().abs() + 0.01).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }

    /// A model of up to a few thousand parameters, with any kind of layer.
    pub(super) fn model(&mut self) -> ModelSpec {
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

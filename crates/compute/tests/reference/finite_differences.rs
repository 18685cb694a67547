//! The double-precision reference against finite differences: every operation alone and in odd shapes, and
//! random graphs. What the engine is measured with must be right itself.

use crate::reference::{Reference, with_expected};
use tabswarm_compute::bits::Case;
use tabswarm_model::graph::{Activation, Op, Padding, Step};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

/// Half the distance of the two points whose difference gives a slope.
const STEP: f64 = 1e-5;
/// Parameters tried per graph.
const TRIED: usize = 150;

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn check(case: &Case, name: &str) {
    let (inputs, mut params) = (double(&case.inputs), double(&case.params));
    let mut reference = Reference::new(&case.graph, &params).with_noise(case.noise);
    with_expected(case, |expected| {
        reference.loss_and_gradient(&inputs, expected)
    });
    let gradient = reference.gradient;
    let loss = |params: &[f64]| {
        let mut reference = Reference::new(&case.graph, params).with_noise(case.noise);
        with_expected(case, |expected| reference.loss(&inputs, expected))
    };
    let stride = params.len().div_ceil(TRIED);
    for idx in (0..params.len()).step_by(stride) {
        let at = params[idx];
        let [above, below] = [at + STEP, at - STEP].map(|value| {
            params[idx] = value;
            loss(&params)
        });
        params[idx] = at;
        let slope = (above - below) / (2.0 * STEP);
        let error = (slope - gradient[idx]).abs();
        let tensors = case.graph.layout.tensors();
        let tensor = tensors.iter().find(|t| t.range().contains(&idx));
        let tensor = tensor.expect("tensors cover all parameters");
        assert!(
            error < 1e-6 * (1.0 + slope.abs()),
            "{name}: {} [{}]: slope {slope}, gradient {}",
            tensor.name,
            idx - tensor.offset,
            gradient[idx]
        );
    }
}

fn check_layers(input: &[usize], layers: &[LayerSpec], loss: LossSpec) {
    let model = ModelSpec {
        input: input.to_vec(),
        layers: layers.to_vec(),
        loss,
    };
    check(&Case::new(&model, 3, 5), &format!("{layers:?} {loss:?}"));
}

const CROSS_ENTROPY: LossSpec = LossSpec::SoftmaxCrossEntropy;

fn conv(channels: usize, kernel: [usize; 2], stride: [usize; 2], padding: Padding) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        groups: 1,
        bias: true,
    }
}

#[test]
fn activations_alone_and_joined() {
    use Activation::{Gelu, Relu, Sigmoid, Tanh};
    for activation in [Relu, Gelu, Sigmoid, Tanh].map(LayerSpec::Activation) {
        let twice = [
            activation.clone(),
            LayerSpec::dense(5),
            activation.clone(),
            activation,
            LayerSpec::dense(3),
        ];
        check_layers(&[7], &twice, CROSS_ENTROPY);
    }
}

#[test]
fn losses() {
    for loss in [
        CROSS_ENTROPY,
        LossSpec::SoftTargets { temperature: 1.0 },
        LossSpec::SoftTargets { temperature: 3.0 },
        LossSpec::MeanSquaredErrorOfClasses,
        LossSpec::MeanSquaredError,
    ] {
        check_layers(&[6], &[LayerSpec::dense(4)], loss);
        // Several rows of a sample.
        check_layers(&[3, 2], &[LayerSpec::dense(4)], loss);
    }
}

#[test]
fn convolutions() {
    use Padding::{Pixels, Same, Valid};
    for (kernel, stride, padding) in [
        ([3, 3], [1, 1], Same),
        ([1, 1], [1, 1], Valid),
        ([2, 3], [1, 2], Valid),
        ([3, 2], [2, 1], Same),
        ([5, 4], [3, 2], Pixels(2)),
        ([1, 2], [2, 3], Pixels(1)),
    ] {
        let layers = [
            conv(2, [2, 2], [1, 1], Same),
            conv(3, kernel, stride, padding),
            LayerSpec::Flatten,
            LayerSpec::dense(3),
        ];
        check_layers(&[6, 5, 1], &layers, CROSS_ENTROPY);
    }
}

#[test]
fn grouped_convolutions() {
    for (groups, channels) in [(2, 6), (4, 4), (4, 8)] {
        let grouped = LayerSpec::Conv2d {
            channels,
            kernel: [3, 2],
            stride: [1, 2],
            padding: Padding::Same,
            groups,
            bias: false,
        };
        let first = conv(4, [1, 1], [1, 1], Padding::Valid);
        let layers = [first, grouped, LayerSpec::Flatten, LayerSpec::dense(3)];
        check_layers(&[4, 5, 2], &layers, CROSS_ENTROPY);
    }
}

#[test]
fn pooling() {
    for (size, stride) in [
        ([2, 2], [2, 2]),
        ([3, 2], [1, 2]),
        ([2, 3], [3, 1]),
        ([5, 6], [1, 1]),
        ([1, 1], [2, 2]),
    ] {
        let spec = PoolSpec { size, stride };
        for pool in [LayerSpec::MaxPool(spec), LayerSpec::AvgPool(spec)] {
            let layers = [
                pool.clone(),
                conv(3, [1, 1], [1, 1], Padding::Pixels(2)),
                pool,
                LayerSpec::Flatten,
                LayerSpec::dense(3),
            ];
            check_layers(&[9, 10, 2], &layers, CROSS_ENTROPY);
        }
    }
}

#[test]
fn norms_dropout_and_residual_blocks() {
    let norm = || LayerSpec::LayerNorm { epsilon: 1e-5 };
    let dense = LayerSpec::dense;
    let residual = |layers| LayerSpec::Residual { layers };
    for layers in [
        vec![norm(), dense(3)],
        vec![dense(5), norm(), dense(3)],
        vec![
            LayerSpec::Dropout { rate: 0.5 },
            dense(5),
            LayerSpec::Dropout { rate: 0.25 },
            dense(3),
        ],
        vec![residual(vec![dense(6), LayerSpec::RELU]), dense(3)],
        vec![
            dense(5),
            residual(vec![dense(5), LayerSpec::RELU]),
            dense(3),
        ],
        vec![dense(5), residual(vec![LayerSpec::RELU]), dense(3)],
        vec![dense(5), residual(vec![LayerSpec::Flatten]), dense(3)],
        vec![
            dense(5),
            residual(vec![
                norm(),
                residual(vec![residual(vec![LayerSpec::RELU]), dense(5)]),
            ]),
            dense(3),
        ],
        vec![
            residual(vec![LayerSpec::RELU]),
            residual(vec![dense(6)]),
            dense(3),
        ],
    ] {
        check_layers(&[6], &layers, CROSS_ENTROPY);
    }
}

#[test]
fn text_models() {
    let embedding = LayerSpec::Embedding {
        vocabulary: 7,
        width: 6,
    };
    let attention = |heads, causal| LayerSpec::Attention { heads, causal };
    let positions = LayerSpec::PositionalEmbedding;
    let residual = |layers| LayerSpec::Residual { layers };
    let tied = |bias| LayerSpec::TiedDense { bias };
    for layers in [
        vec![LayerSpec::dense(7)],
        vec![positions.clone(), LayerSpec::dense(7)],
        vec![residual(vec![positions.clone()]), LayerSpec::dense(7)],
        vec![attention(1, true), LayerSpec::dense(7)],
        vec![attention(3, true), LayerSpec::dense(7)],
        vec![attention(2, false), LayerSpec::dense(7)],
        vec![residual(vec![attention(6, true)]), tied(false)],
        vec![tied(true)],
        vec![
            LayerSpec::dense(6),
            tied(false),
            LayerSpec::dense(6),
            tied(true),
        ],
        vec![positions, LayerSpec::Flatten, LayerSpec::dense(3)],
    ] {
        let layers = [vec![embedding.clone()], layers].concat();
        check_layers(&[5], &layers, CROSS_ENTROPY);
    }
}

#[test]
fn random_graphs() {
    for seed in 0..200 {
        check(&Case::random(seed), &format!("random graph {seed}"));
    }
}

#[test]
fn random_graphs_have_every_operation() {
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let graph = Case::random(seed).graph;
        let steps = graph.forward.iter().chain(&graph.backward);
        names.extend(steps.map(|step| step.op.name()));
        let adds = |step: &Step| matches!(step.op, Op::EmbeddingBackward { adds: true, .. });
        if graph.backward.iter().any(adds) {
            names.insert("tied embedding");
        }
    }
    assert_eq!(names.len(), 23, "{names:?}");
}

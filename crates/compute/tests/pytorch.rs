//! The engine against saved results of `PyTorch` (see `tests/fixtures/make_*_fixture.py`).

use std::sync::Arc;

use serde::Deserialize;
use tabswarm_compute::{Batch, Engine, Path};
use tabswarm_model::graph::{self, Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

/// What every fixture has beside its sizes.
#[derive(Deserialize)]
struct Fixture {
    inputs: Vec<f32>,
    labels: Vec<u16>,
    params: Vec<f32>,
    loss_sum: f64,
    correct: u32,
    probabilities: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

#[test]
fn a_multilayer_perceptron_agrees_with_pytorch() {
    #[derive(Deserialize)]
    struct Sizes {
        sizes: [usize; 3],
    }
    let text = include_str!("../../../tests/fixtures/mlp.json");
    let Sizes {
        sizes: [inputs, hidden, classes],
    } = serde_json::from_str(text).unwrap();
    let layers = vec![
        LayerSpec::dense(hidden),
        LayerSpec::RELU,
        LayerSpec::dense(classes),
    ];
    check(text, &[inputs], layers, 1e-6);
}

#[test]
fn a_convolutional_network_agrees_with_pytorch() {
    let convolution = |channels| LayerSpec::Conv2d {
        channels,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::Same,
        groups: 1,
        bias: true,
    };
    let halved = PoolSpec {
        size: [2, 2],
        stride: [2, 2],
    };
    let layers = vec![
        convolution(4),
        LayerSpec::RELU,
        LayerSpec::MaxPool(halved),
        convolution(6),
        LayerSpec::RELU,
        LayerSpec::MaxPool(halved),
        LayerSpec::Flatten,
        LayerSpec::dense(5),
    ];
    let text = include_str!("../../../tests/fixtures/cnn.json");
    check(text, &[8, 8, 1], layers, 1e-6);
}

#[test]
fn a_language_model_agrees_with_pytorch() {
    #[derive(Deserialize)]
    struct Sizes {
        vocabulary: usize,
        positions: usize,
        width: usize,
        heads: usize,
        hidden: usize,
        blocks: usize,
    }
    let text = include_str!("../../../tests/fixtures/gpt.json");
    let sizes: Sizes = serde_json::from_str(text).unwrap();
    let (vocabulary, width, heads) = (sizes.vocabulary, sizes.width, sizes.heads);
    let norm = LayerSpec::LayerNorm { epsilon: 1e-5 };
    let causal = true;
    let mut layers = vec![
        LayerSpec::Embedding { vocabulary, width },
        LayerSpec::PositionalEmbedding,
    ];
    for _ in 0..sizes.blocks {
        let attention = vec![norm.clone(), LayerSpec::Attention { heads, causal }];
        let network = vec![
            norm.clone(),
            LayerSpec::dense(sizes.hidden),
            LayerSpec::Activation(Activation::Gelu),
            LayerSpec::dense(width),
        ];
        layers.extend([attention, network].map(|layers| LayerSpec::Residual { layers }));
    }
    layers.push(norm);
    layers.push(LayerSpec::Dense {
        units: vocabulary,
        bias: false,
    });
    check(text, &[sizes.positions], layers, 1e-5);
}

/// Loss, gradients and probabilities of the fixture's batch, on every path, within a relative error.
fn check(fixture: &str, input: &[usize], layers: Vec<LayerSpec>, tolerance: f64) {
    let fixture: Fixture =
        serde_json::from_str(fixture).expect("a fixture as the script writes it");
    let graph = Arc::new(graph::build(&ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    assert_eq!(graph.layout.tensors().len(), fixture.gradients.len());
    let samples = fixture.inputs.len() / graph.input_features();
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut engine =
            Engine::with_path(Arc::clone(&graph), path, samples).expect("the path is available");
        engine
            .set_params(&fixture.params)
            .expect("parameters that fit");
        let batch = Batch::labeled(&fixture.inputs, &fixture.labels);
        let stats = engine.gradient(batch).expect("a batch that fits");
        let nats = stats.loss_q20 as f64 / f64::from(1 << 20);
        assert!(
            (nats - fixture.loss_sum).abs() < 1e-5 * fixture.loss_sum,
            "{path:?}: {nats}"
        );
        assert_eq!(stats.correct, fixture.correct);
        for (tensor, expected) in graph.layout.tensors().iter().zip(&fixture.gradients) {
            let error = relative_l2(&engine.gradient_buffer()[tensor.range()], expected);
            let name = &tensor.name;
            assert!(
                error <= tolerance,
                "{path:?} {name}: relative error {error}"
            );
        }
        let probabilities = engine
            .predict(&fixture.inputs, samples)
            .expect("inputs that fit");
        assert!(relative_l2(probabilities, &fixture.probabilities) <= tolerance);
    }
}

fn relative_l2(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let differences = got
        .iter()
        .zip(expected)
        .map(|(&g, &e)| f64::from(g) - f64::from(e));
    let values = expected.iter().map(|&e| f64::from(e));
    (squares(&mut { differences }) / squares(&mut { values })).sqrt()
}

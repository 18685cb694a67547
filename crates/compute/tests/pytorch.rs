//! The engine against saved results of `PyTorch` (see `tests/fixtures/make_mlp_fixture.py`).

use std::sync::Arc;

use serde::Deserialize;
use tabswarm_compute::{Batch, Engine, Path};
use tabswarm_model::graph;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

#[derive(Deserialize)]
struct Fixture {
    sizes: [usize; 3],
    inputs: Vec<f32>,
    labels: Vec<u16>,
    params: Vec<f32>,
    loss_sum: f64,
    correct: u32,
    probabilities: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

#[test]
fn loss_gradients_and_probabilities_agree_with_pytorch() {
    let text = include_str!("../../../tests/fixtures/mlp.json");
    let fixture: Fixture = serde_json::from_str(text).unwrap();
    let [inputs, hidden, classes] = fixture.sizes;
    let graph = Arc::new(graph::build(&ModelSpec {
        input: vec![inputs],
        layers: vec![
            LayerSpec::dense(hidden),
            LayerSpec::RELU,
            LayerSpec::dense(classes),
        ],
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    let samples = fixture.labels.len();
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut engine = Engine::with_path(Arc::clone(&graph), path, samples).unwrap();
        engine.set_params(&fixture.params).unwrap();
        let batch = Batch {
            inputs: &fixture.inputs,
            labels: &fixture.labels,
        };
        let stats = engine.gradient(batch).unwrap();
        let nats = stats.loss_q20 as f64 / f64::from(1 << 20);
        assert!(
            (nats - fixture.loss_sum).abs() < 1e-5 * fixture.loss_sum,
            "{path:?}: {nats}"
        );
        assert_eq!(stats.correct, fixture.correct);
        for (tensor, expected) in graph.layout.tensors().iter().zip(&fixture.gradients) {
            let error = relative_l2(&engine.gradient_buffer()[tensor.range()], expected);
            assert!(
                error <= 1e-6,
                "{path:?} {}: relative error {error}",
                tensor.name
            );
        }
        let probabilities = engine.predict(&fixture.inputs, samples).unwrap();
        assert!(relative_l2(probabilities, &fixture.probabilities) <= 1e-6);
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

//! How many samples go through the graph together does not show in the results.

use super::*;
use tabswarm_model::graph::{Activation, Padding, build};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

const SAMPLES: usize = 7;

fn check(input: &[usize], layers: Vec<LayerSpec>) {
    let graph = Arc::new(build(&ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    let number = |idx: usize| (idx * 7_919 % 997) as f32 / 498.5 - 1.0;
    let params: Vec<f32> = (0..graph.layout.len()).map(number).collect();
    let inputs = (0..SAMPLES * graph.input_features()).map(|idx| match graph.vocabulary {
        Some(vocabulary) => (idx * 5 % vocabulary) as f32,
        None => number(idx + 13),
    });
    let inputs: Vec<f32> = inputs.collect();
    let labels: Vec<u16> = [2, 0, 1]
        .into_iter()
        .cycle()
        .take(SAMPLES * graph.label_rows())
        .collect();
    let noise = NoiseKey {
        seed: 1,
        version: 2,
        micro_batch: 3,
    };
    let batch = Batch {
        noise: Some(noise),
        ..Batch::labeled(&inputs, &labels)
    };
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let results = [1, 2, 3, SAMPLES].map(|at_once| {
            let graph = Arc::clone(&graph);
            let mut engine = Engine::with_groups(graph, path, SAMPLES, at_once).unwrap();
            engine.set_params(&params).unwrap();
            let stats = engine.gradient(batch).unwrap();
            let bits: Vec<u32> = engine.gradient.iter().map(|g| g.to_bits()).collect();
            assert_eq!(stats.samples as usize, SAMPLES);
            let alone = engine.evaluate(batch).unwrap();
            let predictions = engine.predict(&inputs, SAMPLES).unwrap().to_vec();
            (stats, alone, bits, predictions)
        });
        assert!(
            results.iter().all(|result| *result == results[3]),
            "{path:?}"
        );
    }
}

#[test]
fn images() {
    let layers = vec![
        LayerSpec::Conv2d {
            channels: 5,
            kernel: [3, 3],
            stride: [1, 1],
            padding: Padding::Same,
            groups: 1,
            bias: true,
        },
        LayerSpec::RELU,
        LayerSpec::MaxPool(PoolSpec {
            size: [2, 2],
            stride: [2, 2],
        }),
        LayerSpec::Dropout { rate: 0.3 },
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    check(&[7, 6, 2], layers);
}

#[test]
fn sequences() {
    let norm = LayerSpec::LayerNorm { epsilon: 1e-5 };
    let network = vec![
        norm.clone(),
        LayerSpec::dense(6),
        LayerSpec::Activation(Activation::Gelu),
        LayerSpec::Dropout { rate: 0.2 },
    ];
    let layers = vec![
        LayerSpec::Embedding {
            vocabulary: 9,
            width: 6,
        },
        LayerSpec::PositionalEmbedding,
        LayerSpec::Residual { layers: network },
        LayerSpec::Attention {
            heads: 2,
            causal: true,
        },
        norm,
        LayerSpec::dense(3),
    ];
    check(&[5], layers);
}

#[test]
fn an_observer_sees_every_stage_of_every_group() {
    struct Stages(Vec<Stage>);

    impl Observer for Stages {
        fn finished(&mut self, stage: Stage) {
            self.0.push(stage);
        }
    }

    let graph = Arc::new(build(&ModelSpec {
        input: vec![4],
        layers: vec![LayerSpec::dense(3), LayerSpec::RELU, LayerSpec::dense(2)],
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    let params = vec![0.5; graph.layout.len()];
    let batch = Batch::labeled(&[1.0; 12], &[0, 1, 0]);
    let mut engine = Engine::with_groups(Arc::clone(&graph), Path::Generic, 3, 2).unwrap();
    engine.set_params(&params).unwrap();
    let stats = engine.gradient(batch).unwrap();
    let gradient = engine.gradient_buffer().to_vec();
    let mut stages = Stages(Vec::new());
    let observed = engine.gradient_observed(batch, &mut stages).unwrap();
    assert_eq!((observed, engine.gradient_buffer()), (stats, &gradient[..]));
    let forward = (0..graph.forward.len()).map(Stage::Forward);
    let backward = (0..graph.backward.len()).map(Stage::Backward);
    let group: Vec<Stage> = forward.chain([Stage::Loss]).chain(backward).collect();
    let expected = [
        &[Stage::CheckBatch][..],
        &group,
        &group,
        &[Stage::CheckGradient],
    ]
    .concat();
    assert_eq!(stages.0, expected);
}

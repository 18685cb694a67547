//! The engine's gradients against finite differences and against the double-precision reference, on every
//! path that this machine has.

#[path = "reference/finite_differences.rs"]
mod finite_differences;
#[path = "reference/plans.rs"]
mod plans;
mod reference;

use std::sync::Arc;

use reference::random_graph::Case;
use reference::{Expected, Reference};
use tabswarm_compute::{Batch, ComputeError, Engine, Path};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

fn case(input: &[usize], layers: Vec<LayerSpec>, samples: usize) -> Case {
    let model = ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    Case::new(&model, samples, 1)
}

/// Perceptrons of odd sizes.
fn cases() -> Vec<Case> {
    use LayerSpec::Flatten;
    let dense = LayerSpec::dense;
    let relu = || LayerSpec::RELU;
    vec![
        case(&[1], vec![dense(1)], 1),
        case(&[5], vec![dense(3)], 4),
        case(&[17], vec![Flatten, dense(13), relu(), dense(5)], 7),
        case(
            &[6],
            vec![relu(), dense(7), relu(), relu(), dense(4), dense(3)],
            9,
        ),
        case(
            &[33],
            vec![dense(31), relu(), dense(17), relu(), dense(2), relu()],
            37,
        ),
    ]
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn paths() -> impl Iterator<Item = Path> {
    Path::ALL.into_iter().filter(|path| path.is_available())
}

#[test]
fn every_path_agrees_with_the_reference() {
    for case in cases() {
        let params = double(&case.params);
        let mut reference = Reference::new(&case.graph, &params);
        let loss =
            reference.loss_and_gradient(&double(&case.inputs), Expected::Classes(&case.labels));
        for path in paths() {
            let samples = case.samples;
            let mut engine = Engine::with_path(Arc::clone(&case.graph), path, samples + 3).unwrap();
            engine.set_params(&case.params).unwrap();
            let batch = Batch {
                inputs: &case.inputs,
                labels: &case.labels,
            };
            let stats = engine.gradient(batch).unwrap();
            let nats = stats.loss_q20 as f64 / f64::from(1 << 20);
            assert!(
                (nats - loss).abs() < 1e-5 * (1.0 + loss),
                "{path:?}: {nats} {loss}"
            );
            assert_eq!(engine.evaluate(batch).unwrap(), stats);
            for tensor in case.graph.layout.tensors() {
                let got = &engine.gradient_buffer()[tensor.range()];
                let expected = &reference.gradient[tensor.range()];
                let error = relative_l2(got, expected);
                assert!(
                    error < 1e-6,
                    "{path:?} {}: relative error {error}",
                    tensor.name
                );
            }
        }
    }
}

fn relative_l2(got: &[f32], expected: &[f64]) -> f64 {
    let squares = got
        .iter()
        .zip(expected)
        .map(|(&g, e)| (f64::from(g) - e).powi(2));
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    (squares.sum::<f64>() / norm.max(f64::MIN_POSITIVE)).sqrt()
}

#[test]
fn all_paths_of_a_class_give_the_same_bits() {
    for case in cases() {
        let batch = Batch {
            inputs: &case.inputs,
            labels: &case.labels,
        };
        let mut by_class: Vec<(Path, Vec<u32>)> = Vec::new();
        for path in paths() {
            let mut engine = Engine::with_path(Arc::clone(&case.graph), path, 64).unwrap();
            engine.set_params(&case.params).unwrap();
            engine.gradient(batch).unwrap();
            let bits: Vec<u32> = engine
                .gradient_buffer()
                .iter()
                .map(|g| g.to_bits())
                .collect();
            let twin = by_class
                .iter()
                .find(|(other, _)| other.class() == path.class());
            if let Some((other, expected)) = twin {
                assert!(bits == *expected, "{path:?} differs from {other:?}");
            }
            by_class.push((path, bits));
        }
    }
}

#[test]
fn predictions_are_probabilities() {
    let case = &cases()[2];
    let mut engine = Engine::with_path(Arc::clone(&case.graph), Path::Generic, 7).unwrap();
    engine.set_params(&case.params).unwrap();
    let probabilities = engine.predict(&case.inputs, 7).unwrap();
    assert_eq!(probabilities.len(), 7 * 5);
    for row in probabilities.chunks_exact(5) {
        assert!(row.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let case = &cases()[2];
    let mut engine = Engine::with_path(Arc::clone(&case.graph), Path::Generic, 6).unwrap();
    let batch = |samples: usize| Batch {
        inputs: &case.inputs[..samples * 17],
        labels: &case.labels[..samples],
    };
    assert_eq!(engine.gradient(batch(1)), Err(ComputeError::ParamsMissing));
    let (got, expected) = (case.params.len() - 1, case.params.len());
    let short = engine.set_params(&case.params[1..]);
    assert_eq!(short, Err(ComputeError::ParamsLength { got, expected }));
    engine.set_params(&case.params).unwrap();
    assert_eq!(engine.gradient(batch(0)), Err(ComputeError::EmptyBatch));
    let too_many = ComputeError::TooManySamples {
        samples: 7,
        max_samples: 6,
    };
    assert_eq!(engine.gradient(batch(7)), Err(too_many));
    let inputs = ComputeError::InputLength {
        got: 18,
        samples: 1,
        features: 17,
    };
    assert_eq!(
        engine.predict(&case.inputs[..18], 1).map(<[f32]>::len),
        Err(inputs)
    );
    let label = ComputeError::Label {
        sample: 1,
        label: 5,
        classes: 5,
    };
    let bad = Batch {
        inputs: &case.inputs[..34],
        labels: &[0, 5],
    };
    assert_eq!(engine.evaluate(bad), Err(label));
}

#[test]
fn values_that_are_not_finite_are_reported_where_they_are() {
    let case = &cases()[2];
    let mut engine = Engine::with_path(Arc::clone(&case.graph), Path::Generic, 7).unwrap();
    let mut params = case.params.clone();
    params[case.graph.layout.tensors()[1].offset] = f32::NAN;
    let tensor = "layers.1.bias".to_owned();
    assert_eq!(
        engine.set_params(&params),
        Err(ComputeError::NonFinite { tensor })
    );
    engine.set_params(&case.params).unwrap();
    let mut inputs = case.inputs.clone();
    inputs[3 * 17 + 4] = f32::INFINITY;
    let bad = Batch {
        inputs: &inputs,
        labels: &case.labels,
    };
    assert_eq!(
        engine.gradient(bad),
        Err(ComputeError::NonFiniteLoss { sample: 3 })
    );
    assert!(engine.predict(&inputs, 7).is_err());
    // Finite inputs whose gradient is not: the loss is fine, the product with the input overflows.
    let linear = &cases()[1];
    let mut engine = Engine::with_path(Arc::clone(&linear.graph), Path::Generic, 4).unwrap();
    engine
        .set_params(&vec![0.0; linear.graph.layout.len()])
        .unwrap();
    let huge = Batch {
        inputs: &[f32::MAX; 20],
        labels: &[0; 4],
    };
    let tensor = "layers.0.weight".to_owned();
    assert_eq!(
        engine.gradient(huge),
        Err(ComputeError::NonFinite { tensor })
    );
}

//! Batches that do not fit and values that are not finite.

use std::sync::Arc;

use tabswarm_compute::{Batch, ComputeError, Engine, Path, Targets};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

use crate::cases::perceptron;
use tabswarm_compute::bits::Case;

fn small() -> Case {
    let layers = vec![LayerSpec::dense(13), LayerSpec::RELU, LayerSpec::dense(5)];
    perceptron(17, layers, 7)
}

fn ready(case: &Case, max_samples: usize) -> Engine {
    let mut engine = Engine::with_path(Arc::clone(&case.graph), Path::Generic, max_samples)
        .expect("the generic path runs everywhere");
    engine
        .set_params(&case.params)
        .expect("parameters that fit");
    engine
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let case = small();
    let mut engine = Engine::with_path(Arc::clone(&case.graph), Path::Generic, 6).unwrap();
    let batch =
        |samples: usize| Batch::labeled(&case.inputs[..samples * 17], &case.labels[..samples]);
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
    let predictions = engine.predict(&case.inputs[..18], 1);
    assert_eq!(predictions.map(<[f32]>::len), Err(inputs));
    let label = ComputeError::Label {
        sample: 1,
        label: 5,
        classes: 5,
    };
    let bad = Batch::labeled(&case.inputs[..34], &[0, 5]);
    assert_eq!(engine.evaluate(bad), Err(label));
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let case = small();
    let mut engine = ready(&case, 7);
    let values = Batch {
        inputs: &case.inputs,
        targets: Targets::Values(&case.values),
        noise: None,
    };
    let wanted = "class indices";
    assert_eq!(
        engine.gradient(values),
        Err(ComputeError::TargetsKind { wanted })
    );
    let model = ModelSpec {
        input: vec![3, 2],
        layers: vec![LayerSpec::dense(4)],
        loss: LossSpec::MeanSquaredError,
    };
    let case = Case::new(&model, 2, 1);
    let mut engine = ready(&case, 2);
    let labels = Batch::labeled(&case.inputs, &[0; 6]);
    let wanted = "target values";
    assert_eq!(
        engine.gradient(labels),
        Err(ComputeError::TargetsKind { wanted })
    );
    let short = Batch {
        inputs: &case.inputs,
        targets: Targets::Values(&case.values[..20]),
        noise: None,
    };
    let (got, expected) = (20, 24);
    assert_eq!(
        engine.gradient(short),
        Err(ComputeError::TargetsLength { got, expected })
    );
}

#[test]
fn dropout_wants_noise_while_training_only() {
    let layers = vec![LayerSpec::Dropout { rate: 0.5 }, LayerSpec::dense(3)];
    let case = perceptron(4, layers, 2);
    let mut engine = ready(&case, 2);
    let batch = Batch::labeled(&case.inputs, &case.labels);
    assert_eq!(engine.gradient(batch), Err(ComputeError::NoiseMissing));
    assert!(engine.evaluate(batch).is_ok());
}

#[test]
fn values_that_are_not_finite_are_reported_where_they_are() {
    let case = small();
    let mut engine = ready(&case, 7);
    let mut params = case.params.clone();
    params[case.graph.layout.tensors()[1].offset] = f32::NAN;
    let tensor = "layers.0.bias".to_owned();
    assert_eq!(
        engine.set_params(&params),
        Err(ComputeError::NonFinite { tensor })
    );
    let mut inputs = case.inputs.clone();
    inputs[3 * 17 + 4] = f32::INFINITY;
    let bad = Batch::labeled(&inputs, &case.labels);
    assert_eq!(
        engine.gradient(bad),
        Err(ComputeError::NonFiniteLoss { sample: 3 })
    );
    assert!(engine.predict(&inputs, 7).is_err());
    // Finite inputs whose gradient is not: the loss is fine, the product with the input overflows.
    let linear = perceptron(5, vec![LayerSpec::dense(3)], 4);
    let mut engine = ready(&linear, 4);
    engine
        .set_params(&vec![0.0; linear.graph.layout.len()])
        .unwrap();
    let huge = Batch::labeled(&[f32::MAX; 20], &[0; 4]);
    let tensor = "layers.0.weight".to_owned();
    assert_eq!(
        engine.gradient(huge),
        Err(ComputeError::NonFinite { tensor })
    );
}

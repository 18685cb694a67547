//! What half precision can and can't hold.

use std::sync::Arc;

use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};
use tabswarm_model::{Run, loss_scale};

use super::device;
use crate::ArithmeticClass;
use crate::bits::Case;
use crate::engine::Engine;
use crate::gpu::recording::Recording;
use crate::gpu::recording::places::Slot;
use crate::gpu::recording::product::Shape;
use crate::gpu::twins::{bounded, halves, values_of_halves};
use crate::gpu::{GpuEngine, GpuError, Precision, block_on};

/// Steps of a training.
const TRAINING_STEPS: usize = 100;

fn engine(case: &Case) -> GpuEngine {
    let graph = Arc::clone(&case.graph);
    let made = GpuEngine::new(device(), graph, case.samples, Precision::Half);
    let mut engine = block_on(made).unwrap();
    engine.set_params(&case.params).unwrap();
    engine
}

fn case() -> Case {
    let model = ModelSpec {
        input: vec![7],
        layers: vec![LayerSpec::dense(5), LayerSpec::RELU, LayerSpec::dense(3)],
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    Case::new(&model, 5, 11)
}

fn gradient(engine: &mut GpuEngine, case: &Case) -> Result<Vec<f32>, GpuError> {
    block_on(engine.gradient(case.batch()))?;
    Ok(engine.gradient_buffer().to_vec())
}

#[test]
fn words_have_two_values_and_the_largest_stand_for_larger_ones() {
    let values = [1.0, -2.5, 65_504.0, 6e-8, 0.1];
    let words: Vec<f32> = halves(&values).into_iter().map(f32::from_bits).collect();
    let rounded = [1.0, -2.5, 65_504.0, 5.960_464_5e-8, 0.099_975_586, 0.0];
    assert_eq!(values_of_halves(&words), rounded);
    let large = [65_505.0, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let bound = [65_504.0, -65_504.0, 65_504.0, -65_504.0, 65_504.0];
    assert_eq!(
        large.map(bounded).map(f32::to_bits),
        bound.map(f32::to_bits)
    );
}

/// Too large a scale is no harm done: with a smaller one the engine goes on.
#[test]
fn gradients_that_do_not_fit_with_their_scale_are_noticed() {
    let case = case();
    let mut engine = engine(&case);
    let plain = gradient(&mut engine, &case).unwrap();
    for scale in [20.0, 60.0].map(f32::exp2) {
        engine.set_scale(scale);
        let error = gradient(&mut engine, &case);
        assert_eq!(error, Err(GpuError::ScaleTooLarge { scale }));
    }
    engine.set_scale(1.0);
    assert_eq!(gradient(&mut engine, &case).unwrap(), plain);
    // The first micro-batch of a later lease is no less noticed than the canary's.
    engine.set_scale(f32::exp2(30.0));
    for _ in 0..3 {
        block_on(engine.add(case.batch())).unwrap();
    }
    let mut sums = vec![0.0; plain.len()];
    let error = block_on(engine.finish(&mut sums)).unwrap_err();
    assert!(matches!(error, GpuError::ScaleTooLarge { .. }), "{error}");
    assert!(sums.iter().all(|sum| sum.to_bits() == 0));
}

/// What scales are for: without one, or with one that is too small, nothing comes through products.
#[test]
fn small_gradients_are_lost_without_a_scale() {
    let case = case();
    let mut engine = engine(&case);
    let plain = gradient(&mut engine, &case).unwrap();
    let weights = 0..plain.len() - 3;
    engine.set_scale(f32::exp2(-40.0));
    let lost = gradient(&mut engine, &case).unwrap();
    assert!(
        lost[weights.clone()]
            .iter()
            .all(|value| value.to_bits() == 0)
    );
    assert!(plain[weights].iter().any(|value| value.abs() > 0.01));
}

#[test]
fn samples_and_parameters_that_do_not_fit_are_refused_at_every_scale() {
    let mut case = case();
    let mut engine = engine(&case);
    let mut params = case.params.clone();
    params[4] = -70_000.0;
    assert_eq!(engine.set_params(&params), Err(GpuError::HalfRange));
    let plain = gradient(&mut engine, &case).unwrap();
    let input = std::mem::replace(&mut case.inputs[8], 1e6);
    assert_eq!(gradient(&mut engine, &case), Err(GpuError::HalfRange));
    engine.begin();
    case.inputs[8] = input;
    assert_eq!(gradient(&mut engine, &case).unwrap(), plain);
}

/// Of a transformer, most of whose buffers products read.
#[test]
fn buffers_take_less_memory() {
    let run = Run::from_toml(include_str!("../../../../../runs/char-gpt.toml")).unwrap();
    let words = |precision| {
        let samples = run.micro_batch as usize;
        let recording = Recording::new(&run.graph(), samples, Shape::NARROW, precision);
        let activations = recording
            .sizes
            .iter()
            .filter(|(slot, _)| matches!(slot, Slot::Shared(_) | Slot::HalfShared(_)));
        activations.map(|(_, words)| *words).sum::<usize>()
    };
    let [single, half] = [Precision::Single, Precision::Half].map(words);
    assert!(5 * half <= 4 * single, "{half} of {single} words");
}

/// Mean loss after some steps, not counting those that were skipped, of plain gradient descent, and how many were skipped.
fn trained(
    case: &Case,
    mut sums_of: impl FnMut(&[f32], f32) -> Result<Vec<f32>, GpuError>,
) -> (f64, u32) {
    let (mut params, mut skipped) = (case.params.clone(), 0);
    let mut scale = loss_scale::first(1);
    let mut steps = 0;
    while steps < TRAINING_STEPS {
        let (factor, _) = loss_scale::of_lease(scale.current());
        match sums_of(&params, factor) {
            Ok(sums) => {
                for (param, sum) in params.iter_mut().zip(sums) {
                    *param -= 0.005 * sum / case.samples as f32;
                }
                scale = loss_scale::after_good_step(&scale);
                steps += 1;
            }
            Err(GpuError::ScaleTooLarge { .. }) => {
                scale = loss_scale::after_overflow(&scale).unwrap();
                skipped += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let mut cpu = Engine::new(
        Arc::clone(&case.graph),
        ArithmeticClass::Portable,
        case.samples,
    );
    let cpu = cpu.as_mut().unwrap();
    cpu.set_params(&params).unwrap();
    let stats = cpu.gradient(case.batch()).unwrap();
    (
        stats.loss_q20 as f64 / 1_048_576.0 / case.samples as f64,
        skipped,
    )
}

/// A model that begins far off, so that its first gradients are too large for the first scale.
#[test]
fn training_in_half_precision_ends_where_it_does_in_single() {
    let model = ModelSpec {
        input: vec![19],
        layers: vec![LayerSpec::dense(33), LayerSpec::RELU, LayerSpec::dense(7)],
        loss: LossSpec::MeanSquaredError,
    };
    let mut case = Case::new(&model, 31, 3);
    case.values.iter_mut().for_each(|value| *value *= 500.0);
    let mut gpu = engine(&case);
    let (half, skipped) = trained(&case, |params, scale| {
        gpu.set_params(params)?;
        gpu.set_scale(scale);
        gradient(&mut gpu, &case)
    });
    let graph = Arc::clone(&case.graph);
    let mut cpu = Engine::new(graph, ArithmeticClass::Portable, case.samples).unwrap();
    let (single, _) = trained(&case, |params, _| {
        cpu.set_params(params)?;
        cpu.gradient(case.batch())?;
        Ok(cpu.gradient_buffer().to_vec())
    });
    assert!(
        (half - single).abs() < 0.02 * single,
        "{half} instead of {single}"
    );
    assert!((1..8).contains(&skipped), "{skipped}");
}

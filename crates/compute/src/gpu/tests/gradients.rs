//! Whole gradients against the CPU engine.

use std::sync::Arc;

use tabswarm_model::Run;

use super::{HALF_AGREEMENT, device};
use crate::bits::Case;
use crate::engine::Engine;
use crate::gpu::{Agreement, GpuEngine, Precision, block_on};
use crate::{ArithmeticClass, BatchStats};

const RUNS: [&str; 3] = [
    include_str!("../../../../../runs/mnist-mlp.toml"),
    include_str!("../../../../../runs/mnist-cnn.toml"),
    include_str!("../../../../../runs/char-gpt.toml"),
];

/// The gradient of a case on both, each of `turns` micro-batches summed.
fn both(case: &Case, precision: Precision, turns: usize) -> (Agreement, BatchStats, BatchStats) {
    let graph = Arc::clone(&case.graph);
    let made = GpuEngine::new(device(), Arc::clone(&graph), case.samples, precision);
    let mut gpu = block_on(made).unwrap();
    if precision == Precision::Half {
        gpu.set_scale(1024.0);
    }
    gpu.set_params(&case.params).unwrap();
    let mut cpu = Engine::new(graph, ArithmeticClass::Portable, case.samples).unwrap();
    cpu.set_params(&case.params).unwrap();
    let mut expected = vec![0.0; case.graph.layout.len()];
    let mut expected_stats = BatchStats::default();
    for _ in 0..turns {
        expected_stats += cpu.gradient(case.batch()).unwrap();
        crate::sums::add_f32(&mut expected, cpu.gradient_buffer());
        block_on(gpu.add(case.batch())).unwrap();
    }
    let mut got = vec![0.0; expected.len()];
    let stats = block_on(gpu.finish(&mut got)).unwrap();
    (Agreement::of(&got, &expected), stats, expected_stats)
}

#[test]
fn the_models_that_ship() {
    for text in RUNS {
        let run = Run::from_toml(text).unwrap();
        let (agreement, stats, expected) = both(&Case::of_run(&run), Precision::Single, 3);
        assert!(agreement.holds(0.9999, 1e-4), "{}: {agreement:?}", run.name);
        assert_eq!(stats.samples, expected.samples);
        let loss = (stats.loss_q20 - expected.loss_q20) as f64 / expected.loss_q20 as f64;
        assert!(loss.abs() < 1e-5, "{}: {stats:?} {expected:?}", run.name);
        let right = i64::from(stats.correct) - i64::from(expected.correct);
        assert!(right.abs() <= 3, "{}: {stats:?} {expected:?}", run.name);
    }
}

#[test]
fn random_models() {
    for seed in 0..25 {
        let (agreement, ..) = both(&Case::random(seed), Precision::Single, 2);
        assert!(agreement.holds(0.9999, 1e-4), "{seed}: {agreement:?}");
    }
}

#[test]
fn the_models_that_ship_in_half_precision() {
    for text in RUNS {
        let run = Run::from_toml(text).unwrap();
        let (agreement, stats, expected) = both(&Case::of_run(&run), Precision::Half, 3);
        let [cosine, difference] = HALF_AGREEMENT;
        let is_right = agreement.holds(cosine, difference);
        assert!(is_right, "{}: {agreement:?}", run.name);
        assert_eq!(stats.samples, expected.samples);
        let loss = (stats.loss_q20 - expected.loss_q20) as f64 / expected.loss_q20 as f64;
        assert!(loss.abs() < 1e-3, "{}: {stats:?} {expected:?}", run.name);
    }
}

#[test]
fn random_models_in_half_precision() {
    let [cosine, difference] = HALF_AGREEMENT;
    for seed in 0..25 {
        let (agreement, ..) = both(&Case::random(seed), Precision::Half, 2);
        let is_right = agreement.holds(cosine, difference);
        assert!(is_right, "{seed}: {agreement:?}");
    }
}

#[test]
fn leases_are_independent_and_last_micro_batches_may_be_short() {
    let run = Run::from_toml(RUNS[0]).unwrap();
    let whole = Case::of_run(&run);
    let part = Case::new(&run.model, 5, 9);
    let made = GpuEngine::new(
        device(),
        Arc::clone(&whole.graph),
        whole.samples,
        Precision::Single,
    );
    let mut gpu = block_on(made).unwrap();
    gpu.set_params(&whole.params).unwrap();
    let gradient = |gpu: &mut GpuEngine, case: &Case| {
        block_on(gpu.gradient(case.batch())).unwrap();
        gpu.gradient_buffer().to_vec()
    };
    let first = gradient(&mut gpu, &whole);
    let other = gradient(&mut gpu, &part);
    let again = gradient(&mut gpu, &whole);
    assert_eq!(first, again);
    assert_ne!(first, other);
    // Given up halfway, a lease leaves nothing behind.
    gpu.begin();
    block_on(gpu.add(part.batch())).unwrap();
    assert_eq!(gradient(&mut gpu, &whole), first);
}

/// Dispatches of large models are divided, and buffers beyond the adapter's limits are refused with a reason.
#[test]
fn limits() {
    use crate::gpu::GpuError;
    use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};
    let model = ModelSpec {
        input: vec![1 << 14],
        layers: vec![LayerSpec::dense(2)],
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    let graph = Arc::new(tabswarm_model::graph::build(&model));
    let error = block_on(GpuEngine::new(device(), graph, 1 << 24, Precision::Single)).unwrap_err();
    assert!(matches!(error, GpuError::Unfit { .. }), "{error}");
    assert!(
        error.to_string().contains("the model does not fit the GPU"),
        "{error}"
    );
}

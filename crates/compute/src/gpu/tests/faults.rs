//! Faults, injected on purpose, are caught.

use std::sync::Arc;

use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

use super::device;
use crate::bits::Case;
use crate::gpu::faults::Fault;
use crate::gpu::{GpuDevice, GpuEngine, GpuError, Precision, block_on};

/// Trials of all faults together.
const TRIALS: usize = 1_000;

fn case() -> Case {
    let model = ModelSpec {
        input: vec![6],
        layers: vec![LayerSpec::dense(5), LayerSpec::RELU, LayerSpec::dense(3)],
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    Case::new(&model, 4, 11)
}

/// An engine that has done a lease already, so that no canary falls into the next one.
fn engine(device: Arc<GpuDevice>, case: &Case) -> GpuEngine {
    let made = GpuEngine::new(
        device,
        Arc::clone(&case.graph),
        case.samples,
        Precision::Single,
    );
    let mut engine = block_on(made).unwrap();
    engine.set_params(&case.params).unwrap();
    lease(&mut engine, case, 1).unwrap();
    engine
}

fn lease(engine: &mut GpuEngine, case: &Case, turns: usize) -> Result<Vec<f32>, GpuError> {
    let mut sums = vec![0.0; case.graph.layout.len()];
    for _ in 0..turns {
        block_on(engine.add(case.batch()))?;
    }
    block_on(engine.finish(&mut sums))?;
    Ok(sums)
}

/// One trial: the error that catches the fault.
fn trial(idx: usize, device: &Arc<GpuDevice>, case: &Case) -> GpuError {
    let index = idx * 7_919;
    let fault = match idx % 10 {
        0 | 1 => Fault::ZeroGradient,
        2 | 3 => Fault::StaleGradient,
        4 => Fault::NanGradient { index },
        5 => Fault::ZeroAnswer,
        6 | 7 => Fault::StaleAnswer,
        8 => Fault::NanAnswer { index },
        // A device that is lost has to be opened anew, which takes longer than all the rest.
        _ if idx % 100 == 9 => Fault::LostDevice,
        _ => return broken_pipeline(device),
    };
    let device = match fault {
        Fault::LostDevice => self::device(),
        _ => Arc::clone(device),
    };
    let mut engine = engine(device, case);
    engine.fault = Some(fault);
    lease(&mut engine, case, 1 + idx % 3).expect_err("a fault that nobody noticed")
}

fn broken_pipeline(device: &GpuDevice) -> GpuError {
    let source = "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }";
    let made = block_on(device.compile("broken", source, &[]));
    made.expect_err("a kernel that no driver should take")
}

#[test]
fn every_fault_is_caught_before_anything_is_handed_out() {
    let (device, case) = (device(), case());
    let mut lost = 0;
    for idx in 0..TRIALS {
        let error = trial(idx, &device, &case);
        lost += usize::from(matches!(error, GpuError::Lost { .. }));
    }
    assert_eq!(lost, TRIALS / 100, "devices that were lost");
    // What was broken on purpose is whole again without the fault.
    let mut engine = engine(device, &case);
    lease(&mut engine, &case, 2).unwrap();
}

#[test]
fn the_same_parameters_may_give_the_same_lease_twice() {
    let (device, case) = (device(), case());
    let mut engine = engine(device, &case);
    let first = lease(&mut engine, &case, 2).unwrap();
    assert_eq!(lease(&mut engine, &case, 2).unwrap(), first);
}

#[test]
fn canaries_catch_wrong_values_that_look_right() {
    let (device, case) = (device(), case());
    let made = GpuEngine::new(
        device,
        Arc::clone(&case.graph),
        case.samples,
        Precision::Single,
    );
    let mut engine = block_on(made).unwrap();
    engine.set_params(&case.params).unwrap();
    // Other parameters than the CPU's stand for a kernel that computes something else.
    let mut other = case.params.clone();
    other[3] += 0.5;
    engine.overwrite_params(&other);
    let error = block_on(engine.add(case.batch())).unwrap_err();
    assert!(matches!(error, GpuError::WrongGradient { .. }), "{error}");
}

#[test]
fn a_lease_has_room_for_as_many_micro_batches_as_the_protocol_allows() {
    let (device, case) = (device(), case());
    let mut engine = engine(device, &case);
    for _ in 0..64 {
        block_on(engine.add(case.batch())).unwrap();
    }
    assert_eq!(
        block_on(engine.add(case.batch())),
        Err(GpuError::Full { limit: 64 })
    );
    let mut sums = vec![0.0; case.graph.layout.len()];
    block_on(engine.finish(&mut sums)).unwrap();
}

//! What tests and benchmarks ask of the GPU.

use std::sync::Arc;

use js_sys::Promise;
use js_sys::futures::future_to_promise;
use tabswarm_compute::bits::Case;
use tabswarm_compute::gpu::{Agreement, GpuEngine, GpuError, Precision, compare_with_twins};
use tabswarm_compute::{ArithmeticClass, Engine, Workload};
use tabswarm_model::{Run, loss_scale};
use wasm_bindgen::prelude::*;

use super::patience::{self, ANSWER_S, SETUP_S};
use super::{open, seconds};

fn failed(error: &dyn std::fmt::Display) -> JsValue {
    JsError::new(&error.to_string()).into()
}

fn read(run_json: &str) -> Result<Run, JsValue> {
    Run::from_json(run_json).map_err(|error| failed(&error))
}

/// Samples per second of the GPU on a run's model (its JSON), forward and backward, each micro-batch read back by
/// itself, measured for `millis` milliseconds with made-up samples.
#[wasm_bindgen]
pub fn gpu_bench(run_json: String, micro_batch: u32, millis: u32) -> Promise {
    future_to_promise(async move {
        let graph = Arc::new(read(&run_json)?.graph());
        let workload = Workload::new(&graph, micro_batch as usize);
        let rate = speed(graph, &workload, micro_batch, millis).await;
        rate.map(JsValue::from).map_err(|error| failed(&error))
    })
}

async fn speed(
    graph: Arc<tabswarm_model::Graph>,
    workload: &Workload,
    micro_batch: u32,
    millis: u32,
) -> Result<f64, GpuError> {
    let device = open().await?;
    let made = GpuEngine::new(device, graph, micro_batch as usize, Precision::Single);
    let mut engine = patience::within(SETUP_S, made).await?;
    engine.set_params(&workload.params)?;
    patience::within(ANSWER_S, engine.gradient(workload.batch())).await?;
    let started = seconds();
    let mut samples = 0.0;
    loop {
        let stats = patience::within(ANSWER_S, engine.gradient(workload.batch())).await?;
        samples += f64::from(stats.samples);
        let elapsed = seconds() - started;
        if elapsed * 1e3 >= f64::from(millis) {
            return Ok(samples / elapsed);
        }
    }
}

/// Compares every kernel of a run's model with its twin, for so many samples, and gives the number of kernels.
#[wasm_bindgen]
pub fn gpu_kernels(run_json: String, samples: u32) -> Promise {
    future_to_promise(async move {
        let run = read(&run_json)?;
        let case = Case::new(&run.model, samples as usize, 5);
        let compared = async { compare_with_twins(&*open().await?, &case, run.precision).await };
        let kernels = patience::within(SETUP_S, compared).await;
        let kernels = kernels.map_err(|error| failed(&error))?;
        Ok(JsValue::from(u32::try_from(kernels).unwrap_or(u32::MAX)))
    })
}

/// The gradient of a run's model over some micro-batches, compared with the CPU's: `[cosine, difference]`.
#[wasm_bindgen]
pub fn gpu_agreement(run_json: String, micro_batches: u32) -> Promise {
    future_to_promise(async move {
        let run = read(&run_json)?;
        let agreement = agreement(&Case::of_run(&run), run.precision, micro_batches).await;
        let Agreement { cosine, difference } = agreement.map_err(|error| failed(&error))?;
        let both = [cosine, difference].map(JsValue::from);
        Ok(js_sys::Array::of(&both).into())
    })
}

async fn agreement(
    case: &Case,
    precision: Precision,
    micro_batches: u32,
) -> Result<Agreement, GpuError> {
    let device = open().await?;
    let made = GpuEngine::new(device, Arc::clone(&case.graph), case.samples, precision);
    let mut gpu = patience::within(SETUP_S, made).await?;
    let graph = Arc::clone(&case.graph);
    let mut cpu = Engine::new(graph, ArithmeticClass::Portable, case.samples)?;
    if precision == Precision::Half {
        gpu.set_scale(loss_scale::of_lease(&[loss_scale::FIRST_EXPONENT]).0);
    }
    gpu.set_params(&case.params)?;
    cpu.set_params(&case.params)?;
    let mut expected = vec![0.0; case.params.len()];
    for _ in 0..micro_batches {
        cpu.gradient(case.batch())?;
        for (sum, value) in expected.iter_mut().zip(cpu.gradient_buffer()) {
            *sum += value;
        }
        // Nobody waits for a lease here, and software adapters are slow.
        patience::within(SETUP_S, gpu.add(case.batch())).await?;
    }
    let mut got = vec![0.0; expected.len()];
    patience::within(SETUP_S, gpu.finish(&mut got)).await?;
    Ok(Agreement::of(&got, &expected))
}

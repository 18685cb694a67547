//! How fast this browser computes gradients.

use std::sync::Arc;

use tabswarm_compute::peak::PeakLoop;
use tabswarm_compute::{Engine, Workload};
use tabswarm_model::Run;
use tabswarm_model::run_file::MAX_MICRO_BATCH;
use wasm_bindgen::prelude::*;

use crate::browser::{Clock, worker_scope};
use crate::known_answer::read_class;

/// Rounds of the peak loop between two looks at the clock: well below a millisecond.
const PEAK_ROUNDS: u32 = 50_000;

/// Samples per second of one lane on a run's model (its JSON), forward and backward, measured for `millis`
/// milliseconds with made-up samples.
///
/// # Errors
/// For another word than `portable` or `fused`, a class that this browser does not have, a run that can't be
/// read or computed, an impossible micro-batch, and outside of a worker.
#[wasm_bindgen]
pub fn bench(
    run_json: &str,
    arithmetic_class: &str,
    micro_batch: u32,
    millis: u32,
) -> Result<f64, JsError> {
    let failed = |error: &dyn std::fmt::Display| JsError::new(&error.to_string());
    let class = read_class(arithmetic_class)?;
    if !(1..=MAX_MICRO_BATCH).contains(&micro_batch) {
        let message = format!("a micro-batch has 1 to {MAX_MICRO_BATCH} samples");
        return Err(JsError::new(&message));
    }
    let run = Run::from_json(run_json).map_err(|error| failed(&error))?;
    let graph = Arc::new(run.graph());
    let workload = Workload::new(&graph, micro_batch as usize);
    let mut engine =
        Engine::new(graph, class, micro_batch as usize).map_err(|error| failed(&error))?;
    let params = engine.set_params(&workload.params);
    params.map_err(|error| failed(&error))?;
    timed(millis, || {
        let stats = engine.gradient(workload.batch());
        Ok(f64::from(stats.map_err(|error| failed(&error))?.samples))
    })
}

/// Floating-point operations per second of one lane that only multiplies and adds, in registers, measured for
/// `millis` milliseconds.
///
/// # Errors
/// For another word than `portable` or `fused`, a class that this module has no loop for, and outside of a
/// worker.
#[wasm_bindgen]
pub fn peak(arithmetic_class: &str, millis: u32) -> Result<f64, JsError> {
    let peak = PeakLoop::new(read_class(arithmetic_class)?)
        .ok_or_else(|| JsError::new("this module has no loop for that arithmetic class"))?;
    timed(millis, || Ok(peak.run(PEAK_ROUNDS) as f64))
}

/// What `work` says to have done, per second.
fn timed(millis: u32, mut work: impl FnMut() -> Result<f64, JsError>) -> Result<f64, JsError> {
    let scope = worker_scope().ok_or_else(|| JsError::new("a bench runs in a dedicated worker"))?;
    let clock = Clock::new(&scope).ok_or_else(|| JsError::new("this browser has no clock"))?;
    // Once without a clock: first touches of memory, and code that is still being compiled.
    work()?;
    let started_us = clock.now_us();
    let mut done = 0.0;
    loop {
        done += work()?;
        let elapsed_us = clock.now_us() - started_us;
        if elapsed_us >= f64::from(millis) * 1_000.0 {
            return Ok(done / elapsed_us * 1e6);
        }
    }
}

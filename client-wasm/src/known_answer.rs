//! The known-answer test, and the speed of an engine.

use std::sync::Arc;

use tabswarm_compute::{Batch, Engine, LeaseAccumulator, known_answer, probe};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::{LayerSpec, LossSpec, MAX_MICRO_BATCH, ModelSpec};
use tabswarm_model::{ArithmeticClass, graph};
use wasm_bindgen::prelude::*;

use crate::browser::{Clock, worker_scope};

/// The classes whose known answers this browser gives, in all bits.
pub(crate) fn passed() -> Vec<ArithmeticClass> {
    let is_right = |class: &ArithmeticClass| {
        known_answer::digest(*class) == Ok(known_answer::expected(*class))
    };
    probe::supported_classes()
        .into_iter()
        .filter(is_right)
        .collect()
}

/// The digest of the known-answer test's gradients in an arithmetic class, `portable` or `fused`.
///
/// # Errors
/// For another word, and for a class that this browser does not have.
#[wasm_bindgen]
pub fn known_answer(arithmetic_class: &str) -> Result<String, JsError> {
    let digest = known_answer::digest(read_class(arithmetic_class)?)
        .map_err(|error| JsError::new(&error.to_string()))?;
    Ok(Digest(digest).to_string())
}

/// Samples per second of one lane on the reference network (784-128-10) with its fixed-point sums, measured
/// for `millis` milliseconds.
///
/// # Errors
/// As [`known_answer()`], for an impossible micro-batch, and outside of a worker.
#[wasm_bindgen]
pub fn bench(arithmetic_class: &str, micro_batch: u32, millis: u32) -> Result<f64, JsError> {
    let failed = |error: &dyn std::fmt::Display| JsError::new(&error.to_string());
    let scope = worker_scope().ok_or_else(|| JsError::new("a bench runs in a dedicated worker"))?;
    let clock = Clock::new(&scope).ok_or_else(|| JsError::new("this browser has no clock"))?;
    let graph = Arc::new(graph::build(&ModelSpec {
        input: vec![784],
        layers: vec![
            LayerSpec::dense(128),
            LayerSpec::RELU,
            LayerSpec::dense(10),
        ],
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    if !(1..=MAX_MICRO_BATCH).contains(&micro_batch) {
        return Err(JsError::new(&format!(
            "a micro-batch has 1 to {MAX_MICRO_BATCH} samples"
        )));
    }
    let samples = micro_batch as usize;
    let params: Vec<f32> = (0..graph.layout.len())
        .map(|idx| (idx % 17) as f32 * 0.01 - 0.08)
        .collect();
    let inputs: Vec<f32> = (0..samples * 784)
        .map(|idx| (idx % 256) as f32 / 255.0)
        .collect();
    let labels: Vec<u16> = (0..10).cycle().take(samples).collect();
    let exponents = vec![16; graph.layout.tensors().len()];
    let mut sums = LeaseAccumulator::new(&graph.layout);
    let mut engine = Engine::new(graph, read_class(arithmetic_class)?, samples)
        .map_err(|error| failed(&error))?;
    engine.set_params(&params).map_err(|error| failed(&error))?;
    let started_us = clock.now_us();
    let mut computed = 0.0;
    loop {
        let batch = Batch {
            inputs: &inputs,
            labels: &labels,
        };
        engine.gradient(batch).map_err(|error| failed(&error))?;
        sums.reset();
        sums.add(engine.gradient_buffer(), &exponents)
            .map_err(|error| failed(&error))?;
        computed += f64::from(micro_batch);
        let elapsed_us = clock.now_us() - started_us;
        if elapsed_us >= f64::from(millis) * 1_000.0 {
            return Ok(computed / elapsed_us * 1e6);
        }
    }
}

fn read_class(word: &str) -> Result<ArithmeticClass, JsError> {
    let classes = [ArithmeticClass::Portable, ArithmeticClass::Fused];
    let found = classes.into_iter().find(|class| class.as_str() == word);
    found.ok_or_else(|| JsError::new("an arithmetic class is \"portable\" or \"fused\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes() {
        assert_eq!(passed().first(), Some(&ArithmeticClass::Portable));
    }
}

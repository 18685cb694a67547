//! Burn's `flex` backend on the model of a run file: forward and backward passes over made-up samples.
//!
//! [`measure`] takes `{"run": a run file as JSON, "micro_batch": N, "millis": M}` and gives
//! `{"samples_per_s": X, "parameters": P}` or `{"error": "..."}`.

mod model;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use serde_json::{Value, json};
use web_time::{Duration, Instant};

use model::{Activations, Model};

/// Burn's version, as Cargo.toml pins it.
pub const VERSION: &str = "0.22.1";

/// Measures what a request asks for.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
pub fn measure(request: &str) -> String {
    let answer = serde_json::from_str(request)
        .map_err(|error| error.to_string())
        .and_then(|request: Value| answer(&request));
    match answer {
        Ok(answer) => answer.to_string(),
        Err(error) => json!({ "error": error }).to_string(),
    }
}

fn answer(request: &Value) -> Result<Value, String> {
    let micro_batch = number(&request["micro_batch"])?;
    let time = Duration::from_millis(number(&request["millis"])? as u64);
    let device = Device::flex().autodiff();
    let model = Model::new(&request["run"]["model"], &device)?;
    let rows = micro_batch * model.rows;
    let inputs = inputs(&model, micro_batch, &device);
    let labels: Vec<i64> = (0..rows).map(|row| (row % model.classes) as i64).collect();
    let labels: Tensor<1, Int> = Tensor::from_data(TensorData::new(labels, [rows]), &device);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let gradient = || {
        let logits = model.forward(inputs.clone()).rows(rows, model.classes);
        loss.forward(logits, labels.clone()).backward()
    };
    drop(gradient());
    let started = Instant::now();
    let mut samples = 0;
    loop {
        drop(gradient());
        samples += micro_batch;
        let elapsed = started.elapsed();
        if elapsed >= time {
            let samples_per_s = samples as f64 / elapsed.as_secs_f64();
            return Ok(json!({ "samples_per_s": samples_per_s, "parameters": model.parameters }));
        }
    }
}

fn inputs(model: &Model, micro_batch: usize, device: &Device) -> Activations {
    match (model.vocabulary, model.input.as_slice()) {
        (Some(vocabulary), &[context]) => {
            let tokens: Vec<i64> = (0..micro_batch * context)
                .map(|idx| (idx * 7_919 % vocabulary) as i64)
                .collect();
            let data = TensorData::new(tokens, [micro_batch, context]);
            Activations::Tokens(Tensor::from_data(data, device))
        }
        (_, &[height, width, channels]) => {
            let shape = [micro_batch, channels, height, width];
            Activations::Images(Tensor::random(shape, Distribution::Default, device))
        }
        (_, shape) => {
            let features = shape.iter().product();
            let shape = [micro_batch, features];
            Activations::Rows(Tensor::random(shape, Distribution::Default, device))
        }
    }
}

fn number(value: &Value) -> Result<usize, String> {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("{value} is no whole number"))
}

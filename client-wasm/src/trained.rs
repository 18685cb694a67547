//! A run's model with trained parameters: to run it forward, or to take it home.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tabswarm_compute::{Engine, probe};
use tabswarm_model::init::initial_params;
use tabswarm_model::{ArithmeticClass, Run};
use wasm_bindgen::prelude::*;

/// Reads a run's canonical JSON.
pub(crate) fn run(run_json: &str) -> Result<Run, String> {
    Run::from_json(run_json).map_err(|error| format!("The run can't be read: {error}"))
}

/// An engine with parameters (little-endian `f32`), or with those of step 0.
pub(crate) fn engine(run: &Run, params: Option<&[u8]>, samples: usize) -> Result<Engine, String> {
    // Probabilities look the same in both classes: any that works will do.
    let class = match probe::fastest_path(run.class) {
        Some(_) => run.class,
        None => ArithmeticClass::Portable,
    };
    let graph = run.graph();
    let params = match params {
        Some(bytes) => floats(bytes)?,
        None => initial_params(&graph.layout, run.seed),
    };
    let engine = Engine::new(Arc::new(graph), class, samples);
    let mut engine = engine.map_err(|error| format!("The engine could not start: {error}."))?;
    engine
        .set_params(&params)
        .map_err(|error| format!("The parameters do not fit the model: {error}."))?;
    Ok(engine)
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let (values, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(format!(
            "The parameters have {} bytes, which is no multiple of 4.",
            bytes.len()
        ));
    }
    Ok(values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

/// A tensor in the head of a safetensors file.
#[derive(Serialize)]
struct Tensor<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

/// The parameters (little-endian `f32`) as a safetensors file, with the run file among the metadata.
///
/// # Errors
/// A sentence where the two do not fit.
#[wasm_bindgen]
pub fn safetensors(run_json: &str, version: u32, params: &[u8]) -> Result<Vec<u8>, JsError> {
    file(run_json, version, params).map_err(|message| JsError::new(&message))
}

fn file(run_json: &str, version: u32, params: &[u8]) -> Result<Vec<u8>, String> {
    let layout = run(run_json)?.graph().layout;
    if params.len() != layout.len() * size_of::<f32>() {
        return Err(format!(
            "The parameters have {} bytes, the model {} parameters of 4 bytes.",
            params.len(),
            layout.len()
        ));
    }
    let metadata = BTreeMap::from([
        ("format", "pt".to_owned()),
        ("tabswarm_run", run_json.to_owned()),
        ("tabswarm_step", version.to_string()),
    ]);
    let mut head = serde_json::Map::new();
    let json =
        |value: Result<serde_json::Value, serde_json::Error>| value.map_err(|e| e.to_string());
    head.insert(
        "__metadata__".to_owned(),
        json(serde_json::to_value(metadata))?,
    );
    for tensor in layout.tensors() {
        let entry = Tensor {
            dtype: "F32",
            shape: &tensor.shape,
            data_offsets: [tensor.offset * 4, (tensor.offset + tensor.len) * 4],
        };
        head.insert(tensor.name.clone(), json(serde_json::to_value(entry))?);
    }
    let mut head = serde_json::Value::from(head).to_string();
    // Data begins at a multiple of 8, as the format wants it.
    head.extend(std::iter::repeat_n(
        ' ',
        head.len().next_multiple_of(8) - head.len(),
    ));
    let mut bytes = Vec::with_capacity(8 + head.len() + params.len());
    bytes.extend((head.len() as u64).to_le_bytes());
    bytes.extend(head.as_bytes());
    bytes.extend(params);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_file_names_every_tensor_and_holds_the_values() {
        let params: Vec<u8> = (0..fixture::PARAMETERS * 4)
            .map(|n| n.to_le_bytes()[0])
            .collect();
        let bytes = file(&fixture::run_json("f32"), 12, &params).unwrap();
        let head_len = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(head_len.is_multiple_of(8));
        let head_end = 8 + usize::try_from(head_len).unwrap();
        let head: serde_json::Value = serde_json::from_slice(&bytes[8..head_end]).unwrap();
        assert_eq!(head["__metadata__"]["tabswarm_step"], "12");
        let tensors = head.as_object().unwrap().iter();
        let mut ranges: Vec<[u64; 2]> = tensors
            .filter(|(name, _)| *name != "__metadata__")
            .map(|(_, tensor)| {
                let at = |idx: usize| tensor["data_offsets"][idx].as_u64().unwrap();
                let shape = tensor["shape"].as_array().unwrap().iter();
                let values: u64 = shape.map(|size| size.as_u64().unwrap()).product();
                assert_eq!(at(1) - at(0), values * 4);
                [at(0), at(1)]
            })
            .collect();
        ranges.sort_unstable();
        assert_eq!(ranges, [[0, 48], [48, 60]]);
        assert_eq!(bytes[head_end..], params);
    }

    #[test]
    fn a_model_of_another_size_is_refused() {
        let misfit = file(&fixture::run_json("f32"), 1, &[0; 8]).unwrap_err();
        assert!(misfit.contains("15 parameters"), "{misfit}");
    }
}

//! The model, forward only, for "Try the model".

use std::sync::Arc;

use tabswarm_compute::{Engine, probe};
use tabswarm_model::{ArithmeticClass, Run};
use wasm_bindgen::prelude::*;

/// A trained model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Predictor {
    engine: Engine,
}

#[wasm_bindgen]
impl Predictor {
    /// The model of a run with parameters (little-endian `f32`).
    ///
    /// # Errors
    /// A sentence where the two do not fit.
    #[wasm_bindgen(constructor)]
    pub fn new(run_json: &str, params: &[u8]) -> Result<Self, JsError> {
        load(run_json, params).map_err(|message| JsError::new(&message))
    }

    /// The probabilities of the classes for one normalized input.
    ///
    /// # Errors
    /// A sentence where the input does not fit the model.
    pub fn predict(&mut self, input: &[f32]) -> Result<Vec<f32>, JsError> {
        let probabilities = self.engine.predict(input, 1);
        let probabilities = probabilities
            .map_err(|error| JsError::new(&format!("The model can't say: {error}.")))?;
        Ok(probabilities.to_vec())
    }
}

fn load(run_json: &str, params: &[u8]) -> Result<Predictor, String> {
    let run =
        Run::from_json(run_json).map_err(|error| format!("The run can't be read: {error}"))?;
    // A picture's probabilities look the same in both classes: any that works will do.
    let class = match probe::fastest_path(run.class) {
        Some(_) => run.class,
        None => ArithmeticClass::Portable,
    };
    let (values, rest) = params.as_chunks();
    if !rest.is_empty() {
        return Err(format!(
            "The parameters have {} bytes, which is no multiple of 4.",
            params.len()
        ));
    }
    let params: Vec<f32> = values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let engine = Engine::new(Arc::new(run.graph()), class, 1);
    let mut engine = engine.map_err(|error| format!("The engine could not start: {error}."))?;
    engine
        .set_params(&params)
        .map_err(|error| format!("The parameters do not fit the model: {error}."))?;
    Ok(Predictor { engine })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn probabilities_follow_from_the_parameters() {
        // Weights are zero and biases 0, 1, 2: softmax of the biases for every input.
        let mut params = [0.0_f32; fixture::PARAMETERS];
        params[13] = 1.0;
        params[14] = 2.0;
        let bytes: Vec<u8> = params
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let mut predictor = load(&fixture::run_json("f32"), &bytes).unwrap();
        let probabilities = predictor.engine.predict(&[0.3; 4], 1).unwrap();
        for (got, expected) in
            probabilities
                .iter()
                .zip([0.090_030_57, 0.244_728_48, 0.665_240_94_f32])
        {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn misfits_are_sentences() {
        let run_json = fixture::run_json("exact");
        assert!(
            load("{", &[])
                .unwrap_err()
                .starts_with("The run can't be read:")
        );
        assert!(
            load(&run_json, &[0; 5])
                .unwrap_err()
                .contains("no multiple of 4")
        );
        assert!(
            load(&run_json, &[0; 8])
                .unwrap_err()
                .starts_with("The parameters do not fit the model:")
        );
    }
}

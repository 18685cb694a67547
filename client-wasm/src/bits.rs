//! Digests of gradients for the browser tests, which compare them with native ones.
//!
//! They are in the module that volunteers download because that is the one to be tested.

use tabswarm_compute::bits::Case;
use tabswarm_model::digest::Digest;
use tabswarm_model::{ArithmeticClass, Run};
use wasm_bindgen::prelude::*;

use crate::known_answer::read_class;

/// The digest of a random graph's gradient in an arithmetic class, on which all of the module's paths agree.
///
/// # Errors
/// For another word than `portable` or `fused`, a class that this browser does not have, and where two paths
/// differ.
#[wasm_bindgen]
pub fn random_graph_digest(seed: u32, arithmetic_class: &str) -> Result<String, JsError> {
    let class = read_class(arithmetic_class)?;
    digest(&Case::random(seed.into()), class)
}

/// The digest of the gradient of one micro-batch of a run (its JSON), the samples made up.
///
/// # Errors
/// As [`random_graph_digest`], and for a run that can't be read.
#[wasm_bindgen]
pub fn run_digest(run_json: &str, arithmetic_class: &str) -> Result<String, JsError> {
    let class = read_class(arithmetic_class)?;
    let run = Run::from_json(run_json).map_err(|error| JsError::new(&error.to_string()))?;
    digest(&Case::of_run(&run), class)
}

fn digest(case: &Case, class: ArithmeticClass) -> Result<String, JsError> {
    let digest = case.digest_of_class(class);
    let digest = digest.map_err(|error| JsError::new(&error.to_string()))?;
    Ok(Digest(digest).to_string())
}

//! Trained models in the forms that other tools read: a safetensors file with a model card, and ONNX.
//!
//! [`Trained`] is a run's model at a version. [`Trained::onnx`] translates its forward pass operation by operation,
//! [`Trained::safetensors`] holds the parameters as the layout has them, and [`Trained::card`] says in Markdown what
//! the model is, how it was trained, and how to load it.
//!
//! Nothing here reads or writes files, and nothing runs a model: that the translation computes what the engine
//! computes is checked with ONNX Runtime, see `tests/onnx`.
#![forbid(unsafe_code)]

mod card;
mod onnx;
pub mod protobuf;
pub mod safetensors;

use std::borrow::Cow;

use tabswarm_model::dataset::{Preparation, Vocabulary};
use tabswarm_model::digest::Digest;
use tabswarm_model::{Graph, Run};
use thiserror::Error;

/// What does not follow from the run file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The training set's digest.
    pub dataset: Option<Digest>,
    /// The characters that tokens stand for, in order, where the model reads a text.
    pub vocabulary: Option<&'a Vocabulary>,
    /// What the values of a table or of arrays were made of.
    pub preparation: Option<&'a Preparation>,
    /// Mean loss per sample of the newest step.
    pub train_loss: Option<f64>,
    /// The newest evaluation.
    pub evaluation: Option<Evaluation>,
}

/// An evaluation on the samples that are not trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// The version that was evaluated.
    pub version: u64,
    /// Mean loss per sample.
    pub loss: f64,
    /// Share of right answers, from 0 to 1.
    pub accuracy: f64,
}

/// A run's model at a version.
#[derive(Debug, Clone)]
pub struct Trained<'a> {
    run: &'a Run,
    graph: Graph,
    version: u64,
    params: &'a [f32],
    facts: Facts<'a>,
}

/// Why a model can't be exported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    /// The parameters are another model's.
    #[error("{got} parameters were given for a model that has {expected}")]
    Parameters {
        /// Number of values.
        got: usize,
        /// Parameters of the model.
        expected: usize,
    },
}

impl<'a> Trained<'a> {
    /// The model of a run with parameters (flat, in layout order).
    ///
    /// # Errors
    /// [`ExportError::Parameters`] where the two do not fit.
    pub fn new(run: &'a Run, version: u64, params: &'a [f32]) -> Result<Self, ExportError> {
        let graph = run.graph();
        let (got, expected) = (params.len(), graph.layout.len());
        if got != expected {
            return Err(ExportError::Parameters { got, expected });
        }
        Ok(Self {
            run,
            graph,
            version,
            params,
            facts: Facts::default(),
        })
    }

    /// Adds what is known of data and results.
    #[must_use]
    pub fn with_facts(self, facts: Facts<'a>) -> Self {
        Self { facts, ..self }
    }

    /// The forward pass as an ONNX model.
    ///
    /// Its input is `input`: `float` values (samples, shape of a sample), or `int64` tokens (samples, positions). A
    /// model that classifies has the outputs `logits` and `probabilities`, any other one `output`, with a row for
    /// each position where samples are sequences.
    pub fn onnx(&self) -> Vec<u8> {
        onnx::model(self)
    }

    /// The parameters as a safetensors file, with the card and the run file among its metadata.
    pub fn safetensors(&self) -> Vec<u8> {
        safetensors::file(self)
    }

    /// What the model is, as Markdown.
    pub fn card(&self) -> String {
        card::markdown(self)
    }

    /// Where the model comes from, for programs: keys and values.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        let characters =
            |vocabulary: &Vocabulary| vocabulary.characters().iter().collect::<String>();
        let vocabulary = self.facts.vocabulary.map(characters);
        // Bytes stand for themselves.
        let vocabulary = vocabulary.filter(|text| !text.is_empty());
        let vocabulary = vocabulary.map(|text| ("tabswarm_vocabulary", text));
        let preparation = self.facts.preparation.map(Preparation::to_json);
        let preparation = preparation.map(|json| ("tabswarm_preparation", json));
        let fixed = [
            ("tabswarm_run", self.run.to_public_json()),
            ("tabswarm_step", self.version.to_string()),
            (
                "tabswarm_params_digest",
                Digest::of_params(self.params).to_string(),
            ),
            ("model_card", self.card()),
        ];
        let known = fixed.into_iter().chain(vocabulary);
        known.chain(preparation).collect()
    }
}

/// Little-endian bytes of values.
fn to_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        Cow::Borrowed(bytemuck::cast_slice(values))
    } else {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_another_model_are_refused() {
        let run = Run::from_toml(include_str!("../../../runs/mnist-mlp.toml")).unwrap();
        let error = Trained::new(&run, 1, &[0.0; 7]).unwrap_err();
        let expected = 101_770;
        assert_eq!(error, ExportError::Parameters { got: 7, expected });
    }
}

//! A language model that writes, character by character, for "Try the model".

use tabswarm_compute::Engine;
use tabswarm_model::dataset::{Manifest, Vocabulary};
use tabswarm_model::random::Stream;
use tabswarm_model::run_file::{DataFormat, TextSpec};
use wasm_bindgen::prelude::*;

use crate::trained;

/// A temperature below this takes the likeliest character every time.
const COLDEST: f32 = 0.01;
const HOTTEST: f32 = 4.0;

/// A trained model of a text, and the text that it is writing.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Writer {
    engine: Engine,
    vocabulary: Vocabulary,
    context: usize,
    /// The last tokens, at most `context`.
    tokens: Vec<u16>,
    /// Bytes that do not make a character yet.
    pending: Vec<u8>,
    temperature: f32,
    random: Stream,
    /// (context): kept from character to character.
    inputs: Vec<f32>,
}

#[wasm_bindgen]
impl Writer {
    /// The model of a run on the text of a manifest with parameters (little-endian `f32`), or with those of
    /// step 0.
    ///
    /// # Errors
    /// A sentence where they do not fit each other.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an optional slice can't come from a script"
    )]
    #[wasm_bindgen(constructor)]
    pub fn new(
        run_json: &str,
        manifest_json: &str,
        params: Option<Vec<u8>>,
    ) -> Result<Self, JsError> {
        load(run_json, manifest_json, params.as_deref()).map_err(|message| JsError::new(&message))
    }

    /// Begins a text that goes on after a prompt; characters that the model does not know are left out. The
    /// same seed writes the same text.
    pub fn begin(&mut self, prompt: &str, temperature: f32, seed: u32) {
        self.pending.clear();
        self.tokens = match self.vocabulary {
            Vocabulary::Characters(_) => {
                let known = prompt.chars().filter_map(|c| self.vocabulary.token(c));
                known.collect()
            }
            Vocabulary::Bytes => prompt.bytes().map(u16::from).collect(),
        };
        if self.tokens.is_empty() {
            // Something has to come before the first character: a line break if there is one.
            self.tokens.push(self.vocabulary.token('\n').unwrap_or(0));
        }
        self.temperature = temperature;
        self.random = Stream::new("write", u64::from(seed), 0);
    }

    /// The next character; nothing where tokens are bytes and the next one does not complete it.
    ///
    /// # Errors
    /// A sentence where the model's parameters give no probabilities.
    pub fn next_character(&mut self) -> Result<String, JsError> {
        self.next().map_err(|message| JsError::new(&message))
    }
}

impl Writer {
    fn next(&mut self) -> Result<String, String> {
        let excess = self.tokens.len().saturating_sub(self.context);
        self.tokens.drain(..excess);
        // What follows the last character is padding, which causal attention does not see.
        self.inputs.fill(0.0);
        for (input, token) in self.inputs.iter_mut().zip(&self.tokens) {
            *input = f32::from(*token);
        }
        let probabilities = self.engine.predict(&self.inputs, 1);
        let probabilities =
            probabilities.map_err(|error| format!("The model can't go on: {error}."))?;
        let width = self.vocabulary.len();
        let first = (self.tokens.len() - 1) * width;
        let row = &probabilities[first..first + width];
        let token = pick(row, self.temperature, self.random.unit_f32());
        let token = u16::try_from(token).map_err(|error| format!("{error}."))?;
        self.tokens.push(token);
        Ok(self.vocabulary.decode(token, &mut self.pending))
    }
}

/// The index that `chance` (0 to 1) hits where index `i` is as wide as `probabilities[i]^(1 / temperature)`.
fn pick(probabilities: &[f32], temperature: f32, chance: f32) -> usize {
    let largest = probabilities.iter().copied().fold(0.0, f32::max);
    let is_largest = |&value: &f32| value >= largest;
    if temperature.is_nan() || temperature < COLDEST || largest <= 0.0 {
        return probabilities.iter().position(is_largest).unwrap_or(0);
    }
    let power = f64::from(temperature.min(HOTTEST)).recip();
    let width = |value: f32| f64::from(value / largest).powf(power);
    let total: f64 = probabilities.iter().map(|&value| width(value)).sum();
    let mut left = f64::from(chance) * total;
    for (idx, &value) in probabilities.iter().enumerate() {
        left -= width(value);
        if left < 0.0 {
            return idx;
        }
    }
    // Rounding left a sliver at the end.
    probabilities.iter().position(is_largest).unwrap_or(0)
}

fn load(run_json: &str, manifest_json: &str, params: Option<&[u8]>) -> Result<Writer, String> {
    let run = trained::run(run_json)?;
    let DataFormat::Text(TextSpec { context, .. }) = run.data.format else {
        return Err("This run does not learn a text.".to_owned());
    };
    let manifest = Manifest::from_json(manifest_json).map_err(|error| format!("{error}."))?;
    manifest
        .check_fit(&run.graph())
        .map_err(|error| format!("{error}."))?;
    let vocabulary = manifest
        .vocabulary
        .ok_or("The data set has no characters.")?;
    Ok(Writer {
        engine: trained::engine(&run, params, 1)?,
        vocabulary,
        context,
        tokens: Vec::new(),
        pending: Vec::new(),
        temperature: 1.0,
        random: Stream::new("write", 0, 0),
        inputs: vec![0.0; context],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"name":"text","seed":1,
        "data":{"format":"text","path":"tiny","vocabulary":"characters","context":4},
        "model":{"input":[4],"layers":[{"kind":"embedding","vocabulary":3,"width":8},
            {"kind":"positional_embedding"},
            {"kind":"residual","layers":[{"kind":"attention","heads":2}]},
            {"kind":"dense","units":3}],"loss":"softmax_cross_entropy"},
        "train":{"epochs":1,"micro_batch":2,"global_batch":2},
        "optimizer":{"kind":"sgd","learning_rate":0.1}}"#;

    fn manifest() -> String {
        let chunk = "0".repeat(64);
        format!(
            r#"{{"sample_shape":[4],"classes":3,"samples":1,"chunk_samples":1024,"chunks":["{chunk}"],"vocabulary":"\nab"}}"#
        )
    }

    fn written(writer: &mut Writer, prompt: &str, temperature: f32, seed: u32) -> String {
        writer.begin(prompt, temperature, seed);
        (0..40).map(|_| writer.next().unwrap()).collect()
    }

    #[test]
    fn a_text_follows_from_prompt_temperature_and_seed() {
        let mut writer = load(RUN, &manifest(), None).unwrap();
        let text = written(&mut writer, "ab", 1.0, 5);
        assert_eq!(text, written(&mut writer, "ab", 1.0, 5));
        assert_ne!(text, written(&mut writer, "ab", 1.0, 6));
        assert!(text.chars().all(|c| "\nab".contains(c)));
        // Longer than the context, with strangers in it, or nothing at all.
        for prompt in ["abababab", "Xaé", ""] {
            assert_eq!(written(&mut writer, prompt, 1.0, 5).chars().count(), 40);
        }
        let cold = written(&mut writer, "ab", 0.0, 5);
        assert_eq!(cold, written(&mut writer, "ab", 0.0, 6));
    }

    #[test]
    fn padding_does_not_show() {
        let mut writer = load(RUN, &manifest(), None).unwrap();
        writer.begin("a", 0.0, 1);
        writer.next().unwrap();
        let short = writer.engine.predict(&[1.0, 0.0, 0.0, 0.0], 1).unwrap()[..3].to_vec();
        let padded = writer.engine.predict(&[1.0, 2.0, 1.0, 2.0], 1).unwrap()[..3].to_vec();
        assert_eq!(short, padded);
    }

    #[test]
    fn temperature_sharpens_and_flattens() {
        let row = [0.1, 0.6, 0.3];
        assert_eq!(pick(&row, 0.0, 0.99), 1);
        assert_eq!(pick(&row, f32::NAN, 0.99), 1);
        assert_eq!(pick(&row, 1.0, 0.05), 0);
        assert_eq!(pick(&row, 1.0, 0.5), 1);
        assert_eq!(pick(&row, 1.0, 0.95), 2);
        assert_eq!(pick(&row, 0.2, 0.9), 1);
        assert_eq!(pick(&row, 4.0, 0.25), 0);
        assert_eq!(pick(&[0.0, 0.0], 1.0, 0.5), 0);
    }

    #[test]
    fn misfits_are_sentences() {
        let pictures = crate::fixture::run_json("f32");
        let problem = load(&pictures, &manifest(), None).unwrap_err();
        assert_eq!(problem, "This run does not learn a text.");
        let wide = manifest()
            .replace("\\nab", "\\nabc")
            .replace("\"classes\":3", "\"classes\":4");
        let problem = load(RUN, &wide, None).unwrap_err();
        assert!(problem.contains("does not fit the model"), "{problem}");
    }
}

//! `tabswarm run sample`: a model trained on a text goes on with one.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use tabswarm_compute::{Engine, probe};
use tabswarm_model::dataset::{Manifest, Vocabulary};
use tabswarm_model::noise::Noise;
use tabswarm_model::run_file::DataFormat;
use tabswarm_model::{ArithmeticClass, Run};

use super::client::parse;
use super::print;
use super::run::Named;

/// What to write, and how.
#[derive(Debug, Args)]
pub(super) struct SampleArgs {
    #[command(flatten)]
    named: Named,
    /// The beginning, which the model goes on with; a line break if not given.
    #[arg(long, default_value = "\n", hide_default_value = true)]
    prompt: String,
    /// Characters to write, or bytes where those are the model's tokens.
    #[arg(long, default_value_t = 500, value_name = "N")]
    chars: u32,
    /// Below 1 the likely characters become likelier, above 1 less so; 0 always takes the likeliest.
    #[arg(long, default_value_t = 0.8, value_name = "T", value_parser = temperature)]
    temperature: f64,
    /// The same seed, parameters and beginning give the same text.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}

#[derive(Deserialize)]
struct Status {
    dataset: String,
}

#[derive(Deserialize)]
struct SnapshotRow {
    params_digest: String,
}

impl SampleArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut writer = self.writer()?;
        let text = writer.write(&self.prompt, self.chars, self.temperature, self.seed)?;
        print(&format!("{}{text}", self.prompt))
    }

    /// The newest snapshot's model.
    fn writer(&self) -> anyhow::Result<Writer> {
        let client = self.named.client.client()?;
        let get = |suffix: &str| client.get(&self.named.path(suffix)?);
        let run = Run::from_json(&get("/run.json")?).context("the server's run can't be read")?;
        let DataFormat::Text(_) = run.data.format else {
            bail!(
                "the run {:?} is not trained on a text, so it can't write one",
                run.name
            );
        };
        let snapshots: Vec<SnapshotRow> = parse(&get("/snapshots")?)?;
        let Some(newest) = snapshots.first() else {
            bail!(
                "the run {:?} has no snapshot yet: the first one is taken when it starts",
                run.name
            );
        };
        let status: Status = parse(&get("")?)?;
        let manifest = client.get(&format!("/admin/manifests/{}", status.dataset))?;
        let vocabulary = Manifest::from_json(&manifest)?.vocabulary;
        let vocabulary = vocabulary.context("the run's data set has no vocabulary")?;
        let params = client.get_bytes(&format!("/admin/params/{}", newest.params_digest))?;
        let (values, _) = params.as_chunks();
        let params: Vec<f32> = values
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect();
        Writer::new(&run, vocabulary, &params)
    }
}

/// A model that goes on with a text, one character at a time.
#[derive(Debug)]
struct Writer {
    engine: Engine,
    vocabulary: Vocabulary,
}

impl Writer {
    fn new(run: &Run, vocabulary: Vocabulary, params: &[f32]) -> anyhow::Result<Self> {
        // A text that is made by chance may be made in either class.
        let class = match probe::fastest_path(run.class) {
            Some(_) => run.class,
            None => ArithmeticClass::Portable,
        };
        let mut engine = Engine::new(Arc::new(run.graph()), class, 1)?;
        engine.set_params(params)?;
        Ok(Self { engine, vocabulary })
    }

    fn write(
        &mut self,
        prompt: &str,
        characters: u32,
        temperature: f64,
        seed: u64,
    ) -> anyhow::Result<String> {
        let mut tokens = self.tokens(prompt)?;
        let context = self.engine.graph().input_features();
        let width = self.vocabulary.len();
        let mut inputs = vec![0.0; context];
        let (mut text, mut pending) = (String::new(), Vec::new());
        for idx in 0..characters {
            let window = &tokens[tokens.len().saturating_sub(context)..];
            // What comes after the last one is not looked at: attention is causal.
            inputs.fill(0.0);
            inputs[..window.len()].copy_from_slice(window);
            let row = window.len() - 1;
            let predictions = self.engine.predict(&inputs, 1)?;
            let probabilities = &predictions[row * width..][..width];
            let token = choose(probabilities, temperature, uniform(seed, idx));
            let token = u16::try_from(token).expect("a vocabulary's tokens are 16 bits");
            tokens.push(f32::from(token));
            text.push_str(&self.vocabulary.decode(token, &mut pending));
        }
        Ok(text)
    }

    fn tokens(&self, prompt: &str) -> anyhow::Result<Vec<f32>> {
        if prompt.is_empty() {
            bail!("the prompt is empty: the model needs a character to go on from");
        }
        if self.vocabulary == Vocabulary::Bytes {
            return Ok(prompt.bytes().map(f32::from).collect());
        }
        let token = |character| {
            let token = self.vocabulary.token(character);
            token.map(f32::from).with_context(|| {
                format!("{character:?} is not among the characters that the model was trained on")
            })
        };
        prompt.chars().map(token).collect()
    }
}

/// A number from 0 to below 1.
fn uniform(seed: u64, idx: u32) -> f64 {
    let bytes = seed.to_le_bytes();
    let (halves, _) = bytes.as_chunks();
    let key = [halves[0], halves[1]].map(u32::from_le_bytes);
    f64::from(Noise(key).word(idx)) / 4_294_967_296.0
}

/// Draws from probabilities raised to `1 / temperature`; `chance` is between 0 and 1.
fn choose(probabilities: &[f32], temperature: f64, chance: f64) -> usize {
    let largest = probabilities.iter().copied().fold(0.0, f32::max);
    if temperature > 0.0 {
        // Relative to the largest, so that small temperatures do not underflow everywhere.
        let weight = |&p: &f32| (f64::from(p) / f64::from(largest)).powf(1.0 / temperature);
        let mut left = chance * probabilities.iter().map(weight).sum::<f64>();
        for (idx, probability) in probabilities.iter().enumerate() {
            left -= weight(probability);
            if left < 0.0 {
                return idx;
            }
        }
    }
    // Also where rounding leaves something over.
    let likeliest = probabilities.iter().position(|&p| p >= largest);
    likeliest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use tabswarm_model::layout::Layout;

    /// A model that says the next character of the vocabulary for each, and after the last one the first.
    fn params(layout: &Layout) -> Vec<f32> {
        let mut params = vec![0.0; layout.len()];
        let [table, weight] = [0, 1].map(|idx| layout.tensors()[idx].range());
        for token in 0..5 {
            params[table.start + token * 5 + token] = 1.0;
            params[weight.start + token * 5 + (token + 1) % 5] = 20.0;
        }
        params
    }

    fn writer() -> Writer {
        let toml = fixture::TEXT_RUN_TOML.replace("width = 3", "width = 5");
        let run = Run::from_toml(&toml).unwrap();
        let params = params(&run.graph().layout);
        Writer::new(&run, Vocabulary::of("abcdé").unwrap(), &params).unwrap()
    }

    #[test]
    fn a_text_goes_on_beyond_the_context() {
        let mut writer = writer();
        assert_eq!(writer.write("c", 9, 0.0, 1).unwrap(), "déabcdéab");
        assert_eq!(writer.write("abcdéab", 3, 0.5, 7).unwrap(), "cdé");
    }

    #[test]
    fn foreign_characters_are_named() {
        let error = writer().write("az", 1, 1.0, 1).unwrap_err().to_string();
        assert!(error.contains("'z'"), "{error}");
        assert!(writer().write("", 1, 1.0, 1).is_err());
    }

    #[test]
    fn choices_follow_the_probabilities() {
        let shares = |temperature| {
            let mut counts = [0_u32; 3];
            for idx in 0..20_000 {
                counts[choose(&[0.2, 0.5, 0.3], temperature, uniform(3, idx))] += 1;
            }
            counts.map(|count| f64::from(count) / 20_000.0)
        };
        for (temperature, expected) in [
            (1.0, [0.2, 0.5, 0.3]),
            // Squares: 4, 25, 9 of 38.
            (0.5, [0.105, 0.658, 0.237]),
            (0.0, [0.0, 1.0, 0.0]),
        ] {
            for (got, expected) in shares(temperature).iter().zip(expected) {
                assert!((got - expected).abs() < 0.015, "{temperature}: {got}");
            }
        }
        assert_eq!(choose(&[0.0, 1.0, 0.0], 0.01, 0.999), 1);
    }
}

//! The model, forward only, for "Try the model".

use tabswarm_compute::Engine;
use tabswarm_model::Run;
use tabswarm_model::dataset::{Chunk, InputKind, Manifest, TargetKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::samples::{MicroBatch, SampleReader};
use wasm_bindgen::prelude::*;

use crate::trained;

/// Samples that go through the model at once: enough to keep the kernels busy.
const BATCH_SAMPLES: usize = 64;

/// A trained model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Predictor {
    run: Run,
    engine: Engine,
    classes: usize,
}

#[wasm_bindgen]
impl Predictor {
    /// The model of a run with parameters (little-endian `f32`), or with those of step 0 where there are none:
    /// they follow from the run file.
    ///
    /// # Errors
    /// A sentence where the two do not fit.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an optional slice can't come from a script"
    )]
    #[wasm_bindgen(constructor)]
    pub fn new(run_json: &str, params: Option<Vec<u8>>) -> Result<Self, JsError> {
        load(run_json, params.as_deref()).map_err(|message| JsError::new(&message))
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

    /// The probabilities of the classes, (rows, classes), for some rows of a chunk of examples.
    ///
    /// # Errors
    /// A sentence where the examples do not fit the model.
    pub fn predict_rows(&mut self, examples: &[u8], rows: &[u32]) -> Result<Vec<f32>, JsError> {
        let predicted = self.rows(examples, rows);
        predicted.map_err(|message| JsError::new(&message))
    }

    /// How many examples of each class (row) the model takes for each class (column).
    ///
    /// # Errors
    /// A sentence where the examples do not fit the model.
    pub fn confusion(&mut self, examples: &[u8]) -> Result<Vec<u32>, JsError> {
        let counts = self.count(examples);
        counts.map_err(|message| JsError::new(&message))
    }
}

impl Predictor {
    fn rows(&mut self, examples: &[u8], rows: &[u32]) -> Result<Vec<f32>, String> {
        let examples = Examples::read(&self.run, self.classes, examples)?;
        let mut probabilities = Vec::with_capacity(rows.len() * self.classes);
        for rows in rows.chunks(BATCH_SAMPLES) {
            let batch = examples.batch(rows.iter().map(|&row| row as usize))?;
            let predicted = self.engine.predict(&batch.inputs, rows.len());
            probabilities.extend_from_slice(predicted.map_err(|error| error.to_string())?);
        }
        Ok(probabilities)
    }

    fn count(&mut self, examples: &[u8]) -> Result<Vec<u32>, String> {
        let examples = Examples::read(&self.run, self.classes, examples)?;
        let mut counts = vec![0; self.classes * self.classes];
        for first in (0..examples.samples).step_by(BATCH_SAMPLES) {
            let end = examples.samples.min(first + BATCH_SAMPLES);
            let batch = examples.batch(first..end)?;
            let predicted = self.engine.predict(&batch.inputs, end - first);
            let predicted = predicted.map_err(|error| error.to_string())?;
            let answers = predicted.chunks_exact(self.classes);
            for (label, answer) in batch.labels.iter().zip(answers) {
                counts[usize::from(*label) * self.classes + largest(answer)] += 1;
            }
        }
        Ok(counts)
    }
}

/// The first of the largest values.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (idx, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = idx;
        }
    }
    best
}

/// A chunk of labeled samples that came over the network.
struct Examples {
    chunk: Chunk,
    reader: SampleReader,
    samples: usize,
}

impl Examples {
    fn read(run: &Run, classes: usize, bytes: &[u8]) -> Result<Self, String> {
        let features: usize = run.model.input.iter().product();
        let samples = bytes.len() / (features + size_of::<u16>());
        // A manifest of this one chunk: reading it checks lengths and labels.
        let manifest = Manifest {
            sample_shape: run.model.input.clone(),
            classes: classes.try_into().unwrap_or(u32::MAX),
            samples: samples.try_into().unwrap_or(u32::MAX),
            chunk_samples: samples.max(1).try_into().unwrap_or(u32::MAX),
            chunks: vec![Digest::of(bytes)],
            vocabulary: None,
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let chunk = manifest
            .parse_chunk(0, bytes)
            .map_err(|error| format!("The examples do not fit the model: {error}."))?;
        let reader = SampleReader::new(&manifest, run.data.normalization);
        Ok(Self {
            chunk,
            reader,
            samples,
        })
    }

    fn batch(&self, rows: impl Iterator<Item = usize>) -> Result<MicroBatch, String> {
        let mut batch = MicroBatch::default();
        for row in rows {
            if row >= self.samples {
                return Err(format!(
                    "There are {} examples, and not one of number {row}.",
                    self.samples
                ));
            }
            self.reader.push(&self.chunk, row, &mut batch);
        }
        Ok(batch)
    }
}

fn load(run_json: &str, params: Option<&[u8]>) -> Result<Predictor, String> {
    let run = trained::run(run_json)?;
    let engine = trained::engine(&run, params, BATCH_SAMPLES)?;
    let classes = run.graph().classes;
    Ok(Predictor {
        run,
        engine,
        classes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// Weights are zero and biases 0, 1, 2: softmax of the biases for every input.
    fn biased() -> Predictor {
        let mut params = [0.0_f32; fixture::PARAMETERS];
        params[13] = 1.0;
        params[14] = 2.0;
        let bytes: Vec<u8> = params
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        load(&fixture::run_json("f32"), Some(&bytes)).unwrap()
    }

    #[test]
    fn probabilities_follow_from_the_parameters() {
        let mut predictor = biased();
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
    fn examples_are_counted_by_class_and_answer() {
        let chunk = &fixture::chunks()[0];
        // Labels 0 1 2 0 1 2 0 1, all taken for the last class.
        let counts = biased().count(chunk).unwrap();
        assert_eq!(counts, [0, 0, 3, 0, 0, 3, 0, 0, 2]);
        let rows = biased().rows(chunk, &[7, 0]).unwrap();
        assert_eq!(rows.len(), 2 * 3);
        assert_eq!(rows[..3], rows[3..]);
        let mut at_step_0 = load(&fixture::run_json("f32"), None).unwrap();
        let counts = at_step_0.count(chunk).unwrap();
        assert_eq!(counts.iter().sum::<u32>(), 8);
        let rows = at_step_0.rows(chunk, &[7, 0]).unwrap();
        assert_ne!(rows[..3], rows[3..], "initial weights are not zero");
    }

    #[test]
    fn misfits_are_sentences() {
        let run_json = fixture::run_json("exact");
        assert!(
            load("{", Some(&[]))
                .unwrap_err()
                .starts_with("The run can't be read:")
        );
        assert!(
            load(&run_json, Some(&[0; 5]))
                .unwrap_err()
                .contains("no multiple of 4")
        );
        assert!(
            load(&run_json, Some(&[0; 8]))
                .unwrap_err()
                .starts_with("The parameters do not fit the model:")
        );
        let misfit = biased().count(&[0; 7]).unwrap_err();
        assert!(misfit.starts_with("The examples do not fit"), "{misfit}");
        let misfit = biased().rows(&fixture::chunks()[0], &[8]).unwrap_err();
        assert!(misfit.starts_with("There are 8 examples"), "{misfit}");
    }
}

//! Writes exported models with inputs and what the engine makes of them, for `tests/onnx` to repeat in ONNX Runtime:
//! the works that ship, a little trained, on real samples, and random models with every kind of layer.
//!
//! `onnx-cases FOLDER DATASETS` fills the folder. `cases.json` lists the files: models, and arrays as bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use tabswarm_compute::bits::Case;
use tabswarm_compute::{ArithmeticClass, Batch, Engine};
use tabswarm_export::Trained;
use tabswarm_model::dataset::Vocabulary;
use tabswarm_model::graph::{LossKind, Targets};
use tabswarm_model::init::initial_params;
use tabswarm_model::{Graph, Run};

/// Together they have every kind of layer; that they do is checked.
const RANDOM_MODELS: u64 = 60;
/// Words of the layers that a run file can have.
const KINDS: [&str; 16] = [
    "attention",
    "avg_pool",
    "conv2d",
    "dense",
    "dropout",
    "embedding",
    "flatten",
    "gelu",
    "layer_norm",
    "max_pool",
    "positional_embedding",
    "relu",
    "residual",
    "sigmoid",
    "tanh",
    "tied_dense",
];
const IMAGES: usize = 128;
const IMAGE_BYTES: usize = 28 * 28;
const SEQUENCES: usize = 16;
/// Gradient steps that the works make, so that their outputs are not those of chance.
const STEPS: usize = 20;
const LEARNING_RATE: f32 = 0.1;

/// One model; files are beside `cases.json`.
#[derive(Serialize)]
struct CaseJson {
    name: String,
    model: String,
    /// Whether the input is `int64` tokens instead of `float` values.
    tokens: bool,
    input: String,
    /// Shape of the input, samples first.
    shape: Vec<usize>,
    outputs: Vec<OutputJson>,
}

#[derive(Serialize)]
struct OutputJson {
    name: &'static str,
    /// `float` values.
    file: String,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(datasets)) = (arguments.next(), arguments.next()) else {
        bail!("usage: onnx-cases FOLDER DATASETS");
    };
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let digits = Run::from_toml(include_str!("../../../runs/mnist-mlp.toml"))?;
    let images = Run::from_toml(include_str!("../../../runs/mnist-cnn.toml"))?;
    let text = Run::from_toml(include_str!("../../../runs/char-gpt.toml"))?;
    let mut cases = vec![
        picture_case(&folder, &datasets, &digits)?,
        picture_case(&folder, &datasets, &images)?,
        text_case(&folder, &datasets, &text)?,
    ];
    let mut kinds = BTreeSet::new();
    for seed in 0..RANDOM_MODELS {
        let (model, samples) = Case::random_model(seed);
        let case = Case::new(&model, samples, seed);
        kinds.extend(case.graph.layers.iter().map(|layer| layer.kind));
        let mut run = digits.clone();
        run.name = format!("random-{seed}");
        run.model = model;
        cases.push(write(&folder, &run, &case.params, &case.inputs, samples)?);
    }
    ensure!(
        kinds == BTreeSet::from(KINDS),
        "the random models have {kinds:?} instead of {KINDS:?}"
    );
    fs::write(folder.join("cases.json"), serde_json::to_vec(&cases)?)?;
    Ok(())
}

/// A work on images of the MNIST test set.
fn picture_case(folder: &Path, datasets: &Path, run: &Run) -> Result<CaseJson> {
    let read = |name: &str| {
        let path = datasets.join("mnist").join(name);
        fs::read(&path).with_context(|| format!("{}: run `cargo xtask setup`", path.display()))
    };
    let (pixels, labels) = (
        read("t10k-images-idx3-ubyte")?,
        read("t10k-labels-idx1-ubyte")?,
    );
    let table = run.data.normalization.table();
    let pixels = pixels.get(16..16 + IMAGES * IMAGE_BYTES);
    let pixels = pixels
        .context("the test set is shorter than MNIST's")?
        .iter();
    let inputs: Vec<f32> = pixels.map(|&byte| table[usize::from(byte)]).collect();
    let labels = labels
        .get(8..8 + IMAGES)
        .context("there are labels missing")?;
    let labels: Vec<u16> = labels.iter().map(|&label| u16::from(label)).collect();
    let params = trained(run, &inputs, &labels, IMAGES)?;
    write(folder, run, &params, &inputs, IMAGES)
}

/// A work on pieces of a text.
fn text_case(folder: &Path, datasets: &Path, run: &Run) -> Result<CaseJson> {
    let path = datasets.join(&run.data.path);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{}: run `cargo xtask setup`", path.display()))?;
    let vocabulary = Vocabulary::of(&text).context("the text has too many characters")?;
    let context = run.graph().input_features();
    let tokens = text.chars().map(|character| vocabulary.token(character));
    let needed = SEQUENCES * context + 1;
    let tokens: Option<Vec<u16>> = tokens.take(needed).collect();
    let tokens = tokens.context("the vocabulary is the text's own")?;
    ensure!(tokens.len() == needed, "the text is too short");
    let inputs: Vec<f32> = tokens[..needed - 1].iter().map(|&t| f32::from(t)).collect();
    let params = trained(run, &inputs, &tokens[1..], SEQUENCES)?;
    write(folder, run, &params, &inputs, SEQUENCES)
}

/// The run's parameters after some steps down the gradient of these samples.
fn trained(run: &Run, inputs: &[f32], labels: &[u16], samples: usize) -> Result<Vec<f32>> {
    let graph = run.graph();
    let mut params = initial_params(&graph.layout, run.seed);
    let mut engine = Engine::new(Arc::new(graph), ArithmeticClass::Portable, samples)?;
    let rate = LEARNING_RATE / samples as f32;
    for _ in 0..STEPS {
        engine.set_params(&params)?;
        engine.gradient(Batch::labeled(inputs, labels))?;
        for (param, gradient) in params.iter_mut().zip(engine.gradient_buffer()) {
            *param -= rate * gradient;
        }
    }
    Ok(params)
}

fn write(
    folder: &Path,
    run: &Run,
    params: &[f32],
    inputs: &[f32],
    samples: usize,
) -> Result<CaseJson> {
    let graph = run.graph();
    let model = Trained::new(run, STEPS as u64, params)?.onnx();
    let file = |kind: &str, bytes: Vec<u8>| -> Result<String> {
        let name = format!("{}.{kind}", run.name);
        fs::write(folder.join(&name), bytes)?;
        Ok(name)
    };
    let tokens = graph.vocabulary.is_some();
    let (input, axes) = if tokens {
        (token_bytes(inputs), vec![graph.input_features()])
    } else {
        (float_bytes(inputs), graph.input_shape.clone())
    };
    let outputs = outputs(&graph, params, inputs, samples)?;
    Ok(CaseJson {
        name: run.name.clone(),
        model: file("onnx", model)?,
        tokens,
        input: file("input", input)?,
        shape: [vec![samples], axes].concat(),
        outputs: outputs
            .into_iter()
            .map(|(name, values)| {
                let file = file(name, float_bytes(&values))?;
                Ok(OutputJson { name, file })
            })
            .collect::<Result<_>>()?,
    })
}

/// What the engine gives, by the names of the exported model's outputs.
fn outputs(
    graph: &Graph,
    params: &[f32],
    inputs: &[f32],
    samples: usize,
) -> Result<Vec<(&'static str, Vec<f32>)>> {
    let predict = |graph: Graph| -> Result<Vec<f32>> {
        let mut engine = Engine::new(Arc::new(graph), ArithmeticClass::Portable, samples)?;
        engine.set_params(params)?;
        Ok(engine.predict(inputs, samples)?.to_vec())
    };
    // Without softmax: what the last layer gives.
    let mut plain = graph.clone();
    plain.loss.kind = LossKind::MeanSquaredError {
        targets: Targets::Values,
    };
    let last = predict(plain)?;
    Ok(match graph.loss.kind {
        LossKind::MeanSquaredError { .. } => vec![("output", last)],
        LossKind::SoftmaxCrossEntropy | LossKind::SoftTargets { .. } => {
            vec![("logits", last), ("probabilities", predict(graph.clone())?)]
        }
    })
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn token_bytes(tokens: &[f32]) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "tokens are whole numbers of 16 bits"
    )]
    let whole = |&token: &f32| (token as i64).to_le_bytes();
    tokens.iter().flat_map(whole).collect()
}

//! Run files: what is right is kept, what is left out has a default; `mistakes` has the rest.

mod data;
mod losses;
mod mistakes;

use expect_test::expect;

use super::*;
use crate::graph::Padding;
use crate::optim::Rule;
use crate::schedule::Decay;

/// Every key, with a value of its own.
const VALID: &str = r#"
name = "digits"
title = "Digits"
description = "Reads digits."
seed = 7

[about]
owner = "A school"
link = "https://example.org/digits"
license = "CC-BY-4.0"
download = true

[data]
format = "idx"
path = "mnist"
normalize = { mean = 0.1307, std = 0.3081 }
shuffle_window = 8192

[model]
input = [28, 28, 1]
init = "digits/begin.safetensors"
layers = [
    { kind = "flatten" },
    { kind = "dense", units = 128 },
    { kind = "relu" },
    { kind = "dense", units = 10 },
]
loss = "softmax_cross_entropy"

[train]
epochs = 10
micro_batch = 32
global_batch = 128
clip_norm = 1.5

[optimizer]
kind = "adam"
learning_rate = 0.001
beta1 = 0.8
beta2 = 0.99
epsilon = 1e-6
weight_decay = 0.001

[schedule]
warmup_steps = 20
decay = { kind = "step", every_steps = 100, factor = 0.5 }

[sync]
mode = "sync"
lease_target_ms = 500

[numeric]
reproducible = true
class = "portable"
codec = "exact"

[evaluation]
every_steps = 50

[snapshot]
every_steps = 400
keep = 5
"#;

/// A model on text, with every kind of layer that works on sequences.
const TEXT: &str = r#"
name = "text"
seed = 7

[data]
format = "text"
path = "book/data.txt"
vocabulary = "characters"
context = 8
validation = 0.25

[model]
input = [8]
layers = [
    { kind = "embedding", vocabulary = 20, width = 12 },
    { kind = "positional_embedding" },
    { kind = "residual", layers = [
        { kind = "layer_norm", epsilon = 1e-6 },
        { kind = "attention", heads = 3, causal = false },
        { kind = "dropout", rate = 0.1 },
    ] },
    { kind = "tied_dense", bias = true },
]
loss = "softmax_cross_entropy"

[train]
epochs = 1
micro_batch = 4
global_batch = 8

[optimizer]
kind = "sgd"
learning_rate = 0.1
"#;

/// A model on images, with every kind of layer that works on them.
const IMAGES: &str = r#"
name = "images"
seed = 7

[data]
format = "idx"
path = "images"

[model]
input = [9, 8, 2]
layers = [
    { kind = "conv2d", channels = 4, kernel = [3, 2], stride = [1, 2], padding = "same", groups = 2, bias = false },
    { kind = "gelu" },
    { kind = "max_pool", size = 2 },
    { kind = "sigmoid" },
    { kind = "avg_pool", size = [1, 2], stride = 1 },
    { kind = "conv2d", channels = 3, kernel = 3, padding = 1 },
    { kind = "tanh" },
    { kind = "flatten" },
    { kind = "dense", units = 5, bias = false },
]
loss = "mse"

[train]
epochs = 1
micro_batch = 4
global_batch = 8

[optimizer]
kind = "sgd"
learning_rate = 0.1
"#;

fn edited(from: &str, to: &str) -> String {
    edited_in(VALID, from, to)
}

fn edited_in(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} must be there once");
    text.replace(from, to)
}

fn good(from: &str, to: &str) -> Run {
    Run::from_toml(&edited(from, to)).unwrap_or_else(|error| panic!("{to:?}: {error}"))
}

#[test]
fn every_key_is_taken_over() {
    let run = good("seed = 7", "seed = 7");
    assert_eq!(
        (run.name.as_str(), run.title.as_str()),
        ("digits", "Digits")
    );
    assert_eq!((run.description.as_str(), run.seed), ("Reads digits.", 7));
    let about = About {
        owner: "A school".to_owned(),
        link: "https://example.org/digits".to_owned(),
        license: "CC-BY-4.0".to_owned(),
        download: true,
    };
    assert_eq!(run.about, about);
    assert_eq!(
        (run.data.path.as_str(), run.data.shuffle_window),
        ("mnist", Some(8192))
    );
    let normalization = Normalization {
        mean: 0.1307,
        std: 0.3081,
    };
    assert_eq!(run.data.normalization, normalization);
    assert_eq!(
        (run.model.input.as_slice(), run.model.layers.len()),
        (&[28, 28, 1][..], 4)
    );
    assert_eq!(run.model.layers[1], LayerSpec::dense(128));
    assert_eq!(run.init.as_deref(), Some("digits/begin.safetensors"));
    assert_eq!(
        (run.epochs, run.micro_batch, run.global_batch),
        (10, 32, 128)
    );
    assert_eq!(run.clip_norm, Some(1.5));
    let rule = Rule::Adam {
        betas: [0.8, 0.99],
        epsilon: 1e-6,
    };
    assert_eq!(
        (run.optimizer.rule, run.optimizer.weight_decay),
        (rule, 0.001)
    );
    let decay = Decay::Step {
        every_steps: 100,
        factor: 0.5,
    };
    assert_eq!(
        run.schedule,
        Schedule {
            decay,
            warmup_steps: 20
        }
    );
    assert_eq!(
        (run.reproducible, run.class, run.codec),
        (true, ArithmeticClass::Portable, Codec::Exact)
    );
    assert_eq!((run.lease_target_ms, run.evaluate_every_steps), (500, 50));
    assert_eq!((run.snapshot_every_steps, run.snapshots_kept), (400, 5));
    assert_eq!(run.graph().layout.len(), 784 * 128 + 128 + 128 * 10 + 10);
}

/// What must be written, and nothing else.
const SHORT: &str = r#"
name = "short"
seed = 1
data = { format = "idx", path = "mnist" }
model = { input = [4], layers = [{ kind = "dense", units = 2 }], loss = "softmax_cross_entropy" }
train = { epochs = 1, micro_batch = 8, global_batch = 8 }
optimizer = { kind = "sgd", learning_rate = 0.1 }
"#;

#[test]
fn defaults_are_filled_in() {
    let run = Run::from_toml(SHORT).unwrap();
    assert_eq!(
        (run.title.as_str(), run.description.as_str()),
        ("short", "")
    );
    assert_eq!(run.about, About::default());
    assert_eq!(
        run.data.normalization,
        Normalization {
            mean: 0.0,
            std: 1.0
        }
    );
    assert_eq!((run.data.shuffle_window, run.clip_norm), (None, None));
    assert_eq!(
        run.schedule,
        Schedule {
            decay: Decay::Constant,
            warmup_steps: 0
        }
    );
    assert_eq!(
        (run.reproducible, run.class, run.codec),
        (true, ArithmeticClass::Portable, Codec::Exact)
    );
    assert_eq!(
        (run.lease_target_ms, run.evaluate_every_steps),
        (1_000, 100)
    );
    assert_eq!((run.snapshot_every_steps, run.snapshots_kept), (500, 3));
}

#[test]
fn all_optimizers_are_read_with_their_defaults() {
    let rule_of = |keys: &str| {
        let from = "{ kind = \"sgd\", learning_rate = 0.1 }";
        let text = SHORT.replace(from, &format!("{{ learning_rate = 0.1, {keys} }}"));
        let run = Run::from_toml(&text).unwrap_or_else(|error| panic!("{keys}: {error}"));
        (run.optimizer.rule, run.optimizer.weight_decay)
    };
    let (betas, epsilon) = ([0.9, 0.999], 1e-8);
    let cases = [
        ("kind = \"sgd\"", Rule::Sgd, 0.0),
        ("kind = \"sgd\", weight_decay = 0.5", Rule::Sgd, 0.5),
        ("kind = \"momentum\"", Rule::Momentum { momentum: 0.9 }, 0.0),
        (
            "kind = \"momentum\", momentum = 0.5",
            Rule::Momentum { momentum: 0.5 },
            0.0,
        ),
        ("kind = \"nesterov\"", Rule::Nesterov { momentum: 0.9 }, 0.0),
        ("kind = \"adam\"", Rule::Adam { betas, epsilon }, 0.0),
        ("kind = \"adamw\"", Rule::Adamw { betas, epsilon }, 0.01),
        (
            "kind = \"adamw\", weight_decay = 0.0",
            Rule::Adamw { betas, epsilon },
            0.0,
        ),
    ];
    for (keys, rule, decay) in cases {
        assert_eq!(rule_of(keys), (rule, decay), "{keys}");
    }
}

#[test]
fn all_decays_are_read() {
    let cases = [
        ("{ kind = \"constant\" }", Decay::Constant),
        (
            "{ kind = \"step\", every_steps = 3, factor = 0.5 }",
            Decay::Step {
                every_steps: 3,
                factor: 0.5,
            },
        ),
        (
            "{ kind = \"exponential\", rate = 0.01 }",
            Decay::Exponential { rate: 0.01 },
        ),
        ("{ kind = \"square\" }", Decay::Polynomial { power: 2.0 }),
        (
            "{ kind = \"polynomial\", power = 3.0 }",
            Decay::Polynomial { power: 3.0 },
        ),
        ("{ kind = \"cosine\" }", Decay::Cosine),
    ];
    for (keys, decay) in cases {
        let text = format!("{SHORT}schedule = {{ decay = {keys}, warmup_steps = 5 }}\n");
        let run = Run::from_toml(&text).unwrap_or_else(|error| panic!("{keys}: {error}"));
        assert_eq!(
            run.schedule,
            Schedule {
                decay,
                warmup_steps: 5
            },
            "{keys}"
        );
        assert_eq!(Run::from_json(&run.to_json()), Ok(run), "{keys}");
    }
}

#[test]
fn canonical_json_keeps_everything_and_is_stable() {
    for text in [VALID, SHORT, TEXT, IMAGES] {
        let run = Run::from_toml(text).unwrap();
        let json = run.to_json();
        let again = Run::from_json(&json).unwrap();
        assert_eq!(again, run);
        assert_eq!(again.to_json(), json);
    }
    expect![[r#"{"name":"short","title":"","description":"","seed":1,"data":{"format":"idx","path":"mnist","normalize":{"mean":0.0,"std":1.0}},"model":{"input":[4],"layers":[{"kind":"dense","units":2}],"loss":"softmax_cross_entropy"},"train":{"epochs":1,"micro_batch":8,"global_batch":8},"optimizer":{"kind":"sgd","learning_rate":0.1,"weight_decay":0.0},"schedule":{"decay":{"kind":"constant"},"warmup_steps":0},"sync":{"mode":"sync","lease_target_ms":1000},"numeric":{"reproducible":true,"class":"portable","codec":"exact"},"evaluation":{"every_steps":100},"snapshot":{"every_steps":500,"keep":3}}"#]].assert_eq(&Run::from_toml(SHORT).unwrap().to_json());
}

#[test]
fn all_layers_are_taken_over() {
    let lines = |run: &Run| {
        let layers = run.model.layers.iter();
        let lines: Vec<String> = layers.map(|layer| format!("{layer:?}")).collect();
        lines.join("\n")
    };
    let run = Run::from_toml(TEXT).unwrap();
    let format = DataFormat::Text(TextSpec {
        unit: TextUnit::Characters,
        context: 8,
        validation: 0.25,
    });
    assert_eq!(run.data.format, format);
    expect![[r"
        Embedding { vocabulary: 20, width: 12 }
        PositionalEmbedding
        Residual { layers: [LayerNorm { epsilon: 1e-6 }, Attention { heads: 3, causal: false }, Dropout { rate: 0.1 }] }
        TiedDense { bias: true }"]].assert_eq(&lines(&run));
    let run = Run::from_toml(IMAGES).unwrap();
    assert_eq!(run.model.loss, LossSpec::MeanSquaredErrorOfClasses);
    expect![[r"
        Conv2d { channels: 4, kernel: [3, 2], stride: [1, 2], padding: Same, groups: 2, bias: false }
        Activation(Gelu)
        MaxPool(PoolSpec { size: [2, 2], stride: [2, 2] })
        Activation(Sigmoid)
        AvgPool(PoolSpec { size: [1, 2], stride: [1, 1] })
        Conv2d { channels: 3, kernel: [3, 3], stride: [1, 1], padding: Pixels(1), groups: 1, bias: true }
        Activation(Tanh)
        Flatten
        Dense { units: 5, bias: false }"]].assert_eq(&lines(&run));
}

#[test]
fn layers_have_defaults() {
    let from = "{ kind = \"conv2d\", channels = 3, kernel = 3, padding = 1 }";
    let to = "{ kind = \"conv2d\", channels = 3, kernel = [2, 1] }";
    let run = Run::from_toml(&edited_in(IMAGES, from, to)).unwrap();
    let conv = LayerSpec::Conv2d {
        channels: 3,
        kernel: [2, 1],
        stride: [1, 1],
        padding: Padding::Valid,
        groups: 1,
        bias: true,
    };
    assert_eq!(run.model.layers[5], conv);
    let from = "{ kind = \"attention\", heads = 3, causal = false }";
    let text = edited_in(TEXT, from, "{ kind = \"attention\", heads = 3 }")
        .replace(", epsilon = 1e-6", "")
        .replace("tied_dense\", bias = true", "tied_dense\"");
    let layers = Run::from_toml(&text).unwrap().model.layers;
    let norm = LayerSpec::LayerNorm { epsilon: 1e-5 };
    let attention = LayerSpec::Attention {
        heads: 3,
        causal: true,
    };
    let LayerSpec::Residual { layers: within } = &layers[2] else {
        panic!("{:?}", layers[2]);
    };
    assert_eq!(within[..2], [norm, attention]);
    assert_eq!(layers[3], LayerSpec::TiedDense { bias: false });
}

#[test]
fn the_run_files_of_this_repository_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let run =
            Run::from_toml(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(run.name.as_str()));
        assert_eq!(Run::from_json(&run.to_json()), Ok(run.clone()));
        names.push(run.name);
    }
    for name in ["mnist-mlp", "mnist-cnn", "char-gpt", "iris-csv"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
}

#[test]
fn workers_are_told_what_they_need() {
    let run = Run::from_toml(VALID).unwrap();
    let json = run.to_worker_json();
    for key in ["about", "init", "workers"] {
        assert!(!json.contains(&format!("\"{key}\"")), "{key} in {json}");
    }
    assert_eq!(Run::from_json(&json).unwrap().model, run.model);
}

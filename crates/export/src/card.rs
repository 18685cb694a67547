//! The model card: what a model is, how it was made, and how to load it.

use std::fmt::Write as _;

use tabswarm_model::dataset::{Column, ColumnKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::graph::LossKind;
use tabswarm_model::run_file::{DataFormat, Normalization, TextUnit};

use crate::{Evaluation, Trained};

/// More columns would make the card unreadable.
const MAX_COLUMNS: usize = 200;

/// The card as Markdown.
pub(crate) fn markdown(trained: &Trained<'_>) -> String {
    let run = trained.run;
    let title = if run.title.is_empty() {
        &run.name
    } else {
        &run.title
    };
    let mut text = format!("# {}\n\n", one_line(title));
    if !run.description.is_empty() {
        text.push_str(run.description.trim());
        text.push_str("\n\n");
    }
    table(&mut text, ["", ""], &origin(trained));
    let results = results(trained);
    if !results.is_empty() {
        text.push_str("\n## Results\n\n");
        table(&mut text, ["", ""], &results);
    }
    text.push_str("\n## Layers\n\n");
    table(
        &mut text,
        ["Layer", "Kind", "Output of a sample", "Parameters"],
        &layers(trained),
    );
    text.push_str("\n## Tensors\n\n");
    table(&mut text, ["Name", "Shape"], &tensors(trained));
    text.push_str("\n## Input and output\n\n");
    text.push_str(&interface(trained));
    text.push_str(LOADING);
    text
}

const LOADING: &str = "
## Loading

From the safetensors file, dense weights are (in, out), convolutions (height, width, in, out):

```python
from safetensors.numpy import load_file

tensors = load_file(\"model.safetensors\")
```

From the ONNX file:

```python
import onnxruntime

session = onnxruntime.InferenceSession(\"model.onnx\")
outputs = session.run(None, {\"input\": samples})
```
";

fn origin(trained: &Trained<'_>) -> Vec<[String; 2]> {
    let (run, facts) = (trained.run, &trained.facts);
    let data = match facts.dataset {
        Some(digest) => format!("`{}`, digest `{digest}`", run.data.path),
        None => format!("`{}`", run.data.path),
    };
    let optional = [
        ("Owner", &run.about.owner),
        ("More", &run.about.link),
        ("Licence", &run.about.license),
    ];
    let optional = optional
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| row(key, value.clone()));
    let params = Digest::of_params(trained.params);
    [row("Run", format!("`{}`", run.name))]
        .into_iter()
        .chain(optional)
        .chain([
            row("Step", trained.version.to_string()),
            row("Data", data),
            row("Batch", format!("{} samples", run.global_batch)),
            row("Mode", run.mode.as_str().to_owned()),
            row("Seed", run.seed.to_string()),
            row("Parameters", trained.graph.layout.len().to_string()),
            row("Digest of the parameters", format!("`{params}`")),
        ])
        .collect()
}

fn results(trained: &Trained<'_>) -> Vec<[String; 2]> {
    let facts = &trained.facts;
    let loss = |loss: f64| format!("{loss:.4}");
    let mut rows = Vec::new();
    rows.extend(
        facts
            .train_loss
            .map(|value| row("Training loss", loss(value))),
    );
    if let Some(Evaluation {
        version,
        loss: value,
        accuracy,
    }) = facts.evaluation
    {
        let at = format!(" at step {version}");
        rows.push(row("Loss on held-out samples", loss(value) + &at));
        let percent = format!("{:.2} %", accuracy * 100.0);
        rows.push(row("Right answers on held-out samples", percent + &at));
    }
    rows
}

fn layers(trained: &Trained<'_>) -> Vec<[String; 4]> {
    let layers = trained.graph.layers.iter();
    layers
        .map(|layer| {
            [
                format!("`{}`", layer.path),
                layer.kind.to_owned(),
                shape(&layer.output_shape),
                layer.parameters.to_string(),
            ]
        })
        .collect()
}

fn tensors(trained: &Trained<'_>) -> Vec<[String; 2]> {
    let tensors = trained.graph.layout.tensors().iter();
    tensors
        .map(|tensor| [format!("`{}`", tensor.name), shape(&tensor.shape)])
        .collect()
}

fn interface(trained: &Trained<'_>) -> String {
    let graph = &trained.graph;
    let input = input(trained);
    let output = match graph.loss.kind {
        LossKind::SoftmaxCrossEntropy | LossKind::SoftTargets { .. } => format!(
            "The last layer gives logits of {} classes; the ONNX file has their softmax, too.",
            graph.classes
        ),
        LossKind::MeanSquaredError { .. } => {
            format!("The last layer gives {} values.", graph.classes)
        }
    };
    let rows = match graph.loss.rows {
        1 => String::new(),
        rows => format!(" There is a row of them for each of {rows} positions."),
    };
    format!("{input}\n\n{output}{rows}\n")
}

/// What a sample is, and how it was prepared.
fn input(trained: &Trained<'_>) -> String {
    let (data, graph) = (&trained.run.data, &trained.graph);
    let values = format!(
        "A sample is {} values, shape ({})",
        graph.input_features(),
        shape(&graph.input_shape)
    );
    if let DataFormat::Text(text) = data.format {
        let context = text.context;
        return match text.unit {
            TextUnit::Characters => format!(
                "A sample is {context} characters, each as its index in the vocabulary: the text \
                 `tabswarm_vocabulary` in the file's metadata."
            ),
            TextUnit::Bytes => format!("A sample is {context} bytes of a text."),
        };
    }
    let columns = trained.facts.preparation.map(|made| &made.columns[..]);
    match columns {
        Some(columns) if columns.len() > MAX_COLUMNS => format!(
            "{values}, from {} columns: `tabswarm_preparation` in the file's metadata says how.",
            columns.len()
        ),
        Some(columns) if !columns.is_empty() => {
            let mut text = format!("{values}, from these columns in their order:\n\n");
            let rows: Vec<_> = columns.iter().map(column).collect();
            table(&mut text, ["Column", "Values"], &rows);
            text.push_str(
                "\n`tabswarm_preparation` in the file's metadata says the same, exactly.",
            );
            text
        }
        _ if data.format.has_bytes() => {
            let Normalization { mean, std } = data.normalization;
            format!(
                "{values}, channels last. A stored byte `b` was given to the model as `(b / 255 - {mean}) / {std}`."
            )
        }
        _ => format!("{values}, as they were stored."),
    }
}

fn column(column: &Column) -> [String; 2] {
    let values = match &column.kind {
        ColumnKind::Number { shift, scale, fill } => {
            let fill = fill.map(|fill| format!("; {fill} where it is missing"));
            format!("`(x - {shift}) / {scale}`{}", fill.unwrap_or_default())
        }
        ColumnKind::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            format!(
                "1 for the one of {} that it is, 0 for the others",
                words.join(", ")
            )
        }
    };
    row(&column.name, values)
}

fn row(key: &str, value: String) -> [String; 2] {
    [key.to_owned(), value]
}

fn table<const N: usize>(text: &mut String, heading: [&str; N], rows: &[[String; N]]) {
    let mut line = |cells: [&str; N]| {
        let cells = cells.map(|cell| one_line(cell).replace('|', "\\|"));
        writeln!(text, "| {} |", cells.join(" | ")).expect("a string takes everything");
    };
    line(heading);
    line(["---"; N]);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shape(axes: &[usize]) -> String {
    let sizes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    sizes.join(", ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use tabswarm_model::Run;

    use super::*;
    use crate::Facts;

    #[test]
    fn the_card_says_where_a_model_comes_from() {
        let text = include_str!("../../../runs/mnist-cnn.toml").replace(
            "The Tabswarm project\"",
            "A | school\"\nlicense = \"CC-BY-4.0\"",
        );
        let run = Run::from_toml(&text).unwrap();
        let params = vec![0.5; run.graph().layout.len()];
        let trained = Trained::new(&run, 2_345, &params).unwrap();
        let trained = trained.with_facts(Facts {
            dataset: Some(Digest([7; 32])),
            train_loss: Some(0.031_25),
            evaluation: Some(Evaluation {
                version: 2_300,
                loss: 0.05,
                accuracy: 0.985,
            }),
            ..Facts::default()
        });
        expect_file!["card/mnist-cnn.md"].assert_eq(&trained.card());
    }
}

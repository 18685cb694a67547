//! A run's model in words: layers, shapes, parameters, arithmetic and memory, for `tabswarm run inspect`.

use std::fmt::Write as _;

use crate::graph::{Graph, Work};
use crate::run_file::Run;

/// A table of the model's layers and what a lane needs for it.
pub fn report(run: &Run) -> String {
    let graph = run.graph();
    let mut text = format!(
        "{}: input {}, {} layers, {} parameters in {} tensors\n\n",
        run.name,
        shape(&graph.input_shape),
        graph.layers.len(),
        grouped(graph.layout.len()),
        graph.layout.tensors().len(),
    );
    text.push_str(&table(&layer_rows(&graph)));
    let memory = graph.memory(run.micro_batch as usize);
    let flops = whole(graph.flops_per_sample());
    let micro_batch = run.micro_batch as usize;
    let rows = [
        [
            "a step".to_owned(),
            format!("{} samples", grouped(run.global_batch as usize)),
        ],
        [
            "a micro-batch".to_owned(),
            format!("{} samples", grouped(micro_batch)),
        ],
        [
            "a sample".to_owned(),
            format!("{} FLOP forward and backward", grouped(flops)),
        ],
        [
            "a lane".to_owned(),
            format!("{} bytes:", grouped(memory.total())),
        ],
        ["  parameters".to_owned(), grouped(memory.parameters)],
        ["  gradients".to_owned(), grouped(memory.gradients)],
        ["  activations".to_owned(), grouped(memory.buffers)],
        ["  input".to_owned(), grouped(memory.input)],
        ["  workspace".to_owned(), grouped(memory.scratch)],
    ];
    text.push('\n');
    for [name, value] in rows {
        line(&mut text, &format!("{name:<14} {value}"));
    }
    text
}

const COLUMNS: usize = 5;
const HEADING: [&str; COLUMNS] = [
    "layer",
    "output",
    "parameters",
    "forward FLOP",
    "backward FLOP",
];

fn layer_rows(graph: &Graph) -> Vec<[String; COLUMNS]> {
    let mut rows = vec![HEADING.map(str::to_owned)];
    let mut work_total = Work::default();
    for (idx, layer) in graph.layers.iter().enumerate() {
        let work = graph.layer_work(idx);
        work_total.forward += work.forward;
        work_total.backward += work.backward;
        rows.push(row(
            format!("{}{}", "  ".repeat(layer.depth), layer.kind),
            shape(&layer.output_shape),
            layer.parameters,
            work,
        ));
    }
    let parameters = graph.layout.len();
    rows.push(row("all".to_owned(), String::new(), parameters, work_total));
    rows
}

fn row(name: String, shape: String, parameters: usize, work: Work) -> [String; COLUMNS] {
    let cell = |n: usize| if n == 0 { "-".to_owned() } else { grouped(n) };
    [
        name,
        shape,
        cell(parameters),
        cell(whole(work.forward)),
        cell(whole(work.backward)),
    ]
}

/// Columns as wide as their longest entry; the first two to the left, numbers to the right.
fn table(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut cells = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let written = if column < 2 {
                write!(cells, "{gap}{cell:<width$}")
            } else {
                write!(cells, "{gap}{cell:>width$}")
            };
            written.expect("a string takes everything");
        }
        line(&mut text, &cells);
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

fn shape(axes: &[usize]) -> String {
    let sizes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    sizes.join(" x ")
}

fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// `1234567` as `1,234,567`.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(all(test, feature = "toml"))]
mod tests {
    use super::*;
    use expect_test::expect_file;

    #[test]
    fn the_shipped_models() {
        let of = |text| report(&Run::from_toml(text).unwrap());
        expect_file!["inspect/mnist-mlp.txt"]
            .assert_eq(&of(include_str!("../../../runs/mnist-mlp.toml")));
        expect_file!["inspect/mnist-cnn.txt"]
            .assert_eq(&of(include_str!("../../../runs/mnist-cnn.toml")));
        expect_file!["inspect/char-gpt.txt"]
            .assert_eq(&of(include_str!("../../../runs/char-gpt.toml")));
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 12, 123, 1_234, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "123", "1,234", "1,234,567"]);
    }
}

//! `tabswarm data …`: what is in a data set, without a server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use tabswarm_model::Run;
use tabswarm_model::dataset::{Column, ColumnKind, InputKind};

use super::print;
use super::table::{Align, grouped, or_dash, table};
use crate::dataset::{ColumnSurvey, Ingested, Survey, rehearse, survey};

/// Most lines of a table for people; `--json` has all.
const MAX_LINES: usize = 40;

/// Verbs about data sets.
#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Show what is in a file or folder and how to train on it, or what a run file makes of its data.
    #[command(after_help = "Examples:\n  \
        tabswarm data inspect datasets/iris/iris.csv\n  \
        tabswarm data inspect datasets/mnist\n  \
        tabswarm data inspect runs/iris-csv.toml --datasets-dir datasets\n\n\
        A run file's data are read as a server reads them: what it would refuse is refused here,\n\
        and nothing is stored.")]
    Inspect(InspectArgs),
}

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// A data set's file or folder, or a run file (.toml).
    path: PathBuf,
    /// Where `data.path` of run files begins.
    #[arg(long, default_value = "datasets", value_name = "DIR")]
    datasets_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl DataCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::Inspect(args) = self;
        let is_run_file = args.path.extension().is_some_and(|end| end == "toml");
        if is_run_file {
            args.run_file()
        } else {
            args.data_set()
        }
    }
}

impl InspectArgs {
    fn data_set(&self) -> anyhow::Result<()> {
        let survey = survey(&self.path, &self.shown())?;
        if self.json {
            return print(&serde_json::to_string_pretty(&survey)?);
        }
        print(&survey_text(&self.path, &survey))
    }

    /// The path as a run file would write it.
    fn shown(&self) -> String {
        let real = |path: &Path| fs::canonicalize(path).ok();
        let below = real(&self.path)
            .zip(real(&self.datasets_dir))
            .and_then(|(path, root)| path.strip_prefix(root).ok().map(Path::to_owned));
        let name = || self.path.file_name().map(PathBuf::from);
        let shown = below.or_else(name).unwrap_or_default();
        shown.to_string_lossy().into_owned()
    }

    fn run_file(&self) -> anyhow::Result<()> {
        let shown = self.path.display();
        let toml =
            fs::read_to_string(&self.path).with_context(|| format!("{shown} can't be read"))?;
        let run = Run::from_toml(&toml)?;
        let prepared = Prepared::new(&run, rehearse(&run, &self.datasets_dir)?);
        if self.json {
            return print(&serde_json::to_string_pretty(&prepared)?);
        }
        print(&prepared.text())
    }
}

fn survey_text(path: &Path, survey: &Survey) -> String {
    let unit = match survey.format {
        "text" => "tokens",
        "csv" | "tsv" | "parquet" => "rows",
        _ => "samples",
    };
    let different = survey.vocabulary.map(|n| format!(", {n} different ones"));
    let mut parts = vec![format!(
        "{}: {}, {} {unit}{}",
        path.display(),
        survey.format,
        grouped(survey.samples),
        different.unwrap_or_default()
    )];
    parts.extend(columns_text(&survey.columns));
    if !survey.arrays.is_empty() {
        let rows = survey.arrays.iter().map(|array| {
            let shape = format!("{:?}", array.shape);
            vec![array.name.clone(), array.dtype.clone(), shape]
        });
        let columns = [
            ("ARRAY", Align::Left),
            ("TYPE", Align::Left),
            ("SHAPE", Align::Left),
        ];
        parts.push(cut(&columns, rows.collect()));
    }
    if !survey.classes.is_empty() {
        let rows = survey.classes.iter();
        let rows = rows.map(|class| vec![class.name.clone(), grouped(class.samples)]);
        let columns = [("CLASS", Align::Left), ("SAMPLES", Align::Right)];
        parts.push(cut(&columns, rows.collect()));
    }
    parts.extend(
        survey
            .remarks
            .iter()
            .map(|remark| format!("Note: {remark}")),
    );
    if !survey.run_file.is_empty() {
        parts.push(format!(
            "In a run file, to be adapted:\n\n{}",
            survey.run_file
        ));
    }
    parts.join("\n\n")
}

/// The columns of a table; nothing where there are none.
fn columns_text(columns: &[ColumnSurvey]) -> Option<String> {
    let rows: Vec<Vec<String>> = columns
        .iter()
        .map(|column| {
            let [low, high] = column.range.map_or([None, None], |range| range.map(Some));
            let number = |value: Option<f64>| or_dash(value.map(short));
            let distinct = column.distinct.map(|n| grouped(n as u64));
            vec![
                column.name.clone(),
                column.kind.to_owned(),
                grouped(column.missing),
                distinct.unwrap_or_else(|| "many".to_owned()),
                number(low),
                number(column.mean),
                number(high),
            ]
        })
        .collect();
    let columns = [
        ("COLUMN", Align::Left),
        ("KIND", Align::Left),
        ("MISSING", Align::Right),
        ("DISTINCT", Align::Right),
        ("MIN", Align::Right),
        ("MEAN", Align::Right),
        ("MAX", Align::Right),
    ];
    (!rows.is_empty()).then(|| cut(&columns, rows))
}

/// A table whose end is left out where it is long.
fn cut(columns: &[(&str, Align)], mut rows: Vec<Vec<String>>) -> String {
    let more = rows.len().saturating_sub(MAX_LINES);
    rows.truncate(MAX_LINES);
    let text = table(columns, &rows);
    if more == 0 {
        return text;
    }
    format!(
        "{text}
… and {} more; --json has all",
        grouped(more as u64)
    )
}

/// Six digits at most: enough to recognize a column.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    if text.len() > 12 {
        format!("{number:.4e}")
    } else {
        let text = text.trim_end_matches('0').trim_end_matches('.');
        text.to_owned()
    }
}

/// What a run's data become.
#[derive(Debug, Serialize)]
struct Prepared {
    run: String,
    path: String,
    dataset: String,
    sample_shape: Vec<usize>,
    /// `bytes`, `values` or `tokens`.
    inputs: &'static str,
    samples: Parts,
    chunks: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<PreparedClass>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<Column>,
}

/// Samples for training, for validation and for a last test.
#[derive(Debug, Clone, Copy, Serialize)]
struct Parts {
    training: u64,
    validation: u64,
    test: u64,
}

impl From<[u64; 3]> for Parts {
    fn from([training, validation, test]: [u64; 3]) -> Self {
        Self {
            training,
            validation,
            test,
        }
    }
}

impl Parts {
    fn cells(self) -> [String; 3] {
        [self.training, self.validation, self.test].map(grouped)
    }
}

#[derive(Debug, Serialize)]
struct PreparedClass {
    name: String,
    #[serde(flatten)]
    samples: Parts,
}

impl Prepared {
    fn new(run: &Run, ingested: Ingested) -> Self {
        let Ingested {
            dataset,
            manifest,
            counts,
            ..
        } = ingested;
        let preparation = manifest.preparation.unwrap_or_default();
        let class = |(class, &samples): (usize, &[u64; 3])| PreparedClass {
            name: match preparation.classes.get(class) {
                Some(name) => name.clone(),
                None => class.to_string(),
            },
            samples: samples.into(),
        };
        Self {
            run: run.name.clone(),
            path: run.data.path.clone(),
            dataset: dataset.to_string(),
            sample_shape: manifest.sample_shape,
            inputs: match (manifest.vocabulary.is_some(), manifest.inputs) {
                (true, _) => "tokens",
                (false, InputKind::Bytes) => "bytes",
                (false, InputKind::Values) => "values",
            },
            samples: counts.samples.into(),
            chunks: manifest.chunks.len(),
            classes: counts.classes.iter().enumerate().map(class).collect(),
            columns: preparation.columns,
        }
    }

    fn text(&self) -> String {
        let [training, validation, test] = self.samples.cells();
        let mut parts = vec![format!(
            "{}: {}\nSamples of shape {:?}, stored as {}, in {} for training: {training} for training, \
             {validation} for validation, {test} for a last test\nDigest {}",
            self.run,
            self.path,
            self.sample_shape,
            self.inputs,
            if self.chunks == 1 {
                "1 chunk".to_owned()
            } else {
                format!("{} chunks", grouped(self.chunks as u64))
            },
            self.dataset
        )];
        if !self.classes.is_empty() {
            let rows = self.classes.iter().map(|class| {
                let name = [class.name.clone()].into_iter();
                name.chain(class.samples.cells()).collect()
            });
            let columns = [
                ("CLASS", Align::Left),
                ("TRAINING", Align::Right),
                ("VALIDATION", Align::Right),
                ("TEST", Align::Right),
            ];
            parts.push(cut(&columns, rows.collect()));
        }
        if !self.columns.is_empty() {
            let rows = self.columns.iter().map(|column| {
                let inputs = grouped(column.features() as u64);
                vec![column.name.clone(), inputs, becomes(&column.kind)]
            });
            let columns = [
                ("COLUMN", Align::Left),
                ("INPUTS", Align::Right),
                ("BECOMES", Align::Left),
            ];
            parts.push(cut(&columns, rows.collect()));
        }
        parts.join("\n\n")
    }
}

/// What is made of a column's cells, in words.
fn becomes(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Number { shift, scale, fill } => {
            let fill = fill.map(|fill| format!(", {} where missing", short(fill)));
            let fill = fill.unwrap_or_default();
            format!("(x - {}) / {}{fill}", short(*shift), short(*scale))
        }
        ColumnKind::Words(words) => {
            let shown: Vec<&str> = words.iter().take(8).map(String::as_str).collect();
            let more = if words.len() > shown.len() {
                ", …"
            } else {
                ""
            };
            format!("1 for one of: {}{more}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (5.0, "5"),
            (0.25, "0.25"),
            (-1.0 / 3.0, "-0.3333"),
            (123_456_789.0, "1.2346e8"),
            (100.0, "100"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn long_tables_are_cut() {
        let rows = (0..45).map(|n| vec![n.to_string()]).collect();
        let text = cut(&[("N", Align::Right)], rows);
        assert!(text.ends_with("39\n… and 5 more; --json has all"), "{text}");
    }
}

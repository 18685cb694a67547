//! What is in an operator's file or folder, before a run file says how to use it.

mod arrays;
mod folders;
mod table;
mod text;

use std::path::Path;

use serde::Serialize;
use tabswarm_model::run_file::TableKind;

use super::fault::Fault;
use super::ingest::IngestError;

/// What was found, and how to train on it.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Survey {
    /// The word for `data.format`.
    pub(crate) format: &'static str,
    /// Rows of a table, pictures, labels, or characters of a text.
    pub(crate) samples: u64,
    /// Of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<ColumnSurvey>,
    /// Of files that hold arrays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) arrays: Vec<ArraySurvey>,
    /// Samples of each class, where it is plain what the classes are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<ClassSurvey>,
    /// Different characters of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vocabulary: Option<usize>,
    /// What to keep in mind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remarks: Vec<String>,
    /// What a run file could say about it, to be adapted.
    pub(crate) run_file: String,
}

/// A column of a table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ColumnSurvey {
    pub(crate) name: String,
    /// `numbers`, `words`, `mixed` or `empty`.
    pub(crate) kind: &'static str,
    /// Cells without a value.
    pub(crate) missing: u64,
    /// Different values; none where there are too many to count.
    pub(crate) distinct: Option<usize>,
    /// Smallest and largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
    /// Mean of the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mean: Option<f64>,
}

/// An array.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ArraySurvey {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// In `NumPy`'s words.
    pub(crate) dtype: String,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ClassSurvey {
    pub(crate) name: String,
    pub(crate) samples: u64,
}

/// Looks at a file or a folder; `shown` is how a run file would call it.
pub(crate) fn survey(path: &Path, shown: &str) -> Result<Survey, IngestError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_dir() {
        return folders::survey(path, shown);
    }
    match extension.unwrap_or_default().to_lowercase().as_str() {
        "csv" => table::survey(path, shown, "csv", Some(b',')),
        "tsv" | "tab" => table::survey(path, shown, "tsv", Some(b'\t')),
        "parquet" | "pq" => table::survey(path, shown, "parquet", None),
        "npz" => arrays::survey(path, shown),
        "txt" | "text" | "md" => text::survey(path, shown),
        "npy" => Err(unknown(
            path,
            "is one array; inputs and labels are two",
            "inspect the folder that both lie in, or save them with numpy.savez",
        )),
        _ => Err(unknown(
            path,
            "has a name that does not say what it is",
            "rename it to end in .csv, .tsv, .parquet, .npz or .txt, or inspect a folder",
        )),
    }
}

fn unknown(path: &Path, problem: &str, remedy: &str) -> IngestError {
    if let Err(fault) = super::fault::open(path) {
        return fault.into();
    }
    Fault::new(path.display(), format!("it {problem}"), remedy).into()
}

fn table_kind(separator: Option<u8>, header: bool) -> TableKind {
    match separator {
        Some(separator) => TableKind::Separated { separator, header },
        None => TableKind::Parquet,
    }
}

/// A section `[data]` and a first model for it.
fn run_file(data: &str, input: &[usize], classes: usize) -> String {
    let flatten = if input.len() > 1 {
        "    { kind = \"flatten\" },\n"
    } else {
        ""
    };
    format!(
        "[data]\n{data}\n[model]\ninput = {input:?}\nlayers = [\n{flatten}    \
         {{ kind = \"dense\", units = 32 }},\n    {{ kind = \"relu\" }},\n    \
         {{ kind = \"dense\", units = {classes} }},\n]\nloss = \"softmax_cross_entropy\"\n"
    )
}

#[cfg(test)]
mod tests;

//! What the inputs and classes of a data set stand for.

use serde::{Deserialize, Serialize};

use super::DatasetError;
use crate::digest::Digest;

/// How samples were prepared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// The columns in the order of the inputs; none where inputs have no names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// What each class is called; none where classes are numbers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Manifest of the samples that were set aside for a last test, and are on the server only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<Digest>,
}

impl Preparation {
    /// As in a manifest.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names and finite numbers only")
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// As in the file.
    pub name: String,
    /// How a cell becomes inputs.
    pub kind: ColumnKind,
}

/// How a cell becomes inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// One input, `(number - shift) / scale` in double precision, rounded once.
    Number {
        /// Subtracted.
        shift: f64,
        /// Divided by.
        scale: f64,
        /// Stands for a missing number; none where those are refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fill: Option<f64>,
    },
    /// An input for each word: 1 for the cell's, 0 for the others, and for all where there is none.
    Words(Vec<String>),
}

impl Column {
    /// Inputs that it makes.
    pub fn features(&self) -> usize {
        match &self.kind {
            ColumnKind::Number { .. } => 1,
            ColumnKind::Words(words) => words.len(),
        }
    }
}

impl Preparation {
    /// Whether it is one for so many inputs and classes.
    pub(super) fn check(&self, features: Option<usize>, classes: u32) -> Result<(), DatasetError> {
        let inconsistent = |problem| Err(DatasetError::Inconsistent { problem });
        let made: usize = self.columns.iter().map(Column::features).sum();
        if !self.columns.is_empty() && features != Some(made) {
            return inconsistent("its columns do not make the inputs of a sample");
        }
        if self.classes.len() > classes as usize {
            return inconsistent("it names more classes than there are");
        }
        let numbers = self.columns.iter().filter_map(|column| match column.kind {
            ColumnKind::Number { shift, scale, fill } => Some([shift, scale, fill.unwrap_or(0.0)]),
            ColumnKind::Words(_) => None,
        });
        if numbers.flatten().any(|number| !number.is_finite()) {
            return inconsistent("a column is scaled by no finite number");
        }
        Ok(())
    }
}

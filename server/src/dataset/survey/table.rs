//! Tables: what each column holds, and which one may be the label.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ClassSurvey, ColumnSurvey, Survey, run_file, table_kind};
use crate::dataset::fault::{Fault, quoted};
use crate::dataset::ingest::IngestError;
use crate::dataset::statistics::Statistics;
use crate::dataset::table::{Cell, open, word};

/// Most different values that are counted of a column.
const MAX_DISTINCT: usize = 1_000;
/// Most different values that are counted of all columns together.
const MAX_DISTINCT_IN_ALL: usize = 100_000;
/// Longest value that is counted as one.
const MAX_WORD_CHARS: usize = 200;
/// Most classes that a column is taken for the label with.
const MAX_LIKELY_CLASSES: usize = 100;
/// Names that labels often have.
const LABEL_NAMES: [&str; 7] = [
    "label", "class", "target", "species", "y", "category", "kind",
];

/// What a column holds.
#[derive(Default)]
struct Column {
    missing: u64,
    numbers: u64,
    words: u64,
    statistics: Statistics,
    /// How often each value occurs; none where there are too many.
    values: Option<BTreeMap<String, u64>>,
}

pub(super) fn survey(
    path: &Path,
    shown: &str,
    format: &'static str,
    separator: Option<u8>,
) -> Result<Survey, IngestError> {
    let header = separator.is_none_or(|separator| has_header(path, separator));
    let table = open(table_kind(separator, header), path)?;
    let names = table.columns().to_vec();
    let mut columns: Vec<Column> = names.iter().map(|_| Column::new()).collect();
    let (mut rows, mut counted) = (0, 0);
    table.scan(&mut |_, cells| {
        rows += 1;
        for (cell, column) in cells.iter().zip(&mut columns) {
            counted += column.add(*cell, counted < MAX_DISTINCT_IN_ALL);
        }
        Ok(())
    })?;
    if rows == 0 {
        let remedy = "put at least a few rows below the names of the columns";
        return Err(Fault::new(path.display(), "it has no rows", remedy).into());
    }
    let label = likely_label(&names, &columns, rows);
    let mut survey = Survey {
        format,
        samples: rows,
        columns: names.iter().zip(&columns).map(described).collect(),
        ..Survey::default()
    };
    if let Some(label) = label {
        let values = columns[label].values.iter().flatten();
        let class = |(name, &samples): (&String, &u64)| ClassSurvey {
            name: name.clone(),
            samples,
        };
        survey.classes = values.map(class).collect();
    }
    suggest(&mut survey, &columns, label, shown, header);
    Ok(survey)
}

/// Whether the first line names columns: none of its cells is a number.
fn has_header(path: &Path, separator: u8) -> bool {
    let mut is_header = true;
    // What is wrong with the file is said when it is read in earnest.
    let rows = open(table_kind(Some(separator), true), path);
    if let Ok(rows) = rows {
        is_header = rows
            .columns()
            .iter()
            .all(|name| name.parse::<f64>().is_err());
    }
    is_header
}

impl Column {
    fn new() -> Self {
        Self {
            values: Some(BTreeMap::new()),
            ..Self::default()
        }
    }

    /// Takes a cell up; gives how many new values are remembered.
    fn add(&mut self, cell: Cell<'_>, may_grow: bool) -> usize {
        match cell {
            Cell::Missing => {
                self.missing += 1;
                return 0;
            }
            Cell::Number(number) => {
                self.numbers += 1;
                self.statistics.add(number);
            }
            Cell::Text(_) => self.words += 1,
        }
        let (Some(values), Some(word)) = (&mut self.values, word(cell)) else {
            return 0;
        };
        if let Some(count) = values.get_mut(word.as_ref()) {
            *count += 1;
            return 0;
        }
        if !may_grow || values.len() == MAX_DISTINCT || word.chars().count() > MAX_WORD_CHARS {
            self.values = None;
            return 0;
        }
        values.insert(word.into_owned(), 1);
        1
    }

    fn kind(&self) -> &'static str {
        match (self.numbers, self.words) {
            (0, 0) => "empty",
            (_, 0) => "numbers",
            (0, _) => "words",
            _ => "mixed",
        }
    }

    fn distinct(&self) -> Option<usize> {
        self.values.as_ref().map(BTreeMap::len)
    }

    /// How many inputs it makes as words; none where it can't.
    fn words(&self, rows: u64) -> Option<usize> {
        // A word that most rows have to themselves is a name, from which nothing can be learned.
        self.distinct()
            .filter(|&words| words > 0 && (words as u64) * 2 <= rows.max(8))
    }
}

fn described((name, column): (&String, &Column)) -> ColumnSurvey {
    let is_numeric = column.numbers > 0;
    ColumnSurvey {
        name: name.clone(),
        kind: column.kind(),
        missing: column.missing,
        distinct: column.distinct(),
        range: column.statistics.range().filter(|_| is_numeric),
        mean: is_numeric.then(|| column.statistics.mean()),
    }
}

/// A column with a usual name, else the last one of few words, else the last one of few whole numbers.
fn likely_label(names: &[String], columns: &[Column], rows: u64) -> Option<usize> {
    let is_likely = |&at: &usize| {
        let column: &Column = &columns[at];
        let classes = column.distinct().unwrap_or(usize::MAX);
        column.missing == 0
            && (2..=MAX_LIKELY_CLASSES).contains(&classes)
            && (classes as u64) * 2 <= rows.max(4)
    };
    let likely: Vec<usize> = (0..names.len()).filter(is_likely).collect();
    let usual = |&&at: &&usize| LABEL_NAMES.contains(&names[at].to_lowercase().as_str());
    let of_words = |&&at: &&usize| columns[at].kind() == "words";
    let whole = |&&at: &&usize| {
        let values = columns[at].values.iter().flatten();
        values
            .into_iter()
            .all(|(value, _)| value.parse::<i64>().is_ok())
    };
    let found = likely.iter().rfind(usual);
    found
        .or_else(|| likely.iter().rfind(of_words))
        .or_else(|| likely.iter().rfind(whole))
        .copied()
}

/// Writes what a run file could say.
fn suggest(
    survey: &mut Survey,
    columns: &[Column],
    label: Option<usize>,
    shown: &str,
    header: bool,
) {
    let (mut categorical, mut ignore, mut inputs, mut missing) = (vec![], vec![], 0, false);
    for (at, (described, column)) in survey.columns.iter().zip(columns).enumerate() {
        if Some(at) == label {
            continue;
        }
        let name = format!("{:?}", described.name);
        match (described.kind, column.words(survey.samples)) {
            ("numbers", _) => inputs += 1,
            ("words" | "mixed", Some(words)) => {
                inputs += words;
                categorical.push(name);
            }
            _ => {
                ignore.push(name);
                continue;
            }
        }
        missing |= column.missing > 0;
    }
    let mut data = vec![
        format!("format = {:?}", survey.format),
        format!("path = {shown:?}"),
    ];
    match label {
        Some(at) => data.push(format!("label = {:?}", survey.columns[at].name)),
        None => {
            data.push("label = \"\"  # the column that holds the class".to_owned());
            let remark = "no column looks like a class: few different values, none missing";
            survey.remarks.push(remark.to_owned());
        }
    }
    if !header {
        data.push("header = false".to_owned());
        let remark =
            "the first line holds a number, so it is taken for a row; columns are called 1, 2, …";
        survey.remarks.push(remark.to_owned());
    }
    for (key, names) in [("categorical", categorical), ("ignore", ignore)] {
        if !names.is_empty() {
            data.push(format!("{key} = [{}]", names.join(", ")));
        }
    }
    if missing {
        data.push("missing = \"mean\"".to_owned());
    }
    data.push("split = { validation = 0.2 }".to_owned());
    let mixed = survey.columns.iter().find(|column| column.kind == "mixed");
    if let Some(mixed) = mixed {
        let name = quoted(&mixed.name);
        survey.remarks.push(format!(
            "{name} holds numbers and words: correct it if it should be numbers"
        ));
    }
    survey.run_file = run_file(
        &format!("{}\n", data.join("\n")),
        &[inputs],
        survey.classes.len().max(2),
    );
}

//! Tables: rows of named columns, one of which holds the class.
//!
//! A table is read three times and never held: once to learn its columns, words and number of rows, once for
//! the statistics of the training rows, and once to write samples. So memory does not grow with the file.

mod pages;
mod parquet;
mod profile;
mod separated;
#[cfg(test)]
mod tests;

use std::path::Path;

use tabswarm_model::Run;
use tabswarm_model::dataset::{ColumnKind, InputKind};
use tabswarm_model::run_file::{TableKind, TableSpec};

use self::parquet::Parquet;
pub(super) use self::profile::word;
use self::profile::{Profile, Role};
use self::separated::Separated;
use super::fault::Fault;
use super::ingest::{IngestError, Ingested, Sets};
use super::split::{Part, Splitter};
use super::writer::{Inputs, MAX_INPUT_BYTES, Target, Writer};

/// Most columns of a table.
const MAX_COLUMNS: usize = 16_384;

/// A cell of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// There is no value.
    Missing,
    /// A number, which is finite.
    Number(f64),
    /// Anything else that was written, without spaces around it.
    Text(&'a str),
}

/// What is called with each row: its place for messages, and its cells.
pub(super) type Visit<'a> = dyn FnMut(&str, &[Cell<'_>]) -> Result<(), IngestError> + 'a;

/// A table's file.
pub(super) trait Rows {
    /// Names of the columns.
    fn columns(&self) -> &[String];

    /// Calls `visit` with each row in order.
    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), IngestError>;
}

/// Opens a table and reads the names of its columns.
pub(super) fn open(kind: TableKind, path: &Path) -> Result<Box<dyn Rows>, IngestError> {
    let rows: Box<dyn Rows> = match kind {
        TableKind::Separated { separator, header } => {
            Box::new(Separated::open(path, separator, header)?)
        }
        TableKind::Parquet => Box::new(Parquet::open(path)?),
    };
    if rows.columns().len() > MAX_COLUMNS {
        let problem = format!("it has {} columns", rows.columns().len());
        let remedy = format!("use a table of at most {MAX_COLUMNS}");
        return Err(Fault::new(path.display(), problem, remedy).into());
    }
    Ok(rows)
}

/// Reads, checks and stores a table.
pub(super) fn ingest(
    run: &Run,
    spec: &TableSpec,
    path: &Path,
    sets: Sets<'_>,
) -> Result<Ingested, IngestError> {
    let rows = open(spec.kind, path)?;
    let mut profile = Profile::of(path, spec, rows.columns())?;
    rows.scan(&mut |place, cells| Ok(profile.learn(place, cells)?))?;
    let graph = run.graph();
    profile.check(graph.input_features(), graph.classes)?;
    let bytes = (graph.input_features() * size_of::<f32>()) as u64 * profile.rows();
    if bytes > MAX_INPUT_BYTES {
        let problem = format!("its inputs would take {bytes} bytes");
        let remedy = format!("use a smaller table: at most {MAX_INPUT_BYTES} are stored");
        return Err(Fault::new(path.display(), problem, remedy).into());
    }
    let splitter = Splitter::new(run.seed, profile.rows(), spec.split, path)?;
    let mut row = 0;
    rows.scan(&mut |_, cells| {
        if splitter.part(row) == Part::Training {
            profile.measure(cells);
        }
        row += 1;
        Ok(())
    })?;
    let preparation = profile.preparation();
    let columns = preparation.columns.clone();
    let mut writer = Writer::new(run, path, InputKind::Values, Some(preparation), sets);
    let (mut row, mut inputs) = (0, Vec::new());
    rows.scan(&mut |place, cells| {
        if row >= profile.rows() {
            return Err(profile.changed().into());
        }
        inputs.clear();
        let mut columns = columns.iter();
        let mut label = None;
        for (cell, role) in cells.iter().zip(profile.roles()) {
            match role {
                Role::Ignored => {}
                Role::Label => label = profile.class(*cell),
                Role::Input(_) => {
                    let column = columns.next().ok_or_else(|| profile.changed())?;
                    encode(&column.kind, *cell, &mut inputs);
                }
            }
        }
        let Some(label) = label.filter(|_| inputs.len() == graph.input_features()) else {
            let remedy = "do not change the file while a run is created";
            return Err(Fault::new(place, "it is not what it was a moment ago", remedy).into());
        };
        writer.push(
            splitter.part(row),
            Inputs::Values(&inputs),
            Target::Class(label),
        )?;
        row += 1;
        Ok(())
    })?;
    if row != profile.rows() {
        return Err(profile.changed().into());
    }
    writer.finish()
}

/// A cell's inputs.
fn encode(kind: &ColumnKind, cell: Cell<'_>, inputs: &mut Vec<f32>) {
    match kind {
        ColumnKind::Number { shift, scale, fill } => {
            let number = match cell {
                Cell::Number(number) => number,
                Cell::Missing | Cell::Text(_) => fill.unwrap_or(f64::NAN),
            };
            inputs.push(narrow((number - shift) / scale));
        }
        ColumnKind::Words(words) => {
            let word = word(cell);
            let is_this = |known: &String| word.as_deref() == Some(known);
            inputs.extend(
                words
                    .iter()
                    .map(|known| if is_this(known) { 1.0 } else { 0.0 }),
            );
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is meant, and what becomes infinite is refused by the writer"
)]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

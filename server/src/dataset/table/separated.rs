//! Text with a separator between cells: CSV as in RFC 4180, TSV, and relatives.

use std::cell::Cell as Counter;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord, Trim};

use super::{Cell, Rows, Visit};
use crate::dataset::fault::{self, Fault};
use crate::dataset::ingest::IngestError;

/// Longest row: a quotation mark that is never closed must not take in the whole file.
const MAX_ROW_BYTES: u64 = 4 << 20;
/// Cells that say that there is no value.
const MISSING: [&str; 9] = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL"];

/// A file of separated cells.
pub(super) struct Separated {
    path: PathBuf,
    separator: u8,
    header: bool,
    columns: Vec<String>,
}

impl Separated {
    /// Reads the names of the columns.
    pub(super) fn open(path: &Path, separator: u8, header: bool) -> Result<Self, Fault> {
        let mut table = Self {
            path: path.to_owned(),
            separator,
            header,
            columns: Vec::new(),
        };
        let (mut reader, _left) = table.reader()?;
        let mut first = StringRecord::new();
        let is_there = reader
            .read_record(&mut first)
            .map_err(|error| table.fault(&error))?;
        if !is_there {
            let remedy = "put the names of the columns and the rows there";
            return Err(Fault::new(path.display(), "it is empty", remedy));
        }
        let name = |(at, cell): (usize, &str)| {
            if header {
                cell.to_owned()
            } else {
                (at + 1).to_string()
            }
        };
        table.columns = first.iter().enumerate().map(name).collect();
        Ok(table)
    }

    fn reader(&self) -> Result<(Reader<Bounded>, Rc<Counter<u64>>), Fault> {
        let left = Rc::new(Counter::new(MAX_ROW_BYTES));
        let file = Bounded {
            file: fault::open(&self.path)?,
            left: Rc::clone(&left),
        };
        let reader = ReaderBuilder::new()
            .delimiter(self.separator)
            .has_headers(false)
            .trim(Trim::All)
            .from_reader(file);
        Ok((reader, left))
    }

    fn fault(&self, error: &csv::Error) -> Fault {
        let line = error
            .position()
            .map(|position| format!(", line {}", position.line()));
        let place = format!("{}{}", self.path.display(), line.unwrap_or_default());
        match error.kind() {
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => Fault::new(
                place,
                format!("the row has {len} cells instead of {expected_len}"),
                "complete it, put cells with a separator into quotation marks, or write another data.separator",
            ),
            ErrorKind::Utf8 { .. } => Fault::new(
                place,
                "the text is not UTF-8",
                "convert it, for example with iconv -t UTF-8",
            ),
            ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => Fault::new(
                place,
                error.to_string(),
                "close the quotation mark that was left open, or check that this is a table",
            ),
            ErrorKind::Io(error) => Fault::io(&self.path, error),
            _ => Fault::new(place, error.to_string(), "correct the row"),
        }
    }
}

impl Rows for Separated {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), IngestError> {
        let (mut reader, left) = self.reader()?;
        let mut record = StringRecord::new();
        let mut is_name = self.header;
        loop {
            left.set(MAX_ROW_BYTES);
            if !reader
                .read_record(&mut record)
                .map_err(|error| self.fault(&error))?
            {
                return Ok(());
            }
            if is_name {
                is_name = false;
                continue;
            }
            let line = record.position().map_or(0, csv::Position::line);
            let place = format!("{}, line {line}", self.path.display());
            let cells: Vec<Cell<'_>> = record.iter().map(cell).collect();
            visit(&place, &cells)?;
        }
    }
}

fn cell(text: &str) -> Cell<'_> {
    if MISSING.contains(&text) {
        return Cell::Missing;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Cell::Number(number),
        _ => Cell::Text(text),
    }
}

/// A file that breaks off where a row becomes too long.
struct Bounded {
    file: std::fs::File,
    left: Rc<Counter<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let message = format!("a row is longer than {MAX_ROW_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let read = self.file.read(buffer)?;
        self.left.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}

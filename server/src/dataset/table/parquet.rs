//! Parquet, row by row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};

use super::{Cell, Rows, Visit, pages};
use crate::dataset::fault::{self, Fault};
use crate::dataset::ingest::IngestError;
use crate::dataset::writer::MAX_INPUT_BYTES;

/// Largest description of columns and row groups, at the file's end.
const MAX_FOOTER_BYTES: u32 = 4 << 20;
/// Largest piece of a column that a row group holds, unpacked.
const MAX_COLUMN_BYTES: i64 = 1 << 30;

/// A file of flat columns.
pub(super) struct Parquet {
    path: PathBuf,
    columns: Vec<String>,
}

impl Parquet {
    /// Reads the names of the columns.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        check_footer(path)?;
        let reader = guarded(path, || {
            SerializedFileReader::new(fault::open(path)?).map_err(|error| damaged(path, &error))
        })?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        for column in schema.columns() {
            if column.path().parts().len() != 1 || column.max_rep_level() > 0 {
                let problem = format!("the column {} holds lists or groups", column.path());
                let remedy = "write a table of numbers and words only";
                return Err(Fault::new(path.display(), problem, remedy));
            }
        }
        let file = fault::open(path)?;
        let mut total = 0_u64;
        for column in metadata
            .row_groups()
            .iter()
            .flat_map(RowGroupMetaData::columns)
        {
            let bytes = column.uncompressed_size();
            total = total.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
            if !(0..=MAX_COLUMN_BYTES).contains(&bytes) || total > MAX_INPUT_BYTES {
                let problem = format!(
                    "the column {} unpacks to {bytes} bytes",
                    column.column_path()
                );
                let remedy = "write the file again with smaller row groups";
                return Err(Fault::new(path.display(), problem, remedy));
            }
            pages::check(&file, column).map_err(|problem| {
                let place = format!("{}, column {}", path.display(), column.column_path());
                let remedy = "write it again with pages of about 1 MiB, as is usual";
                Fault::new(place, problem, remedy)
            })?;
        }
        let columns = schema
            .columns()
            .iter()
            .map(|column| column.name().to_owned());
        Ok(Self {
            path: path.to_owned(),
            columns: columns.collect(),
        })
    }
}

impl Rows for Parquet {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn scan(&self, visit: &mut Visit<'_>) -> Result<(), IngestError> {
        let path = &self.path;
        let file = fault::open(path)?;
        let reader = guarded(path, || {
            SerializedFileReader::new(file).map_err(|error| damaged(path, &error))
        })?;
        let mut rows = guarded(path, || {
            reader
                .get_row_iter(None)
                .map_err(|error| damaged(path, &error))
        })?;
        let mut at = 0_u64;
        loop {
            let row: Row = match guarded(path, || Ok(rows.next()))? {
                None => return Ok(()),
                Some(row) => row.map_err(|error| damaged(path, &error))?,
            };
            at += 1;
            let place = format!("{}, row {at}", path.display());
            let words: Vec<String> = row
                .get_column_iter()
                .map(|(_, field)| shown(field))
                .collect();
            let fields = row.get_column_iter().map(|(_, field)| field);
            let cells: Vec<Cell<'_>> = fields.zip(&words).map(|(f, word)| cell(f, word)).collect();
            visit(&place, &cells)?;
        }
    }
}

/// The footer's length stands before the last four bytes: it must be the file's, and no more than can be read.
fn check_footer(path: &Path) -> Result<(), Fault> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = fault::open(path)?;
    let mut end = [0; 8];
    let read = file
        .seek(SeekFrom::End(-8))
        .and_then(|_| file.read_exact(&mut end));
    let [l0, l1, l2, l3, magic @ ..] = end;
    if read.is_err() || &magic != b"PAR1" {
        let remedy = "write it again, or another data.format";
        return Err(Fault::new(
            path.display(),
            "it is no whole Parquet file",
            remedy,
        ));
    }
    let bytes = u32::from_le_bytes([l0, l1, l2, l3]);
    if bytes > MAX_FOOTER_BYTES {
        let problem = format!("its description takes {bytes} bytes");
        let remedy =
            format!("write fewer columns or row groups: at most {MAX_FOOTER_BYTES} are read");
        return Err(Fault::new(path.display(), problem, remedy));
    }
    Ok(())
}

fn damaged(path: &Path, error: &parquet::errors::ParquetError) -> Fault {
    let remedy = "write it again, uncompressed or with snappy";
    Fault::new(path.display(), format!("it can't be read: {error}"), remedy)
}

/// The library is known to panic on some damaged files.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(Fault::new(
            path.display(),
            "it is damaged",
            "write it again",
        ))
    })
}

/// Words of columns that hold no numbers.
fn shown(field: &Field) -> String {
    match field {
        Field::Str(text) => text.trim().to_owned(),
        Field::Bool(value) => value.to_string(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        _ => String::new(),
    }
}

fn cell<'a>(field: &Field, word: &'a str) -> Cell<'a> {
    let number = match *field {
        Field::Null => return Cell::Missing,
        Field::Byte(n) => f64::from(n),
        Field::Short(n) => f64::from(n),
        Field::Int(n) => f64::from(n),
        Field::Long(n) => n as f64,
        Field::UByte(n) => f64::from(n),
        Field::UShort(n) => f64::from(n),
        Field::UInt(n) => f64::from(n),
        Field::ULong(n) => n as f64,
        Field::Float(n) => f64::from(n),
        Field::Double(n) => n,
        Field::Bool(value) => f64::from(u8::from(value)),
        _ if word.is_empty() => return Cell::Missing,
        _ => return Cell::Text(word),
    };
    if number.is_finite() {
        Cell::Number(number)
    } else {
        Cell::Missing
    }
}

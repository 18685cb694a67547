//! What is wrong with an operator's data, and how its files are reached.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Longest piece of a file that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// A mistake: where it is, what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// File, and place in it.
    place: String,
    problem: String,
    remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// A mistake at a place.
    pub(super) fn new(
        place: impl fmt::Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            place: one_line(&place.to_string()),
            problem: one_line(&problem.into()),
            remedy: remedy.into(),
        }
    }

    /// The system refuses.
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        let remedy = "check that the file is whole and that the server may read it";
        Self::new(path.display(), format!("it can't be read: {error}"), remedy)
    }
}

/// Libraries and names of files may break lines.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_control())
        .map(str::trim)
        .filter(|words| !words.is_empty())
        .collect();
    words.join(" ")
}

/// A cell or a name as messages show it: on one line and not too long.
pub(super) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

/// The place of a data set, which must not lead out of the folder of data sets.
///
/// Names in run files have no `..`; what a link points to is looked at here.
pub(super) fn inside(datasets_dir: &Path, path: &Path) -> Result<PathBuf, Fault> {
    let root = fs::canonicalize(datasets_dir).map_err(|error| Fault::io(datasets_dir, &error))?;
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let remedy = "put the data there, or write another data.path";
            return Err(Fault::new(path.display(), "it does not exist", remedy));
        }
        Err(error) => return Err(Fault::io(path, &error)),
    };
    if real.starts_with(&root) {
        return Ok(real);
    }
    let problem = format!(
        "it leads to {}, outside the folder of data sets",
        real.display()
    );
    let remedy = "copy the data instead of linking to it";
    Err(Fault::new(path.display(), problem, remedy))
}

/// Opens a regular file: neither a folder nor what would never end or never begin.
pub(super) fn open(path: &Path) -> Result<File, Fault> {
    let meta = fs::metadata(path).map_err(|error| Fault::io(path, &error))?;
    if !meta.is_file() {
        let what = if meta.is_dir() {
            "a folder"
        } else {
            "no regular file"
        };
        let remedy = "write the file's own path in data.path";
        return Err(Fault::new(path.display(), format!("it is {what}"), remedy));
    }
    File::open(path).map_err(|error| Fault::io(path, &error))
}

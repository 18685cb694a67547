//! Skipping work that is done: a stamp holds the digest of the inputs of the last success.
//!
//! Digests of contents, not times: a fresh clone, a branch switch and a touched file all
//! give the right answer.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The digest of a step's inputs and the place where the last success noted its own.
#[derive(Debug)]
pub(crate) struct Stamp {
    path: PathBuf,
    digest: String,
}

impl Stamp {
    /// A stamp at `path` for a step whose inputs are `inputs`.
    pub(crate) fn new(path: PathBuf, inputs: &Inputs) -> Self {
        Self {
            path,
            digest: inputs.hasher.finalize().to_hex().to_string(),
        }
    }

    /// True if the last success had the same inputs.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|noted| noted == self.digest)
    }

    /// Notes a success.
    pub(crate) fn save(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        fs::write(&self.path, &self.digest)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// What a step reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    hasher: blake3::Hasher,
}

impl Inputs {
    /// Adds a value that is no file: a version, an option.
    pub(crate) fn value(mut self, value: &str) -> Self {
        self.add(value.as_bytes());
        self
    }

    /// Adds a file, or every file below a folder except in folders that `skipped` names.
    pub(crate) fn files(mut self, path: &Path, skipped: &[&str]) -> Result<Self> {
        for file in files_below(path, skipped)? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            self.add(name.as_os_str().as_encoded_bytes());
            let content =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            self.add(&content);
        }
        Ok(self)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(&bytes.len().to_le_bytes());
        self.hasher.update(bytes);
    }
}

/// Every file below `path` in a fixed order, leaving out folders that `skipped` names.
pub(crate) fn files_below(path: &Path, skipped: &[&str]) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("cannot list {}", path.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.file_name();
        // A link is followed nowhere: it could leave the tree or lead in circles.
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        if kind.is_dir() {
            if !skipped.iter().any(|skip| name == *skip) {
                files.extend(files_below(&entry.path(), skipped)?);
            }
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_run_together() {
        let digest = |inputs: &Inputs| inputs.hasher.finalize();
        let apart = Inputs::default().value("a").value("bc");
        let together = Inputs::default().value("ab").value("c");
        assert_ne!(digest(&apart), digest(&together));
    }

    #[test]
    fn files_come_in_order_without_skipped_folders() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = files_below(&sources, &["tidy", "web", "demo"]).unwrap();
        assert!(files.is_sorted());
        assert!(files.contains(&sources.join("setup/mod.rs")));
        assert!(
            !files
                .iter()
                .any(|file| file.starts_with(sources.join("web")))
        );
    }
}

//! Rust sources: a header, a length that one sitting can read, no stray whitespace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::stamp::files_below;

/// Longest file.
const LINES_MAX: usize = 500;
/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];
/// Folders that hold no sources of ours; so do hidden ones and all build outputs.
const SKIPPED: [&str; 4] = ["node_modules", "dist", "data", "datasets"];

/// What is wrong with the sources below `root`.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in rust_files(root)? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        faults.extend(check_text(&name, &text));
    }
    Ok(faults)
}

fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = root
        .read_dir()
        .with_context(|| format!("cannot list {}", root.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", root.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = !name.starts_with('.') && !name.starts_with("target");
        if is_ours && !SKIPPED.contains(&name.as_ref()) && entry.path().is_dir() {
            files.extend(files_below(&entry.path(), &SKIPPED)?);
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    Ok(files)
}

fn check_text(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!(
            "{name}:1: begin with `//!` and what this module is for"
        ));
    }
    let n_lines = text.lines().count();
    let may_be_long = LONG_FILES.iter().any(|(long, _)| *long == name);
    if n_lines > LINES_MAX && !may_be_long {
        faults.push(format!(
            "{name}: {n_lines} lines; split it so that each part has at most {LINES_MAX}"
        ));
    }
    for (idx, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            faults.push(format!(
                "{name}:{}: remove the whitespace at the end",
                idx + 1
            ));
        }
        if line.contains('\t') {
            faults.push(format!("{name}:{}: indent with spaces", idx + 1));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(format!("{name}: end with a newline"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named_with_its_place() {
        assert!(check_text("a.rs", "//! Fine.\nfn f() {}\n").is_empty());
        assert_eq!(
            check_text("a.rs", "fn f() {}  \n\tx"),
            [
                "a.rs:1: begin with `//!` and what this module is for",
                "a.rs:1: remove the whitespace at the end",
                "a.rs:2: indent with spaces",
                "a.rs: end with a newline",
            ]
        );
    }

    #[test]
    fn long_files_are_refused() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(
            check_text("a.rs", &long),
            ["a.rs: 501 lines; split it so that each part has at most 500"]
        );
    }
}

//! Decision records: `docs/adr/NNN-title.md`, numbered without gaps, with the same parts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::stamp::files_below;

const FOLDER: &str = "docs/adr";
const PARTS: [&str; 4] = [
    "## Context",
    "## Decision",
    "## Consequences",
    "## Alternatives",
];

/// What is wrong with the decision records.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let folder = root.join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for file in files_below(&folder, &[])? {
        let name = file
            .strip_prefix(&folder)
            .unwrap_or(&file)
            .display()
            .to_string();
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        records.push((name, text));
    }
    Ok(check_records(&records))
}

/// `records` come in the order of their names, hence of their numbers.
fn check_records(records: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    // The template, where there is one, has number 0.
    let first = usize::from(records.first().and_then(|(name, _)| number(name)) != Some(0));
    for (idx, (name, text)) in records.iter().enumerate() {
        let expected = first + idx;
        let Some(number) = number(name) else {
            faults.push(format!(
                "{FOLDER}/{name}: call it NNN-title.md, small letters and hyphens"
            ));
            continue;
        };
        if number != expected {
            faults.push(format!("{FOLDER}/{name}: the next number is {expected:03}"));
        }
        if !text.starts_with("# ") {
            faults.push(format!("{FOLDER}/{name}: begin with a title, `# …`"));
        }
        for part in PARTS {
            if !text.lines().any(|line| line.starts_with(part)) {
                faults.push(format!("{FOLDER}/{name}: add the part `{part}`"));
            }
        }
    }
    faults
}

fn number(name: &str) -> Option<usize> {
    let (digits, title) = name.strip_suffix(".md")?.split_once('-')?;
    let well_formed = digits.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !title.is_empty()
        && title
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    well_formed.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> (String, String) {
        (
            name.to_owned(),
            format!("# Title\n\n{}\n", PARTS.join("\n\n")),
        )
    }

    #[test]
    fn good_records_pass() {
        assert!(check_records(&[record("001-a.md"), record("002-b-2.md")]).is_empty());
        assert!(check_records(&[record("000-template.md"), record("001-a.md")]).is_empty());
    }

    #[test]
    fn gaps_names_and_missing_parts_are_told() {
        let mut incomplete = record("002-b.md");
        incomplete.1 = incomplete.1.replace("## Decision", "");
        let records = [record("1-a.md"), incomplete, record("004-c.md")];
        assert_eq!(
            check_records(&records),
            [
                "docs/adr/1-a.md: call it NNN-title.md, small letters and hyphens",
                "docs/adr/002-b.md: add the part `## Decision`",
                "docs/adr/004-c.md: the next number is 003",
            ]
        );
    }
}

//! docs/protocol.md describes exactly the protocol that is compiled.
//!
//! The page carries a digest of the protocol crate's sources without their tests. Whoever
//! changes a message sees the digest differ, reads the page again, corrects it and lets
//! `tidy --fix` write the new digest.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::stamp::files_below;

const PAGE: &str = "docs/protocol.md";
const SOURCES: &str = "crates/protocol/src";
const BEFORE: &str = "<!-- protocol-hash: ";
const AFTER: &str = " -->";

/// What is wrong with the page.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let page = root.join(PAGE);
    if !page.is_file() {
        return Ok(vec![format!(
            "{PAGE}: missing; the protocol must be described"
        )]);
    }
    let text = read(&page)?;
    let right = digest(root)?;
    Ok(match noted(&text) {
        Some(noted) if noted == right => Vec::new(),
        Some(_) => vec![format!(
            "{PAGE}: {SOURCES} changed. Bring the page up to date, then run `cargo xtask tidy --fix`, \
             which writes `{BEFORE}{right}{AFTER}`"
        )],
        None => vec![format!("{PAGE}: add the line `{BEFORE}{right}{AFTER}`")],
    })
}

/// Writes the right digest into the page.
pub(super) fn fix(root: &Path) -> Result<()> {
    let page = root.join(PAGE);
    let text = read(&page)?;
    let right = digest(root)?;
    let fixed = match noted(&text) {
        Some(noted) => text.replacen(
            &format!("{BEFORE}{noted}{AFTER}"),
            &format!("{BEFORE}{right}{AFTER}"),
            1,
        ),
        None => format!("{}\n\n{BEFORE}{right}{AFTER}\n", text.trim_end()),
    };
    if fixed == text {
        return Ok(());
    }
    fs::write(&page, fixed).with_context(|| format!("cannot write {}", page.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn noted(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(BEFORE)?;
    let (noted, _) = rest.split_once(AFTER)?;
    Some(noted.trim())
}

fn digest(root: &Path) -> Result<String> {
    let sources = root.join(SOURCES);
    let mut hasher = blake3::Hasher::new();
    for file in files_below(&sources, &["tests"])? {
        let name = file.strip_prefix(&sources).unwrap_or(&file);
        if name.extension().is_none_or(|extension| extension != "rs") || name.ends_with("tests.rs")
        {
            continue;
        }
        let text = without_tests(&read(&file)?);
        hasher.update(name.to_string_lossy().as_bytes());
        hasher.update(&[0]);
        hasher.update(text.as_bytes());
        hasher.update(&[0]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The text without items under `#[cfg(test)]`, told by the layout that rustfmt gives them:
/// either one line or a block that ends with a brace at the same indentation.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        // Other attributes may stand between.
        let item = lines
            .by_ref()
            .find(|line| !line.trim_start().starts_with("#["));
        if item.is_some_and(|item| item.ends_with('{')) {
            // Consumes the block with its closing brace.
            lines.by_ref().find(|line| *line == end);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_left_out() {
        let text = "//! A.\n#[cfg(test)]\nmod other;\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\nfn b() {}\n";
        assert_eq!(without_tests(text), "//! A.\nfn a() {}\n\nfn b() {}\n");
    }

    #[test]
    fn the_digest_is_found_on_the_page() {
        assert_eq!(noted("# P\n<!-- protocol-hash: abc -->\n"), Some("abc"));
        assert_eq!(noted("# P\n"), None);
    }
}

//! `tidy`: rules of this repository that no compiler or linter knows.
//!
//! Each rule returns what it found wrong as sentences; nothing stops at the first. The same
//! rules run as tests, so `cargo test` cannot be green where `tidy` is not.

mod decisions;
mod protocol_hash;
mod sources;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Checks all rules; `fix` first writes what can be computed.
pub(crate) fn tidy(workspace: &Workspace, fix: bool) -> Result<()> {
    let root = workspace.root();
    if fix {
        protocol_hash::fix(root)?;
    }
    let mut faults = sources::check(root)?;
    faults.extend(protocol_hash::check(root)?);
    faults.extend(decisions::check(root)?);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults:\n{}", faults.len(), faults.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let workspace = Workspace::locate().unwrap();
        if let Err(error) = tidy(&workspace, false) {
            panic!("{error:#}");
        }
    }
}

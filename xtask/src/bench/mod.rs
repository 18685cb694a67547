//! `bench`: figures, each beside what it has to be compared with, from one run on one machine.
//!
//! Nothing here judges: a benchmark prints what it measured. Tests never look at a clock.

mod commit;
mod compute;
mod host;
mod machine;
mod peers;
mod report;
mod work;

use anyhow::Result;
use clap::Subcommand;

use crate::workspace::Workspace;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// How fast gradients are computed: natively, in a browser, and by others.
    Compute(compute::Options),
    /// How fast steps are committed and acknowledged, and what the log costs.
    Commit(commit::Options),
}

/// Measures and prints.
pub(crate) fn bench(workspace: &Workspace, what: &Bench) -> Result<()> {
    match what {
        Bench::Compute(options) => compute::compute(workspace, options),
        Bench::Commit(options) => commit::commit(workspace, options),
    }
}

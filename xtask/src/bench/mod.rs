//! `bench`: figures, each beside what it has to be compared with, from one run on one machine.
//!
//! Nothing here judges: a benchmark prints what it measured. Tests never look at a clock.

mod commit;
mod compute;
mod host;
mod machine;
mod peers;
mod report;
mod wall_time;
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
    /// How long it takes until a model is as accurate as asked for, against PyTorch in one process.
    WallTime(wall_time::Options),
}

/// Measures and prints.
pub(crate) fn bench(workspace: &Workspace, what: &Bench) -> Result<()> {
    match what {
        Bench::Compute(options) => compute::compute(workspace, options),
        Bench::Commit(options) => commit::commit(workspace, options),
        Bench::WallTime(options) => wall_time::wall_time(workspace, options),
    }
}

/// The one in the middle, or half-way between the two that are.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}

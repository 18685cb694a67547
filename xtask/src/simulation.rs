//! `sim`: the deterministic simulation of a whole network, many seeds at a time or one with its timeline.
//!
//! The simulation is a program of the tests crate; this command builds and starts it.

use anyhow::Result;
use clap::Args;

use crate::command;
use crate::workspace::Workspace;

/// Which seeds to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Replay one seed and print what happened.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// Builds the simulation and runs it; an error if an invariant broke.
pub(crate) fn simulate(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "tabswarm-tests",
        "--bin",
        "simulate",
        "--",
    ]);
    match options.seed {
        Some(seed) => cargo.args(["--seed", &seed.to_string()]),
        None => cargo
            .args(["--seeds", &options.seeds.to_string()])
            .args(["--from", &options.from.to_string()]),
    };
    command::run(&mut cargo)
}

//! `chaos`: a real server is killed over and over while real workers train, and nothing may be lost.
//!
//! The program that does it is an example of the tests crate; this command builds everything and starts it.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::binaries::{Binaries, Profile};
use crate::command;
use crate::setup;
use crate::web;
use crate::workspace::Workspace;

/// Kills of the short version, which is part of the tests: less than a minute.
const SHORT_KILLS: u64 = 5;

/// How often and when to kill.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// So many times.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    kills: u64,
    /// The moments follow from it, as far as a real machine repeats itself.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Longest life of a server in ms.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    life_ms: u64,
}

/// Builds, kills and checks; an error if anything did not hold.
pub(crate) fn chaos(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::setup(workspace, false)?;
    web::build(workspace)?;
    kill(workspace, options, Profile::Release)
}

/// The short version with the debug binaries, for the tests, which have set everything up.
pub(crate) fn short(workspace: &Workspace) -> Result<()> {
    let options = Options {
        kills: SHORT_KILLS,
        seed: 1,
        life_ms: 2_000,
    };
    kill(workspace, &options, Profile::Debug)
}

fn kill(workspace: &Workspace, options: &Options, profile: Profile) -> Result<()> {
    let binaries = Binaries::build(workspace, profile)?;
    command::run(
        Command::new(binaries.example("chaos"))
            .arg("--server")
            .arg(binaries.server())
            .arg("--worker")
            .arg(binaries.worker())
            .arg("--datasets")
            .arg(workspace.datasets())
            .arg("--scratch")
            .arg(workspace.scratch().join("chaos"))
            .args(["--kills", &options.kills.to_string()])
            .args(["--seed", &options.seed.to_string()])
            .args(["--life-ms", &options.life_ms.to_string()]),
    )
}

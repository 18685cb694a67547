//! `cargo xtask`: everything about this repository that is a command.
//!
//! This file only reads the command line; each command is a module of its own. Nothing here
//! is part of the product, and the product never depends on it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user on the terminal"
)]

mod bench;
mod binaries;
mod chaos;
mod command;
mod demo;
mod digits;
mod http;
mod load;
mod service;
mod setup;
mod simulation;
mod stamp;
mod suite;
mod swarm;
mod tidy;
mod web;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Set-up, web build, demo and tests of Tabswarm.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and running needs; quick when nothing is missing.
    Setup {
        /// Also install what the tests need: a browser, a software GPU, their npm packages.
        #[arg(long)]
        tests: bool,
    },
    /// Build both wasm modules and the page, and check their size.
    Web,
    /// Build everything, then train a run on this machine.
    Demo(demo::Options),
    /// Run every check that a change must pass.
    Test {
        /// Leave out the documentation and the browser tests.
        #[arg(long)]
        quick: bool,
    },
    /// Take pictures of every page of a real server, by which its looks are judged.
    Screens {
        /// Where they are put.
        folder: PathBuf,
    },
    /// Run whole networks under seeds, or replay one with its timeline.
    Sim(simulation::Options),
    /// Kill a real server at random moments of a run, and check that nothing was lost.
    Chaos(chaos::Options),
    /// Drive a real server with many workers over real sockets, and measure it.
    Load(load::Options),
    /// Measure, each figure beside what it has to be compared with.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Check the repository's own rules: headers, file sizes, protocol hash, decision records.
    Tidy {
        /// Write the right protocol hash into docs/protocol.md.
        #[arg(long)]
        fix: bool,
    },
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An error is printed; a suite that failed has already said so, and its closing line comes last.
fn perform(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Setup { tests } => setup::setup(&workspace, tests)?,
        Task::Web => {
            setup::setup(&workspace, false)?;
            web::build(&workspace)?;
        }
        Task::Demo(options) => demo::demo(&workspace, &options)?,
        Task::Test { quick } if !suite::run(&workspace, quick) => return Ok(ExitCode::FAILURE),
        Task::Test { .. } => {}
        Task::Screens { folder } => {
            setup::setup(&workspace, true)?;
            suite::screens(&workspace, &folder)?;
        }
        Task::Sim(options) => simulation::simulate(&workspace, &options)?,
        Task::Chaos(options) => chaos::chaos(&workspace, &options)?,
        Task::Load(options) => load::load(&workspace, &options)?,
        Task::Bench(what) => bench::bench(&workspace, &what)?,
        Task::Tidy { fix } => tidy::tidy(&workspace, fix)?,
    }
    Ok(ExitCode::SUCCESS)
}

//! The command line: `serve`, and verbs that talk to a running server's admin listener.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line makes no sense.

mod client;
mod data;
mod export;
mod init;
mod ledger;
mod run;
mod sample;
mod serve;
mod store;
mod table;
mod time;
mod worker;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "tabswarm",
    version,
    about = "Trains neural networks on computers that their owners lend by opening a page",
    after_help = "Examples:\n  \
        tabswarm serve --data-dir data --datasets-dir datasets\n  \
        tabswarm run create runs/mnist-mlp.toml --start\n  \
        tabswarm run list"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a server.
    Serve(serve::ServeArgs),
    /// Create, list and command runs of a running server.
    #[command(subcommand)]
    Run(run::RunCommand),
    /// Print the digest of a run's parameters.
    #[command(after_help = "Example:\n  tabswarm digest mnist-mlp --version 938")]
    Digest(run::DigestArgs),
    /// Look at data sets.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Write a run's trained model to a file that other tools read.
    #[command(
        after_help = "Example:\n  tabswarm export mnist-cnn --format onnx --out mnist-cnn.onnx"
    )]
    Export(export::ExportArgs),
    /// Check, repair and shrink what a server that is not running has stored.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Print what happened to a running server and its runs.
    Events(ledger::EventsArgs),
    /// Print who was credited how many samples.
    Credits(ledger::CreditsArgs),
    /// Look at the workers of a running server.
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => args.run(),
        Command::Run(command) => command.run(),
        Command::Digest(args) => args.run(),
        Command::Data(command) => command.run(),
        Command::Export(args) => args.run(),
        Command::Store(command) => command.run(),
        Command::Events(args) => args.run(),
        Command::Credits(args) => args.run(),
        Command::Worker(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            drop(writeln!(io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes an answer to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes lines as they come, none where there is nothing. True while somebody reads them.
fn print_lines(lines: &[String]) -> anyhow::Result<bool> {
    let mut output = io::stdout().lock();
    for line in lines {
        match writeln!(output, "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

//! The command line: `serve`, and verbs that talk to a running server's admin listener.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line makes no sense, 3 no answer, 4 the token is not good for it,
//! 5 the server refused.

mod client;
mod config;
mod data;
mod dataset;
mod duration;
mod export;
mod health;
mod identity;
mod init;
mod ledger;
mod run;
mod sample;
mod serve;
mod snapshot;
mod store;
mod table;
mod time;
mod token;
mod watch;
mod worker;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::admin;
use client::ClientError;
use config::ConfigFile;

const CONFIG_HELP: &str = "File with values for flags; tabswarm.toml in the current folder, or what TABSWARM_CONFIG names, \
    if left out";
/// Exit codes beyond those of every program.
const USAGE: u8 = 2;
const NO_ANSWER: u8 = 3;
const WRONG_TOKEN: u8 = 4;
const REFUSED: u8 = 5;

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
    #[arg(long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
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
    /// List, download, pin and delete snapshots of a running server's runs.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// List, upload and delete data sets of a running server.
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// List and inspect those who were credited, seen or banned.
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    /// Tell whether all is well with a running server.
    Health(health::HealthArgs),
    /// Check or print where the values of flags come from.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a script that completes verbs and flags in a shell.
    #[command(
        after_help = "Examples:\n  tabswarm completion bash > /etc/bash_completion.d/tabswarm\n  \
            tabswarm completion fish > ~/.config/fish/completions/tabswarm.fish"
    )]
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Print the OpenAPI document of the admin listener.
    #[command(hide = true)]
    Openapi,
    /// Issue, list and revoke tokens for the admin listener of a running server.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// List, inspect, drain and ban workers of a running server.
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let file = ConfigFile::load(&args).and_then(|file| {
        let command = file.apply(Cli::command())?;
        Ok((file, command))
    });
    let (file, command) = match file {
        Ok(read) => read,
        Err(error) => {
            tell(&error);
            return ExitCode::from(USAGE);
        }
    };
    let parsed = command.clone().try_get_matches_from(args);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, &file),
    };
    let outcome = match cli.command {
        Command::Serve(args) => args.run(),
        Command::Run(command) => command.run(),
        Command::Digest(args) => args.run(),
        Command::Data(command) => command.run(),
        Command::Export(args) => args.run(),
        Command::Store(command) => command.run(),
        Command::Events(args) => args.run(),
        Command::Credits(args) => args.run(),
        Command::Snapshot(command) => command.run(),
        Command::Dataset(command) => command.run(),
        Command::Identity(command) => command.run(),
        Command::Health(args) => args.run(),
        Command::Config(verb) => verb.run(&file, &command),
        Command::Completion { shell } => complete(shell),
        Command::Openapi => print(admin::document_text()),
        Command::Token(command) => command.run(),
        Command::Worker(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            code_of(&error)
        }
    }
}

/// Prints what the parser has to say: help, or what is wrong with the command line.
fn explain(error: &clap::Error, file: &ConfigFile) -> ExitCode {
    // Where the output is closed there is nobody to tell.
    drop(error.print());
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if let Some(hint) = file
        .hint()
        .filter(|_| error.kind() == ErrorKind::ValueValidation)
    {
        drop(writeln!(io::stderr(), "{hint}"));
    }
    ExitCode::from(USAGE)
}

fn tell(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell.
    drop(writeln!(io::stderr(), "error: {error:#}"));
}

fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<config::Unfit>() {
        return ExitCode::from(USAGE);
    }
    match error.downcast_ref() {
        Some(ClientError::NoAnswer { .. }) => ExitCode::from(NO_ANSWER),
        Some(ClientError::Problem { status, .. }) => match status {
            401 | 403 => ExitCode::from(WRONG_TOKEN),
            400..500 => ExitCode::from(REFUSED),
            _ => ExitCode::FAILURE,
        },
        None => ExitCode::FAILURE,
    }
}

fn complete(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tabswarm", &mut script);
    print(&String::from_utf8(script)?)
}

/// Writes an answer to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// What is said under a page of a list.
fn more(next: Option<impl Display>) -> String {
    next.map_or(String::new(), |next| {
        format!("\n\nThere may be more: go on with --after {next}.")
    })
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

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

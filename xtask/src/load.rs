//! `load`: how many workers a server carries, over real sockets.
//!
//! The program that does it is an example of the tests crate; this command builds everything, starts it and
//! prints its figures as a table.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::binaries::{Binaries, Profile};
use crate::command;
use crate::setup;
use crate::web;
use crate::workspace::Workspace;

/// Numbers of workers of a curve.
const CURVE: &str = "1,2,4,8,16,32,64,128,256,512,1000";
/// What the numbers say and what they do not.
const NOTE: &str = "Workers wait as long as computing would take them and send one real gradient, computed once and shared by all:\n\
the server's work is real, the workers' is not. Workers and server share this machine.";

/// What to drive a server with.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Workers, each with a socket.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    workers: u64,
    /// Measure 1, 2, 4, … 1,000 workers instead.
    #[arg(long)]
    curve: bool,
    /// What is trained.
    #[arg(long, value_enum, default_value_t = Work::Mlp)]
    work: Work,
    /// How versions are made.
    #[arg(long, value_enum, default_value_t = Mode::Sync)]
    mode: Mode,
    /// The fastest worker is so many times as fast as the slowest.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    spread: f64,
    /// This share of the workers is killed every minute; as many join.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    churn: f64,
    /// This share of the workers are hidden tabs, a quarter as fast; who they are changes.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    hidden: f64,
    /// Idle sockets whose memory is measured at the end.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=20_000))]
    idle: u64,
    /// Seconds of a measurement, at least; it ends with a version.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Milliseconds that a worker of mean speed computes for a step of a sync run.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    step_ms: u64,
    /// Milliseconds that a lease is meant for; those of a step, where it is left out.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=600_000))]
    lease_ms: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Work {
    Mlp,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Sync,
    Async,
    Local,
}

/// Builds, measures and prints.
pub(crate) fn load(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::setup(workspace, false)?;
    web::build(workspace)?;
    let measured = drive(workspace, options, Profile::Release)?;
    if options.json {
        println!("{measured}");
    } else {
        println!("{}", table(&measured)?);
    }
    Ok(())
}

/// A small swarm and the debug binaries, for the tests, which have set everything up.
pub(crate) fn short(workspace: &Workspace) -> Result<()> {
    let options = Options {
        workers: 20,
        curve: false,
        work: Work::Mlp,
        mode: Mode::Sync,
        spread: 4.0,
        churn: 2.0,
        hidden: 0.0,
        idle: 50,
        seconds: 3,
        step_ms: 1_000,
        lease_ms: None,
        json: false,
    };
    let measured = drive(workspace, &options, Profile::Debug)?;
    println!("{}", table(&measured)?);
    let row = &measured["rows"][0];
    let figure = |key: &str| {
        row[key]
            .as_f64()
            .with_context(|| format!("no {key}: {row}"))
    };
    ensure!(figure("steps_per_s")? > 0.0, "no step was made: {row}");
    ensure!(
        figure("updates_per_s")? > 0.0,
        "nothing was acknowledged: {row}"
    );
    ensure!(figure("errors")? == 0.0, "workers failed: {row}");
    Ok(())
}

fn drive(workspace: &Workspace, options: &Options, profile: Profile) -> Result<Value> {
    let binaries = Binaries::build(workspace, profile)?;
    let workers = if options.curve {
        CURVE.to_owned()
    } else {
        options.workers.to_string()
    };
    let arguments = arguments(workspace, options, &binaries.server(), &workers);
    let text = command::capture(Command::new(binaries.example("load")).args(arguments))?;
    serde_json::from_str(&text).context("the load program printed no JSON")
}

fn arguments(
    workspace: &Workspace,
    options: &Options,
    server: &Path,
    workers: &str,
) -> Vec<String> {
    let word = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let path = |path: &Path| path.display().to_string();
    let pairs = [
        ("--server", path(server)),
        ("--datasets", path(&workspace.datasets())),
        ("--scratch", path(&workspace.scratch().join("load"))),
        ("--workers", workers.to_owned()),
        ("--work", word(options.work.to_possible_value())),
        ("--mode", word(options.mode.to_possible_value())),
        ("--spread", options.spread.to_string()),
        ("--churn", options.churn.to_string()),
        ("--hidden", options.hidden.to_string()),
        ("--idle", options.idle.to_string()),
        ("--seconds", options.seconds.to_string()),
        ("--step-ms", options.step_ms.to_string()),
        (
            "--lease-ms",
            options.lease_ms.unwrap_or(options.step_ms).to_string(),
        ),
    ];
    pairs
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

fn table(measured: &Value) -> Result<String> {
    let rows = measured["rows"].as_array().context("no rows")?;
    let mut out = format!(
        "Mode {}, spread {} ×, {} of the workers killed a minute, {} hidden. {NOTE}\n\n\
         | workers | steps/s | samples/s | of the speeds' sum | of what was computed | updates/s | ack p50 ms | p99 ms | server, cores | RSS, MiB | up MB/s | down MB/s | errors |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        measured["mode"].as_str().unwrap_or_default(),
        measured["spread"],
        measured["churn_per_minute"],
        measured["hidden"],
    );
    for row in rows {
        let figure = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        writeln!(
            out,
            "| {} | {:.2} | {:.1} | {:.1} % | {:.1} % | {:.1} | {:.1} | {:.1} | {:.2} | {:.0} | {:.1} | {:.1} | {} |",
            row["workers"],
            figure("steps_per_s"),
            figure("samples_per_s"),
            1e2 * figure("goodput_of_speeds"),
            1e2 * figure("goodput_of_computed"),
            figure("updates_per_s"),
            figure("ack_p50_ms"),
            figure("ack_p99_ms"),
            figure("server_cores"),
            figure("rss_bytes") / f64::from(1 << 20),
            figure("up_bytes_per_s") / 1e6,
            figure("down_bytes_per_s") / 1e6,
            row["errors"],
        )?;
    }
    let idle = &measured["idle"];
    if let Some(bytes) = idle["bytes_per_socket"].as_f64() {
        let kib = bytes / 1_024.0;
        write!(
            out,
            "\n{} idle sockets: {kib:.1} KiB of resident memory each",
            idle["sockets"]
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_has_every_figure() {
        let row = json!({
            "workers": 20, "steps_per_s": 0.5, "samples_per_s": 600.0, "goodput_of_speeds": 0.5,
            "goodput_of_computed": 0.99, "updates_per_s": 12.0, "ack_p50_ms": 9.0, "ack_p99_ms": 25.0,
            "server_cores": 0.1, "rss_bytes": 1 << 20, "up_bytes_per_s": 1e6, "down_bytes_per_s": 2e6, "errors": 0,
        });
        let measured = json!({
            "mode": "sync", "spread": 1.0, "churn_per_minute": 0.0, "hidden": 0.0,
            "rows": [row], "idle": { "sockets": 50, "bytes_per_socket": 8192.0 },
        });
        let text = table(&measured).unwrap();
        assert!(
            text.contains("| 20 | 0.50 | 600.0 | 50.0 % | 99.0 % |"),
            "{text}"
        );
        assert!(text.contains("50 idle sockets: 8.0 KiB"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}

//! `tabswarm-worker`: the headless worker's command line.

mod signals;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tabswarm_client_native::bench::{BenchArgs, bench};
use tabswarm_client_native::cli::{Cli, Command, WorkArgs};
use tabswarm_client_native::probe::{ProbeArgs, probe_machine};
use tabswarm_client_native::progress::{Bar, Log};
use tabswarm_client_native::telemetry::{self, LogFormat};
use tabswarm_client_native::{Outcome, Report, Stop, Summary, run_with};
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::signals::StopSignals;

fn main() -> ExitCode {
    let Cli { command, work } = Cli::parse();
    if let Some(command) = command {
        telemetry::init(LogFormat::Text, "warn");
        return exit_code(match command {
            Command::Bench(args) => measure(&args),
            Command::Probe(args) => probe(&args),
        });
    }
    let has_bar = work.log_format == LogFormat::Text && std::io::stderr().is_terminal();
    telemetry::init(work.log_format, if has_bar { "error" } else { "info" });
    let result = self::work(&work, has_bar).and_then(|summary| tell(&summary, work.log_format));
    exit_code(result)
}

fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|problem| {
        error!("{problem:#}");
        ExitCode::FAILURE
    })
}

/// Measures and prints what came of it.
fn measure(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let report = bench(args)?;
    let text = if args.json {
        report.to_json()
    } else {
        report.to_string()
    };
    writeln!(std::io::stdout(), "{}", text.trim_end())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Looks at this machine and prints what it has.
fn probe(args: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let report = probe_machine(args)?;
    write!(std::io::stdout(), "{report}").context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Works until there is a reason to stop.
fn work(args: &WorkArgs, has_bar: bool) -> anyhow::Result<Summary> {
    // One thread: it only moves bytes. Lanes have their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let report: Box<dyn Report> = if has_bar {
        Box::new(Bar::new())
    } else {
        Box::new(Log::default())
    };
    let summary = runtime.block_on(async {
        let signals = StopSignals::listen().context("cannot listen for Ctrl-C")?;
        let (stop, stops) = mpsc::channel(2);
        let relay = tokio::spawn(relay_signals(signals, stop));
        let summary = run_with(args.config(), stops, report).await;
        relay.abort();
        summary.map_err(anyhow::Error::from)
    });
    // A download under way must not hold up the end.
    runtime.shutdown_background();
    summary
}

/// The first signal asks the worker to finish, the second to leave at once.
async fn relay_signals(mut signals: StopSignals, stop: mpsc::Sender<Stop>) {
    for order in [Stop::Finish, Stop::Abort] {
        signals.next().await;
        if stop.send(order).await.is_err() {
            break;
        }
    }
}

/// Says how it ended and what was contributed; the latter is the last line.
fn tell(summary: &Summary, format: LogFormat) -> anyhow::Result<ExitCode> {
    let code = match &summary.outcome {
        Outcome::Finished => ExitCode::SUCCESS,
        Outcome::Aborted => {
            error!("left at once; the work in progress is lost");
            ExitCode::FAILURE
        }
        Outcome::Failed { code, message } => {
            error!(code = code.as_str(), "{message}");
            ExitCode::FAILURE
        }
    };
    match format {
        LogFormat::Text => {
            writeln!(std::io::stdout(), "{summary}").context("cannot write to standard output")?;
        }
        LogFormat::Json => info!(
            samples_accepted = summary.samples_accepted,
            updates_accepted = summary.updates_accepted,
            updates_rejected = summary.updates_rejected,
            samples_credited = summary.samples_credited,
            run = summary.run.as_ref().map(|run| run.name.as_str()),
            step = summary.run.as_ref().map(|run| run.version),
            steps_total = summary.run.as_ref().map(|run| run.steps_total),
            "{summary}"
        ),
    }
    Ok(code)
}

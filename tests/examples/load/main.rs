//! How many workers a server carries: the real binary, driven over real sockets with the real protocol.
//!
//! `cargo xtask load` builds this in release and prints what it says. All workers live in this process. They wait
//! as long as computing would take them and then send a real gradient that was computed once, so that the
//! machine's cores are left to the server and the sockets. Prints one JSON document.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output"
)]

mod gradient;
mod server;
mod swarm;
mod tally;
mod work;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use work::Mode;

const USAGE: &str = "usage: load --server BIN --datasets DIR --scratch DIR [--workers N[,N…]] [--idle N] [--work mlp]\n\
                     [--mode sync|async|local] [--spread X] [--churn SHARE] [--hidden SHARE] [--seconds S] [--step-ms MS] [--lease-ms MS]";
/// Descriptors besides those of the sockets.
const OTHER_FILES: u64 = 256;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    server: PathBuf,
    datasets: PathBuf,
    scratch: PathBuf,
    workers: Vec<usize>,
    idle: usize,
    mode: Mode,
    spread: f64,
    /// Share of the workers that is killed a minute.
    churn: f64,
    /// Share of the workers that are hidden tabs at any time.
    hidden: f64,
    window: Duration,
    step: Duration,
    lease: Duration,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)
        };
        let number = |name: &str, default: f64| match value(name) {
            Some(text) => text.parse().ok(),
            None => Some(default),
        };
        let whole = |name: &str, default: u64| match value(name) {
            Some(text) => text.parse().ok(),
            None => Some(default),
        };
        if value("--work").is_some_and(|work| work != "mlp") {
            return None;
        }
        let step_ms = whole("--step-ms", 10_000)?.max(10);
        let workers = value("--workers").map_or("1000", String::as_str);
        let workers: Option<Vec<usize>> = workers.split(',').map(|n| n.parse().ok()).collect();
        Some(Self {
            server: value("--server")?.into(),
            datasets: value("--datasets")?.into(),
            scratch: value("--scratch")?.into(),
            workers: workers?.into_iter().filter(|n| *n > 0).collect(),
            idle: usize::try_from(whole("--idle", 0)?).ok()?,
            mode: Mode::from_word(value("--mode").map_or("sync", String::as_str))?,
            spread: number("--spread", 1.0)?.clamp(1.0, 1_000.0),
            churn: number("--churn", 0.0)?.clamp(0.0, 60.0),
            hidden: number("--hidden", 0.0)?.clamp(0.0, 1.0),
            window: Duration::from_secs(whole("--seconds", 30)?),
            step: Duration::from_millis(step_ms),
            lease: Duration::from_millis(whole("--lease-ms", step_ms)?),
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let measured = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(measure_all(&options)));
    match measured {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_all(options: &Options) -> Result<Value> {
    let most = options.workers.iter().copied().max().unwrap_or_default();
    // The killed come again before the server has noticed that they are gone.
    raise_file_limit(most.max(options.idle) as u64 * 2)?;
    let mut rows = Vec::new();
    for &workers in &options.workers {
        let row = swarm::measure(options, workers).await?;
        eprintln!("{row}");
        rows.push(row);
    }
    let idle = match options.idle {
        0 => Value::Null,
        sockets => swarm::idle(options, sockets).await?,
    };
    Ok(json!({
        "mode": options.mode.word(),
        "spread": options.spread,
        "churn_per_minute": options.churn,
        "hidden": options.hidden,
        "seconds": options.window.as_secs(),
        "step_ms": u64::try_from(options.step.as_millis())?,
        "lease_ms": u64::try_from(options.lease.as_millis())?,
        "rows": rows,
        "idle": idle,
    }))
}

/// Lets this process and its server open so many sockets.
fn raise_file_limit(sockets: u64) -> Result<()> {
    let wanted = sockets + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        most >= wanted,
        "{sockets} sockets need {wanted} file descriptors and the system allows {most}: raise it with `ulimit -Hn {wanted}` \
         as root, or take fewer workers"
    );
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of file descriptors can't be raised")
}

//! How fast steps are committed, how long acknowledgements take, and what the log costs.
//!
//! `cargo xtask bench commit` builds this in release and prints what it says. A real server in this process
//! trains the perceptron on MNIST at 128 samples a step, on the file system of `--scratch`. Each cell is measured
//! once a round, one after the other: with and without updates in the log, and with a log that is written
//! nowhere. Prints one JSON document.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output"
)]

mod disk;
mod sender;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tabswarm_client_native::{ServerAddress, WorkerConfig};
use tabswarm_server::{Config, Handle};
use tabswarm_store::RealDisk;
use tabswarm_tests::MNIST_PERCEPTRON;
use tokio::task::spawn_blocking;

use disk::LogNowhere;
use sender::Sender;

const USAGE: &str = "usage: bench_commit --datasets DIR --scratch DIR [--rounds N] [--seconds S] [--work precomputed|paced|computed]";
/// Before a measurement begins: connections, first leases, exponents.
const WARM_UP: Duration = Duration::from_secs(2);
/// Native workers.
const WORKERS: usize = 2;
/// Clients with updates made before: as many as a step has micro-batches, because the server reads at most 500
/// messages a second of one.
const SENDERS: u64 = 4;
/// A client that keeps the pace of a worker answers after so long: what a lane needs for a micro-batch and its
/// turn on a busy machine.
const PACE: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Options {
    datasets: PathBuf,
    scratch: PathBuf,
    rounds: usize,
    works: Vec<Work>,
    window: Duration,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)
        };
        let number = |name: &str, default: u64| match value(name) {
            Some(text) => text.parse().ok(),
            None => Some(default),
        };
        Some(Self {
            datasets: value("--datasets")?.into(),
            scratch: value("--scratch")?.into(),
            rounds: usize::try_from(number("--rounds", 4)?).ok()?,
            works: match value("--work") {
                Some(word) => vec![Work::from_word(word)?],
                None => vec![Work::Precomputed, Work::Paced, Work::Computed],
            },
            window: Duration::from_secs(number("--seconds", 5)?),
        })
    }
}

/// What the log holds and where it goes.
#[derive(Debug, Clone, Copy)]
struct Cell {
    log: &'static str,
    is_written: bool,
}

const CELLS: [Cell; 4] = [
    Cell {
        log: "updates",
        is_written: true,
    },
    Cell {
        log: "updates",
        is_written: false,
    },
    Cell {
        log: "decisions",
        is_written: true,
    },
    Cell {
        log: "decisions",
        is_written: false,
    },
];

/// Who works.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Clients that answer every lease at once with an update that they made before.
    Precomputed,
    /// The same, each of them after a while.
    Paced,
    /// Native workers, one lane each.
    Computed,
}

impl Work {
    fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Precomputed, Self::Paced, Self::Computed];
        all.into_iter()
            .find(|work| format!("{work:?}").eq_ignore_ascii_case(word))
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
    let (real, nowhere) = (
        options.scratch.join("real"),
        options.scratch.join("nowhere"),
    );
    for folder in [&real, &nowhere] {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
    }
    let config = |folder: &Path| Config::local(folder.to_owned(), options.datasets.clone());
    let server = Site::start(config(&real)).await?;
    let unlogged = Site::start(Config {
        disk: Arc::new(LogNowhere(RealDisk)),
        ..config(&nowhere)
    })
    .await?;
    let mut rows = Vec::new();
    for round in 0..options.rounds {
        for &work in &options.works {
            for idx in 0..CELLS.len() {
                // Each cell comes first, last and between in turn.
                let cell = CELLS[(idx + round) % CELLS.len()];
                let site = if cell.is_written { &server } else { &unlogged };
                let run = format!("w1-{round}-{idx}-{work:?}").to_lowercase();
                let mut row = site.measure(&run, cell, work, options.window).await?;
                row["round"] = json!(round);
                eprintln!("{row}");
                rows.push(row);
            }
        }
    }
    server.handle.shutdown().await?;
    unlogged.handle.shutdown().await?;
    Ok(
        json!({ "workers": WORKERS, "senders": SENDERS, "pace_ms": PACE.as_millis(), "seconds": options.window.as_secs(), "rows": rows }),
    )
}

struct Site {
    handle: Handle,
    data_dir: PathBuf,
}

impl Site {
    async fn start(config: Config) -> Result<Self> {
        let data_dir = config.data_dir.clone();
        let handle = tabswarm_server::serve(config).await?;
        Ok(Self { handle, data_dir })
    }

    async fn measure(&self, run: &str, cell: Cell, work: Work, window: Duration) -> Result<Value> {
        self.admin("POST", "/admin/runs?start=true", run_file(run, cell.log))
            .await?;
        let before = self.log_counters().await?;
        let mut row = match work {
            Work::Precomputed => self.precomputed(run, window, Duration::ZERO).await?,
            Work::Paced => self.precomputed(run, window, PACE).await?,
            Work::Computed => self.computed(run, window).await?,
        };
        let after = self.log_counters().await?;
        let steps = row["version"].as_f64().unwrap_or_default().max(1.0);
        row["log_thread_ms_per_step"] = json!((after.0 - before.0) * 1e3 / steps);
        row["steps_per_sync"] = json!(steps / (after.1 - before.1).max(1.0));
        row["log_bytes_per_step"] = json!(self.log_bytes(run, &row)?);
        row["log"] = json!(cell.log);
        row["written"] = json!(cell.is_written);
        row["work"] = json!(format!("{work:?}").to_lowercase());
        self.admin("POST", &format!("/admin/runs/{run}/stop"), String::new())
            .await?;
        Ok(row)
    }

    async fn precomputed(&self, run: &str, window: Duration, pace: Duration) -> Result<Value> {
        let address = self.handle.public_addr;
        let begin = Instant::now() + WARM_UP;
        let senders = (0..SENDERS).map(|seed| {
            let run = run.to_owned();
            tokio::spawn(async move {
                let mut sender = Sender::join(address, &run, (seed, pace)).await?;
                sender.work(begin, begin + window).await
            })
        });
        let senders: Vec<_> = senders.collect();
        tokio::time::sleep_until(begin.into()).await;
        let first = self.version(run).await?;
        tokio::time::sleep_until((begin + window).into()).await;
        let last = self.version(run).await?;
        let mut latencies: Vec<Duration> = Vec::new();
        for sender in senders {
            latencies.extend(sender.await??);
        }
        ensure!(!latencies.is_empty(), "nothing was acknowledged");
        latencies.sort_unstable();
        let at = |percent: usize| {
            let idx = (latencies.len() - 1) * percent / 100;
            latencies[idx].as_secs_f64() * 1e3
        };
        Ok(json!({
            "steps_per_s": (last - first) as f64 / window.as_secs_f64(),
            "version": last,
            "receipts": latencies.len(),
            "p50_ms": at(50),
            "p90_ms": at(90),
            "p99_ms": at(99),
            "max_ms": at(100),
        }))
    }

    async fn computed(&self, run: &str, window: Duration) -> Result<Value> {
        let server: ServerAddress = format!("http://{}", self.handle.public_addr).parse()?;
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let config = WorkerConfig {
                    lanes: 1,
                    run: Some(run.to_owned()),
                    ..WorkerConfig::new(server.clone())
                };
                tokio::spawn(tabswarm_client_native::run(config, std::future::pending()))
            })
            .collect();
        // Data has to be fetched first.
        let patience = Instant::now() + Duration::from_mins(1);
        while self.version(run).await? < 50 {
            ensure!(Instant::now() < patience, "the workers do not get going");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (begin, first) = (Instant::now(), self.version(run).await?);
        tokio::time::sleep(window).await;
        let (last, elapsed) = (self.version(run).await?, begin.elapsed());
        workers.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(json!({
            "steps_per_s": (last - first) as f64 / elapsed.as_secs_f64(),
            "version": last,
        }))
    }

    /// Bytes of the log for each step, in the segment that has most of them.
    fn log_bytes(&self, run: &str, row: &Value) -> Result<u64> {
        let last = row["version"].as_u64().unwrap_or_default();
        let mut segments = Vec::new();
        for entry in fs::read_dir(self.data_dir.join("runs").join(run).join("log"))? {
            let entry = entry?;
            let name = entry.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(".log"));
            let first = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            segments.extend(first.zip(entry.metadata().ok().map(|file| file.len())));
        }
        segments.sort_unstable();
        let ends = segments.iter().skip(1).map(|(first, _)| *first);
        let steps = ends.chain([last + 1]).zip(&segments);
        let per_step = steps.map(|(end, &(first, bytes))| {
            let steps = end.saturating_sub(first).max(1);
            (steps, bytes / steps)
        });
        Ok(per_step.max().map_or(0, |(_, bytes)| bytes))
    }

    /// Seconds that the log's thread was busy, and its syncs, since the server started.
    async fn log_counters(&self) -> Result<(f64, f64)> {
        let text = self.ask("GET", "/metrics", String::new()).await?;
        let counter = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|value| value.trim().parse().ok());
            number.with_context(|| format!("the metrics have no {name}"))
        };
        Ok((
            counter("tabswarm_log_seconds_total ")?,
            counter("tabswarm_log_syncs_total ")?,
        ))
    }

    async fn version(&self, run: &str) -> Result<u64> {
        let status = self
            .admin("GET", &format!("/admin/runs/{run}"), String::new())
            .await?;
        let version = status["version"].as_u64();
        version.with_context(|| format!("a status without version: {status}"))
    }

    async fn admin(&self, method: &'static str, path: &str, body: String) -> Result<Value> {
        let text = self.ask(method, path, body).await?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    async fn ask(&self, method: &'static str, path: &str, body: String) -> Result<String> {
        let url = format!("http://{}{path}", self.handle.admin_addr);
        let bearer = format!("Bearer {}", self.handle.admin_token.reveal());
        let text = spawn_blocking(move || -> Result<String> {
            let mut answer = match method {
                "POST" => ureq::post(&url)
                    .header("authorization", &bearer)
                    .send(&body)?,
                _ => ureq::get(&url).header("authorization", &bearer).call()?,
            };
            Ok(answer.body_mut().read_to_string()?)
        });
        text.await?
    }
}

/// The shipped perceptron, for longer than anybody measures; snapshots as it has them.
fn run_file(name: &str, log: &str) -> String {
    format!(
        r#"
name = "{name}"
seed = 1
{MNIST_PERCEPTRON}
[train]
epochs = 1000
micro_batch = 32
global_batch = 128
[optimizer]
kind = "adam"
learning_rate = 0.001
[evaluation]
every_steps = 10000
[snapshot]
every_steps = 469
[durability]
log = "{log}"
"#
    )
}

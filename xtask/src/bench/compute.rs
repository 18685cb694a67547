//! `bench compute`: forward and backward passes per second of one lane, ours and others', in turn.

use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::host::Host;
use super::machine::Machine;
use super::peers::{self, Peer};
use super::report::{Report, Row};
use super::work::{Task, Work};
use crate::command;
use crate::setup::wasm_target;
use crate::workspace::Workspace;

/// How and what to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The models.
    #[arg(long, value_name = "WORKS", value_enum, value_delimiter = ',', default_values = ["mlp", "cnn", "gpt"])]
    work: Vec<Work>,
    /// Whom to compare with in the browser (Burn natively too).
    #[arg(long, value_name = "PEERS", value_enum, value_delimiter = ',', default_values = ["all"])]
    peers: Vec<Peer>,
    #[command(flatten)]
    extras: Extras,
    /// Measure natively only.
    #[arg(long)]
    no_browser: bool,
    /// Measure in the browser only.
    #[arg(long, conflicts_with_all = ["no_browser", "pytorch"])]
    no_native: bool,
    /// Rounds; every contender is measured once in each.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Milliseconds of one measurement.
    #[arg(long, value_name = "MS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=60_000))]
    millis: u32,
    #[command(flatten)]
    format: Format,
}

/// What is only measured where it is asked for.
#[derive(Debug, Args)]
struct Extras {
    /// Compare with PyTorch too, which must be installed.
    #[arg(long)]
    pytorch: bool,
    /// Measure WebGPU too, on a GPU made of software.
    #[arg(long, conflicts_with = "no_browser")]
    gpu: bool,
}

/// How figures are printed; a table for a terminal where nothing is asked for.
#[derive(Debug, Args)]
struct Format {
    /// Print JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print what docs/benchmarks.md has.
    #[arg(long)]
    markdown: bool,
}

impl Options {
    fn has(&self, peer: Peer) -> bool {
        self.peers.contains(&peer) || self.peers.contains(&Peer::All)
    }
}

/// Builds, measures and prints.
pub(crate) fn compute(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(
        options.peers.len() == 1 || !options.peers.contains(&Peer::None),
        "--peers none goes with no other"
    );
    let mut stage = Stage::set(workspace, options)?;
    let mut machine = Machine::look()?;
    let mut report = Report::new(stage.versions());
    for &work in &options.work {
        let task = work.task(workspace)?;
        let rows = stage.measure(&task, options);
        report.add(&task, rows)?;
    }
    machine.look_again();
    let text = if options.format.json {
        report.json(&machine).to_string()
    } else if options.format.markdown {
        report.markdown(&machine)
    } else {
        report.text(&machine)
    };
    println!("{}", text.trim_end());
    Ok(())
}

/// Who is measured, and by whom.
struct Stage {
    worker: Command,
    browser: Option<Host>,
    pytorch: Option<Host>,
    burn: Option<Host>,
    contenders: Vec<Contender>,
}

/// Where and how a figure is measured.
#[derive(Debug, Clone, Copy)]
struct Contender {
    name: &'static str,
    /// Ours, natively or in the browser: it has an arithmetic class and a peak.
    class: Option<&'static str>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Worker,
    /// An engine in the browser.
    Browser(&'static str),
    PyTorch,
    BurnNative,
}

/// One measurement.
struct Reading {
    samples_per_s: f64,
    peak_gflops: Option<f64>,
    parameters: Option<u64>,
}

impl Stage {
    fn set(workspace: &Workspace, options: &Options) -> Result<Self> {
        let mut contenders = Vec::new();
        let mut add = |name, class, place| contenders.push(Contender { name, class, place });
        if !options.no_native {
            command::run(workspace.cargo().args([
                "build",
                "--release",
                "--package",
                "tabswarm-client-native",
            ]))?;
            add("native, portable", Some("portable"), Place::Worker);
            add("native, fused", Some("fused"), Place::Worker);
        }
        let worker = Command::new(workspace.target().join("release/tabswarm-worker"));
        let burn = if options.has(Peer::Burn) && !options.no_native {
            add("Burn, native", None, Place::BurnNative);
            Some(peers::start_burn_native(workspace).context("Burn")?)
        } else {
            None
        };
        let pytorch = if options.extras.pytorch {
            add("PyTorch", None, Place::PyTorch);
            Some(peers::start_pytorch(workspace).context("PyTorch")?)
        } else {
            None
        };
        let browser = if options.no_browser {
            None
        } else {
            wasm_target::install(workspace)?;
            let portable = Some("portable");
            add(
                "wasm simd128, portable",
                portable,
                Place::Browser("simd128"),
            );
            add(
                "wasm relaxed, portable",
                portable,
                Place::Browser("relaxed"),
            );
            add(
                "wasm relaxed, fused",
                Some("fused"),
                Place::Browser("relaxed"),
            );
            if options.has(Peer::Burn) {
                add("Burn, wasm", None, Place::Browser("burn"));
                peers::build_burn_wasm(workspace).context("Burn in the browser")?;
            }
            let has_tfjs = options.has(Peer::Tfjs);
            if has_tfjs {
                add("TensorFlow.js, wasm", None, Place::Browser("tfjs"));
            }
            if options.extras.gpu {
                add("WebGPU", None, Place::Browser("gpu"));
                if has_tfjs {
                    let name = "TensorFlow.js, WebGPU";
                    add(name, None, Place::Browser("tfjs-webgpu"));
                }
            }
            Some(peers::start_browser(workspace, has_tfjs)?)
        };
        Ok(Self {
            worker,
            browser,
            pytorch,
            burn,
            contenders,
        })
    }

    fn versions(&self) -> Vec<String> {
        let hosts = [&self.browser, &self.burn, &self.pytorch];
        let mut versions: Vec<String> = hosts
            .into_iter()
            .flatten()
            .map(|host| host.version().to_owned())
            .collect();
        let has = |engine| {
            let mut places = self.contenders.iter().map(|one| one.place);
            places.any(|place| place == Place::Browser(engine))
        };
        if has("burn") && self.burn.is_none() {
            versions.push(peers::BURN_VERSION.to_owned());
        }
        if has("tfjs") {
            versions.push(peers::TFJS_VERSION.to_owned());
        }
        versions
    }

    /// All contenders on one task, round by round. Who fails once is not asked again.
    fn measure(&mut self, task: &Task, options: &Options) -> Vec<Row> {
        let contenders = self.contenders.clone();
        let mut rows: Vec<Row> = contenders
            .iter()
            .map(|contender| {
                let is_native = !matches!(contender.place, Place::Browser(_));
                Row::new(contender.name, contender.class, is_native)
            })
            .collect();
        // The first round is for caches and compilers that wait and see.
        for round in 0..=options.rounds {
            eprintln!("{}: round {round} of {}", task.work.word(), options.rounds);
            for (contender, row) in contenders.iter().zip(&mut rows) {
                if row.error.is_some() {
                    continue;
                }
                let millis = if round == 0 {
                    options.millis / 4
                } else {
                    options.millis
                };
                match self.read(contender, task, millis) {
                    Ok(reading) if round > 0 => {
                        row.samples_per_s.push(reading.samples_per_s);
                        row.peak_gflops.extend(reading.peak_gflops);
                        row.parameters = reading.parameters;
                    }
                    Ok(_) => {}
                    Err(error) => row.error = Some(format!("{error:#}")),
                }
            }
        }
        rows
    }

    fn read(&mut self, contender: &Contender, task: &Task, millis: u32) -> Result<Reading> {
        if contender.place == Place::Worker {
            return self.read_worker(contender, task, millis);
        }
        let (host, engine) = match contender.place {
            Place::Browser(engine) => (&mut self.browser, engine),
            Place::PyTorch => (&mut self.pytorch, ""),
            Place::BurnNative | Place::Worker => (&mut self.burn, ""),
        };
        let host = host.as_mut().context("it was not started")?;
        let request = |peak: bool| {
            json!({
                "engine": engine,
                "run": task.run,
                "arithmetic_class": contender.class,
                "micro_batch": task.micro_batch,
                "millis": if peak { millis / 8 } else { millis },
                "peak": peak,
            })
        };
        let answer = host.ask(&request(false))?;
        let peak_gflops = match contender.class {
            Some(_) => host.ask(&request(true))?["flops_per_s"].as_f64(),
            None => None,
        };
        Ok(Reading {
            samples_per_s: rate(&answer)?,
            peak_gflops: peak_gflops.map(|flops| flops * 1e-9),
            parameters: answer["parameters"].as_u64(),
        })
    }

    fn read_worker(&self, contender: &Contender, task: &Task, millis: u32) -> Result<Reading> {
        let seconds = f64::from(millis) / 1_000.0;
        // A process for each round: placement in memory and on cores is part of what varies.
        let mut worker = Command::new(self.worker.get_program());
        worker
            .args(["bench", "--json", "--lanes", "1"])
            .args(["--work", task.work.word()])
            .args(["--class", contender.class.unwrap_or("portable")])
            .args(["--micro-batch", &task.micro_batch.to_string()])
            .args(["--seconds", &(seconds * 2.0).to_string()]);
        let output = worker.output().context("cannot start the worker")?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            let message = message.trim().rsplit("ERROR ").next().unwrap_or_default();
            return Err(anyhow!("{message}"));
        }
        let answer: Value = serde_json::from_slice(&output.stdout).context("not JSON")?;
        let figure = &answer["figures"][0];
        Ok(Reading {
            samples_per_s: rate(figure)?,
            peak_gflops: figure["peak_gflops"].as_f64(),
            parameters: answer["parameters"].as_u64(),
        })
    }
}

fn rate(answer: &Value) -> Result<f64> {
    if let Some(error) = answer["error"].as_str() {
        return Err(anyhow!("{error}"));
    }
    answer["samples_per_s"]
        .as_f64()
        .context("no figure came back")
}

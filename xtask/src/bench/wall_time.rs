//! `bench wall-time`: how long it takes until a model is as accurate as asked for.
//!
//! A server and its workers share this machine, as PyTorch's threads do. All measure in turn, round after round.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::machine::Machine;
use super::median;
use crate::command;
use crate::setup;
use crate::swarm::{self, RunFile, Swarm};
use crate::web;
use crate::workspace::Workspace;

/// How often the server is asked: a hundredth of what is measured.
const POLL: Duration = Duration::from_millis(20);
/// Workers connect and fetch their data before the clock starts.
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// No recipe that is measured here takes so long.
const TRAINING_LIMIT: Duration = Duration::from_mins(15);
/// The last evaluation ends a moment after the last step.
const LAST_EVALUATION: Duration = Duration::from_secs(30);

/// What and how to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run files to train; the first one's recipe is PyTorch's too.
    #[arg(long, value_name = "FILE", num_args = 1.., default_values = ["runs/mnist-mlp.toml", "runs/mnist-mlp-local.toml"])]
    runs: Vec<PathBuf>,
    /// Test accuracy to reach, as a fraction.
    #[arg(long, value_name = "A", default_value_t = 0.975)]
    accuracy: f64,
    /// Native workers of one lane each.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Rounds; everything is trained once in each.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Port of the server; its administration listens on the next one.
    #[arg(long, value_name = "P", default_value_t = 8070, value_parser = clap::value_parser!(u16).range(1..=65534))]
    port: u16,
    /// Compare with PyTorch too, which must be installed for `python3`.
    #[arg(long)]
    pytorch: bool,
    /// Print JSON, with every round's figures.
    #[arg(long)]
    json: bool,
}

/// One training from its start to its end.
#[derive(Debug, Clone, PartialEq)]
struct Training {
    /// Until the first evaluated version that was accurate enough; none was.
    reached_s: Option<f64>,
    /// That version.
    reached_step: Option<u64>,
    /// Until the last step.
    total_s: f64,
    /// At the end.
    accuracy: f64,
}

/// Who trained, and how it went in each round.
type Row = (String, Vec<Training>);

/// Builds, measures and prints.
pub(crate) fn wall_time(workspace: &Workspace, options: &Options) -> Result<()> {
    swarm::require_free_ports(options.port)?;
    setup::setup(workspace, false)?;
    web::build(workspace)?;
    swarm::build(workspace)?;
    let mut machine = Machine::look()?;
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name: String, training: Training| match rows
        .iter_mut()
        .find(|(known, _)| *known == name)
    {
        Some((_, trainings)) => trainings.push(training),
        None => rows.push((name, vec![training])),
    };
    for round in 1..=options.rounds {
        if options.pytorch {
            let (name, training) = by_pytorch(workspace, options, round)?;
            add(name, training);
        }
        for run in &options.runs {
            let training = by_swarm(workspace, options, &workspace.root().join(run))?;
            add(run.display().to_string(), training);
        }
    }
    machine.look_again();
    if options.json {
        println!("{}", as_json(&rows, &machine));
    } else {
        println!("{}", table(&rows, options)?);
        println!("{}", machine.sentence());
    }
    Ok(())
}

/// Trains a run file with a fresh server. The clock runs from the order to start to the version that was good enough.
fn by_swarm(workspace: &Workspace, options: &Options, path: &Path) -> Result<Training> {
    let run_file = RunFile::read(path)?;
    let data_dir = workspace.scratch().join("bench-wall-time");
    if data_dir.exists() {
        fs::remove_dir_all(&data_dir)
            .with_context(|| format!("cannot empty {}", data_dir.display()))?;
    }
    let uninterrupted = AtomicBool::new(false);
    let mut swarm = Swarm::start(workspace, &data_dir, options.port, &uninterrupted)?;
    swarm.create_run(&run_file)?;
    for number in 1..=options.workers {
        swarm.add_worker(number, &run_file.name)?;
    }
    let started = Instant::now();
    while swarm.progress(&run_file.name)?.workers < u64::from(options.workers) {
        swarm.check(false)?;
        ensure!(
            started.elapsed() < JOIN_LIMIT,
            "the workers did not join the run within {} s; see {}",
            JOIN_LIMIT.as_secs(),
            data_dir.display()
        );
        thread::sleep(POLL);
    }
    let training = watch(&mut swarm, &run_file.name, options.accuracy);
    swarm.stop();
    training
}

/// Starts the run and looks on until its last version is evaluated.
fn watch(swarm: &mut Swarm, run: &str, wanted: f64) -> Result<Training> {
    let started = Instant::now();
    swarm.order(run, "start")?;
    let mut seen = vec![(0, 0.0)];
    let mut reached = None;
    let mut finished_s: Option<f64> = None;
    loop {
        let progress = swarm.progress(run)?;
        let now_s = started.elapsed().as_secs_f64();
        if seen
            .last()
            .is_some_and(|(version, _)| *version < progress.version)
        {
            seen.push((progress.version, now_s));
        }
        if let (None, Some(version), Some(accuracy)) =
            (reached, progress.evaluated_version, progress.accuracy)
            && accuracy >= wanted
        {
            reached = Some(version);
        }
        if progress.is_finished() {
            let finished_s = *finished_s.get_or_insert(now_s);
            if progress.is_evaluated() {
                return Ok(Training {
                    reached_s: reached.map(|version| made_at(&seen, version)),
                    reached_step: reached,
                    total_s: finished_s,
                    accuracy: progress.accuracy.unwrap_or_default(),
                });
            }
            ensure!(
                now_s - finished_s < LAST_EVALUATION.as_secs_f64(),
                "the last version of {run} was not evaluated"
            );
        }
        ensure!(
            started.elapsed() < TRAINING_LIMIT,
            "{run} was not trained within {} s",
            TRAINING_LIMIT.as_secs()
        );
        swarm.check(progress.is_finished())?;
        thread::sleep(POLL);
    }
}

/// When a version was made, in s, between the moments at which versions were seen.
fn made_at(seen: &[(u64, f64)], version: u64) -> f64 {
    let after = seen.partition_point(|(seen, _)| *seen < version);
    let Some(&(late, late_s)) = seen.get(after) else {
        return seen.last().map_or(0.0, |(_, at_s)| *at_s);
    };
    let Some(&(early, early_s)) = after.checked_sub(1).and_then(|before| seen.get(before)) else {
        return late_s;
    };
    let share = (version - early) as f64 / (late - early) as f64;
    early_s + share * (late_s - early_s)
}

/// The first run's recipe in PyTorch, with as many threads as it takes by itself.
fn by_pytorch(workspace: &Workspace, options: &Options, seed: u64) -> Result<(String, Training)> {
    let run = options.runs.first().context("no run file")?;
    let text = command::capture(
        Command::new("python3")
            .args(["-W", "ignore"])
            .arg(workspace.root().join("bench/pytorch/train_images.py"))
            .arg(workspace.root().join(run))
            .arg(workspace.datasets().join("mnist"))
            .args(["--accuracy", &options.accuracy.to_string()])
            .args(["--seed", &seed.to_string()]),
    )
    .context("PyTorch: is it installed? `python3 -m pip install torch numpy`")?;
    let answer: Value = serde_json::from_str(&text).context("train_images.py printed no JSON")?;
    let figure = |key: &str| {
        answer[key]
            .as_f64()
            .with_context(|| format!("train_images.py printed no {key}"))
    };
    let version = answer["version"].as_str().unwrap_or("PyTorch");
    let training = Training {
        reached_s: answer["seconds"].as_f64(),
        reached_step: answer["steps"].as_u64(),
        total_s: figure("total_seconds")?,
        accuracy: figure("accuracy")?,
    };
    Ok((
        format!("{version}, {} thread(s)", answer["threads"]),
        training,
    ))
}

fn table(rows: &[Row], options: &Options) -> Result<String> {
    let percent = options.accuracy * 100.0;
    let mut out = format!(
        "Medians of {} rounds, with all of them; a server with {} workers of one lane each.\n\n\
         | trained by | s to {percent} % | at step | s in all | accuracy |\n|---|--:|--:|--:|--:|\n",
        options.rounds, options.workers
    );
    let first = rows
        .first()
        .and_then(|(_, trainings)| median(reached(trainings)));
    for (name, trainings) in rows {
        let reached_s = median(reached(trainings));
        let ratio = match (reached_s, first) {
            (Some(own), Some(first)) => format!(" ({:.2} ×)", own / first),
            _ => String::new(),
        };
        let rounds: Vec<String> = trainings.iter().map(|one| shown(one.reached_s)).collect();
        let steps = trainings.iter().filter_map(|one| one.reached_step);
        let steps = median(steps.map(|step| step as f64).collect());
        let accuracies = trainings.iter().map(|one| one.accuracy * 100.0).collect();
        writeln!(
            out,
            "| {name} | {}{ratio}: {} | {} | {} | {:.2} % |",
            shown(reached_s),
            rounds.join(", "),
            steps.map_or_else(|| "–".to_owned(), |step| format!("{step:.0}")),
            shown(median(trainings.iter().map(|one| one.total_s).collect())),
            median(accuracies).unwrap_or_default(),
        )?;
    }
    Ok(out)
}

fn reached(trainings: &[Training]) -> Vec<f64> {
    trainings.iter().filter_map(|one| one.reached_s).collect()
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.2}"))
}

fn as_json(rows: &[Row], machine: &Machine) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .flat_map(|(name, trainings)| {
            trainings.iter().map(move |one| {
                json!({
                    "trained_by": name,
                    "reached_s": one.reached_s,
                    "reached_step": one.reached_step,
                    "total_s": one.total_s,
                    "accuracy": one.accuracy,
                })
            })
        })
        .collect();
    json!({ "machine": machine.sentence(), "trainings": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_was_made_between_two_looks() {
        let seen = [(0, 0.0), (10, 1.0), (30, 2.0)];
        for (version, at_s) in [(10, 1.0), (20, 1.5), (30, 2.0), (40, 2.0)] {
            assert!((made_at(&seen, version) - at_s).abs() < 1e-12, "{version}");
        }
    }
}

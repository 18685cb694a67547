//! `bench commit`: how fast steps are committed, how long acknowledgements take, and what the log costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::machine::Machine;
use super::median;
use crate::command;
use crate::workspace::Workspace;

/// How to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds; every cell is measured once in each, each time in another order.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: u64,
    /// Seconds of one measurement.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print JSON, with every round's figures.
    #[arg(long)]
    json: bool,
}

/// Builds, measures and prints.
pub(crate) fn commit(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut machine = Machine::look()?;
    let text = command::capture(
        workspace
            .cargo()
            .args(["run", "--quiet", "--release", "--package", "tabswarm-tests"])
            .args(["--example", "bench_commit", "--", "--datasets"])
            .arg(workspace.datasets())
            .arg("--scratch")
            .arg(workspace.scratch().join("bench-commit"))
            .args(["--rounds", &options.rounds.to_string()])
            .args(["--seconds", &options.seconds.to_string()]),
    )?;
    let measured: Value = serde_json::from_str(&text).context("the benchmark printed no JSON")?;
    machine.look_again();
    if options.json {
        println!(
            "{}",
            json!({ "machine": machine.sentence(), "commit": measured })
        );
    } else {
        println!("{}", table(&measured)?);
        println!("{}", machine.sentence());
    }
    Ok(())
}

/// What is in the log, where it goes, and who works.
type Cell = (String, String, bool);

fn table(measured: &Value) -> Result<String> {
    let rows = measured["rows"].as_array().context("no rows")?;
    let mut cells: BTreeMap<Cell, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let cell = (text("work"), text("log"), row["written"] == true);
        cells.entry(cell).or_default().push(row);
    }
    let mut out = String::from(
        "Medians of all rounds. Precomputed: four clients answer every lease at once with an update made before;\n\
         paced: the same after 5 ms; computed: two native workers, one lane each. Latency: from an update's sending\n\
         to its receipt.\n\n\
         | updates | log | steps/s | p50 ms | p90 ms | p99 ms | log bytes/step | steps/sync | log thread, ms/step |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    // What is written first, and the most of it.
    for ((work, log, written), rows) in cells.iter().rev() {
        let values = |key: &str| rows.iter().filter_map(|row| row[key].as_f64()).collect();
        let figure = |key: &str| {
            median(values(key)).map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
        };
        let place = if *written { "" } else { ", written nowhere" };
        let bytes = median(values("log_bytes_per_step"));
        writeln!(
            out,
            "| {work} | {log}{place} | {} | {} | {} | {} | {:.0} | {} | {} |",
            figure("steps_per_s"),
            figure("p50_ms"),
            figure("p90_ms"),
            figure("p99_ms"),
            bytes.unwrap_or_default(),
            figure("steps_per_sync"),
            median(values("log_thread_ms_per_step"))
                .map_or_else(String::new, |ms| format!("{ms:.2}")),
        )?;
    }
    for work in ["precomputed", "paced", "computed"] {
        let speeds = |log: &str, written: bool| {
            let cell = (work.to_owned(), log.to_owned(), written);
            let rows = cells.get(&cell).into_iter().flatten();
            rows.filter_map(|row| row["steps_per_s"].as_f64())
                .collect::<Vec<f64>>()
        };
        let floor = speeds("decisions", false);
        for log in ["updates", "decisions"] {
            // Of the same round, so that a busy hour counts for both.
            let pairs = speeds(log, true).into_iter().zip(&floor);
            let costs: Vec<f64> = pairs
                .map(|(with, without)| 100.0 * (1.0 - with / without))
                .collect();
            let shown: Vec<String> = costs.iter().map(|cost| format!("{cost:.1}")).collect();
            if let Some(cost) = median(costs) {
                writeln!(
                    out,
                    "\n{work} updates, log = {log:?}: logging costs {cost:.1} % of the steps per second (rounds: {} %)",
                    shown.join(", ")
                )?;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_compare_the_same_round() {
        let row = |log: &str, written: bool, steps_per_s: f64| {
            json!({
                "work": "precomputed", "log": log, "written": written, "steps_per_s": steps_per_s,
                "p99_ms": 12.34, "log_bytes_per_step": 280_000
            })
        };
        let rows = [
            row("updates", true, 90.0),
            row("decisions", false, 100.0),
            row("updates", true, 40.0),
            row("decisions", false, 50.0),
        ];
        let text = table(&json!({ "rows": rows })).unwrap();
        assert!(text.contains("| precomputed | updates | 65.0 |"), "{text}");
        assert!(
            text.contains("costs 15.0 % of the steps per second (rounds: 10.0, 20.0 %)"),
            "{text}"
        );
    }
}

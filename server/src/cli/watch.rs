//! `tabswarm run watch`: a run as it goes on.

use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use super::client::{ClientArgs, parse};
use super::duration::parse_duration;
use super::print_lines;
use super::run::{RunRow, checked_name};
use super::table::{grouped, or_dash};

/// Widest bar of progress, in characters.
const BAR: usize = 40;

/// Which run.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tabswarm run watch mnist-mlp\n\n\
    On a terminal the view is drawn anew, elsewhere each change is a line; with --json it is the server's answer. It ends \
    with the run.")]
pub(super) struct WatchArgs {
    /// The run's name.
    name: String,
    /// Look so often.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    every: u64,
    #[command(flatten)]
    client: ClientArgs,
}

impl WatchArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        checked_name(&self.name)?;
        let client = self.client.client()?;
        let path = format!("/admin/runs/{}", self.name);
        let is_terminal = io::stdout().is_terminal() && !self.client.json;
        let mut last = None;
        let mut drawn = 0;
        loop {
            let answer = client.get(&path)?;
            let run: RunRow = parse(&answer)?;
            let is_new = last
                .as_ref()
                .is_none_or(|last| *last != (run.version, run.phase.clone()));
            if is_terminal {
                drawn = redraw(&view(&run), drawn)?;
            } else if is_new {
                let text = if self.client.json { answer } else { line(&run) };
                if !print_lines(&[text])? {
                    return Ok(());
                }
            }
            if matches!(run.phase.as_str(), "finished" | "stopped") {
                return Ok(());
            }
            last = Some((run.version, run.phase));
            sleep(Duration::from_secs(self.every));
        }
    }
}

/// Draws lines over those that were drawn before; how many there are now.
fn redraw(lines: &[String], drawn: usize) -> io::Result<usize> {
    let mut output = io::stdout().lock();
    if drawn > 0 {
        write!(output, "\x1b[{drawn}A")?;
    }
    for line in lines {
        writeln!(output, "\x1b[2K{line}")?;
    }
    output.flush()?;
    Ok(lines.len())
}

fn view(run: &RunRow) -> Vec<String> {
    let ratio = run.version as f64 / run.steps_total.max(1) as f64;
    vec![
        format!("{}  {}", run.name, run.phase),
        format!("{} {:5.1} %", bar(ratio), ratio * 100.0),
        format!(
            "step {} of {}, epoch {} of {}",
            grouped(run.version),
            grouped(run.steps_total),
            run.epoch,
            run.epochs
        ),
        format!("loss {}, accuracy {}", loss(run), accuracy(run)),
        format!(
            "{} workers with {} lanes, {:.0} samples/s, {} left",
            run.workers,
            run.lanes,
            run.samples_per_s,
            or_dash(run.eta_s.map(|seconds| format!("{seconds:.0} s")))
        ),
        run.storage_problem
            .as_ref()
            .map_or(String::new(), |problem| format!("degraded: {problem}")),
    ]
}

fn line(run: &RunRow) -> String {
    format!(
        "{}  step {} of {}  loss {}  accuracy {}  {} workers  {:.0} samples/s",
        run.phase,
        grouped(run.version),
        grouped(run.steps_total),
        loss(run),
        accuracy(run),
        run.workers,
        run.samples_per_s
    )
}

fn loss(run: &RunRow) -> String {
    or_dash(run.train_loss.map(|loss| format!("{loss:.4}")))
}

fn accuracy(run: &RunRow) -> String {
    or_dash(run.eval.as_ref().map(super::run::EvalRow::percent))
}

fn bar(ratio: f64) -> String {
    // Between 0 and the width: the cast is exact.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped"
    )]
    let full = (ratio.clamp(0.0, 1.0) * BAR as f64) as usize;
    format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_say() {
        for (ratio, full) in [(0.0, 0), (0.5, 20), (1.0, 40), (7.0, 40)] {
            let bar = bar(ratio);
            assert_eq!(
                (bar.len(), bar.matches('#').count()),
                (BAR + 2, full),
                "{ratio}"
            );
        }
    }
}

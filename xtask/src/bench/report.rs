//! Figures as a table, as the table of a document, and as JSON.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::machine::Machine;
use super::work::Task;
use crate::digits::grouped;

/// What was read of one contender on one task.
#[derive(Debug, Clone)]
pub(super) struct Row {
    name: &'static str,
    /// Of ours; others have none.
    class: Option<&'static str>,
    is_native: bool,
    /// One for each round.
    pub(super) samples_per_s: Vec<f64>,
    /// Of ours: one for each round.
    pub(super) peak_gflops: Vec<f64>,
    /// Of the model, where the contender says it.
    pub(super) parameters: Option<u64>,
    /// Why there are no figures.
    pub(super) error: Option<String>,
}

impl Row {
    pub(super) fn new(name: &'static str, class: Option<&'static str>, is_native: bool) -> Self {
        Self {
            name,
            class,
            is_native,
            samples_per_s: Vec::new(),
            peak_gflops: Vec::new(),
            parameters: None,
            error: None,
        }
    }
}

/// All figures of a session.
#[derive(Debug)]
pub(super) struct Report {
    versions: Vec<String>,
    works: Vec<WorkFigures>,
}

#[derive(Debug)]
struct WorkFigures {
    run: String,
    micro_batch: u32,
    unit: &'static str,
    units_per_sample: f64,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(versions: Vec<String>) -> Self {
        Self {
            versions,
            works: Vec::new(),
        }
    }

    /// Takes the rows of a task; an error if somebody computed another model.
    pub(super) fn add(&mut self, task: &Task, rows: Vec<Row>) -> Result<()> {
        let known = rows
            .iter()
            .filter_map(|row| Some((row.name, row.parameters?)));
        let known: Vec<(&str, u64)> = known.collect();
        for pair in known.windows(2) {
            ensure!(
                pair[0].1 == pair[1].1,
                "{} has {} parameters, {} has {}: they do not compute the same",
                pair[0].0,
                pair[0].1,
                pair[1].0,
                pair[1].1,
            );
        }
        let (unit, units_per_sample) = task.unit();
        self.works.push(WorkFigures {
            run: task.run["name"].as_str().unwrap_or_default().to_owned(),
            micro_batch: task.micro_batch,
            unit,
            units_per_sample,
            rows,
        });
        Ok(())
    }

    /// For a terminal.
    pub(super) fn text(&self, machine: &Machine) -> String {
        let mut text = self.heading(machine);
        for work in &self.works {
            let cells = work.cells();
            let width = |column: usize| {
                let lengths = cells.iter().map(|row| row[column].chars().count());
                lengths.max().unwrap_or(0)
            };
            let widths: [usize; COLUMNS] = std::array::from_fn(width);
            writeln!(text, "\n{}", work.title()).expect("a string takes everything");
            for row in &cells {
                let mut line = format!("{:<width$}", row[0], width = widths[0]);
                for (cell, width) in row.iter().zip(widths).skip(1) {
                    write!(line, "  {cell:>width$}").expect("a string takes everything");
                }
                writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
            }
            text.push_str(&work.failures(""));
        }
        text
    }

    /// For docs/benchmarks.md.
    pub(super) fn markdown(&self, machine: &Machine) -> String {
        let mut text = self.heading(machine);
        for work in &self.works {
            writeln!(text, "\n**{}**\n", work.title()).expect("a string takes everything");
            for (idx, row) in work.cells().iter().enumerate() {
                writeln!(text, "| {} |", row.join(" | ")).expect("a string takes everything");
                if idx == 0 {
                    let rule = "|---|".to_owned() + &"---:|".repeat(COLUMNS - 1);
                    writeln!(text, "{rule}").expect("a string takes everything");
                }
            }
            text.push_str(&work.failures("\n"));
        }
        text
    }

    fn heading(&self, machine: &Machine) -> String {
        let mut text = machine.sentence();
        for version in &self.versions {
            write!(text, "; {version}").expect("a string takes everything");
        }
        text.push_str(".\n");
        text
    }

    /// Everything, each round's figure included.
    pub(super) fn json(&self, machine: &Machine) -> Value {
        let works = self.works.iter().map(WorkFigures::json);
        json!({
            "cpu": machine.cpu,
            "cores": machine.cores,
            "date": machine.date,
            "revision": machine.revision,
            "load_before": machine.load.0,
            "load_after": machine.load.1,
            "versions": self.versions,
            "works": works.collect::<Vec<_>>(),
        })
    }
}

const COLUMNS: usize = 5;

impl WorkFigures {
    fn title(&self) -> String {
        format!(
            "{}, micro-batches of {}, {} per second and lane",
            self.run, self.micro_batch, self.unit
        )
    }

    /// Ours of the same place that others are held against: the fastest.
    fn reference(&self, is_native: bool) -> Option<f64> {
        let ours = self
            .rows
            .iter()
            .filter(|row| row.class.is_some() && row.is_native == is_native);
        ours.filter_map(|row| median(&row.samples_per_s))
            .max_by(f64::total_cmp)
    }

    fn cells(&self) -> Vec<[String; COLUMNS]> {
        let heading = [
            "",
            self.unit,
            "lowest – highest",
            "our fastest is",
            "peak, GFLOP/s",
        ];
        let mut cells = vec![heading.map(str::to_owned)];
        for row in &self.rows {
            let Some(rate) = median(&row.samples_per_s) else {
                let none = || "–".to_owned();
                cells.push([row.name.to_owned(), none(), none(), none(), none()]);
                continue;
            };
            let units = |rate: f64| grouped(&format!("{:.0}", rate * self.units_per_sample));
            let lowest = row.samples_per_s.iter().copied().fold(rate, f64::min);
            let highest = row.samples_per_s.iter().copied().fold(rate, f64::max);
            let times = self.reference(row.is_native).map(|ours| ours / rate);
            cells.push([
                row.name.to_owned(),
                units(rate),
                format!("{} – {}", units(lowest), units(highest)),
                times.map_or_else(|| "–".to_owned(), |times| format!("{times:.2} ×")),
                median(&row.peak_gflops).map_or_else(String::new, |peak| format!("{peak:.1}")),
            ]);
        }
        cells
    }

    fn failures(&self, before: &str) -> String {
        let mut text = String::new();
        for row in &self.rows {
            if let Some(error) = &row.error {
                writeln!(text, "{before}{}: {error}", row.name).expect("a string takes everything");
            }
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let rate = median(&row.samples_per_s);
            let ours = self.reference(row.is_native);
            json!({
                "name": row.name,
                "class": row.class,
                "native": row.is_native,
                "samples_per_s": rate,
                "units_per_s": rate.map(|rate| rate * self.units_per_sample),
                "ours_over_this": rate.zip(ours).map(|(rate, ours)| ours / rate),
                "peak_gflops": median(&row.peak_gflops),
                "rounds": row.samples_per_s,
                "error": row.error,
            })
        });
        json!({
            "run": self.run,
            "micro_batch": self.micro_batch,
            "unit": self.unit,
            "units_per_sample": self.units_per_sample,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::work::Work;

    fn report() -> Report {
        let run = json!({ "name": "tiny", "data": {} });
        let task = Task {
            work: Work::Mlp,
            run,
            micro_batch: 128,
        };
        let mut ours = Row::new("ours", Some("portable"), true);
        ours.samples_per_s = vec![3_000.0, 1_000.0, 2_000.4];
        ours.peak_gflops = vec![100.0];
        let mut theirs = Row::new("theirs", None, true);
        theirs.samples_per_s = vec![1_000.0];
        let mut failed = Row::new("failed", None, false);
        failed.error = Some("no such operation".to_owned());
        let mut report = Report::new(vec!["Browser 1".to_owned()]);
        report.add(&task, vec![ours, theirs, failed]).unwrap();
        report
    }

    fn machine() -> Machine {
        Machine {
            cpu: "CPU".to_owned(),
            cores: 2,
            date: "today".to_owned(),
            revision: "abc".to_owned(),
            load: (Some(0.5), Some(2.0)),
        }
    }

    #[test]
    fn a_table_for_documents() {
        let expected = "\
CPU, 2 cores; today; revision abc; load average 0.5 before and 2.0 after; Browser 1.

**tiny, micro-batches of 128, samples per second and lane**

|  | samples | lowest – highest | our fastest is | peak, GFLOP/s |
|---|---:|---:|---:|---:|
| ours | 2,000 | 1,000 – 3,000 | 1.00 × | 100.0 |
| theirs | 1,000 | 1,000 – 1,000 | 2.00 × |  |
| failed | – | – | – | – |

failed: no such operation
";
        assert_eq!(report().markdown(&machine()), expected);
    }

    #[test]
    fn json_keeps_every_round() {
        let json = report().json(&machine());
        let rows = &json["works"][0]["rows"];
        assert_eq!(rows[0]["rounds"].as_array().unwrap().len(), 3);
        assert_eq!(rows[0]["samples_per_s"], 2_000.4);
        assert_eq!(rows[2]["error"], "no such operation");
    }

    #[test]
    fn another_model_is_no_comparison() {
        let run = json!({ "name": "tiny", "data": {} });
        let task = Task {
            work: Work::Mlp,
            run,
            micro_batch: 1,
        };
        let rows = [("a", 10), ("b", 11)].map(|(name, parameters)| {
            let mut row = Row::new(name, None, true);
            row.parameters = Some(parameters);
            row
        });
        let error = Report::new(vec![]).add(&task, rows.to_vec()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a has 10 parameters, b has 11: they do not compute the same"
        );
    }
}

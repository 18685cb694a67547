//! A measurement in words and as JSON.

use std::fmt;

use serde_json::json;
use tabswarm_compute::Path;
use tabswarm_model::{Graph, Run};

use super::breakdown::Breakdown;
use super::measure::Rate;
use crate::format::{rate, thousands};

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchReport {
    /// Name of the run whose model it was.
    pub run: String,
    /// Samples of a micro-batch.
    pub micro_batch: u32,
    /// Parameters of the model.
    pub parameters: usize,
    /// Multiplications and additions of both passes over a sample.
    pub flops_per_sample: u64,
    /// What is counted: `samples`, or `tokens` where a sample is a sequence.
    pub unit: &'static str,
    /// Of these in a sample.
    pub units_per_sample: usize,
    /// One for each path and number of lanes.
    pub figures: Vec<Figure>,
    /// One for each path.
    pub breakdowns: Vec<Breakdown>,
}

/// The speed of some lanes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The instructions, and with them the arithmetic class.
    pub path: Path,
    /// Threads at work.
    pub lanes: u16,
    /// Of all lanes together.
    pub samples_per_s: f64,
    /// Multiplications and additions that count for [`BenchReport::flops_per_sample`].
    pub gflops: f64,
    /// What one lane could do at most, with nothing to load or store. Zero: not known.
    pub peak_gflops: f64,
}

impl Figure {
    /// Share of what that many lanes could do at most.
    pub fn peak_share(&self) -> Option<f64> {
        let peak = self.peak_gflops * f64::from(self.lanes);
        (peak > 0.0).then(|| self.gflops / peak)
    }
}

impl BenchReport {
    pub(super) fn new(run: &Run, graph: &Graph, micro_batch: u32, rates: &[Rate]) -> Self {
        let flops_per_sample = graph.flops_per_sample();
        let mut peak_gflops = 0.0;
        let mut figures: Vec<Figure> = Vec::new();
        let mut breakdowns = Vec::new();
        for rate in rates {
            match rate {
                &Rate::Peak(flops_per_s) => peak_gflops = flops_per_s * 1e-9,
                &Rate::Lanes {
                    path,
                    lanes,
                    samples_per_s,
                } => figures.push(Figure {
                    path,
                    lanes,
                    samples_per_s,
                    gflops: samples_per_s * flops_per_sample as f64 * 1e-9,
                    peak_gflops,
                }),
                Rate::Stages { path, seconds } => {
                    let of_one = figures
                        .iter()
                        .find(|figure| figure.path == *path && figure.lanes == 1);
                    let alone =
                        of_one.map_or(0.0, |one| f64::from(micro_batch) / one.samples_per_s);
                    let breakdown = Breakdown::new(graph, micro_batch, *path, alone, seconds);
                    breakdowns.push(breakdown);
                }
            }
        }
        let units_per_sample = graph.label_rows();
        Self {
            run: run.name.clone(),
            micro_batch,
            parameters: graph.layout.len(),
            flops_per_sample,
            unit: if units_per_sample == 1 {
                "samples"
            } else {
                "tokens"
            },
            units_per_sample,
            figures,
            breakdowns,
        }
    }

    /// How many times the speed of one lane several lanes have, by path.
    fn scaling(&self) -> impl Iterator<Item = (&Figure, f64)> {
        let several = self.figures.iter().filter(|figure| figure.lanes > 1);
        several.filter_map(|figure| {
            let is_single = |one: &&Figure| one.lanes == 1 && one.path == figure.path;
            let one = self.figures.iter().find(is_single)?;
            Some((figure, figure.samples_per_s / one.samples_per_s))
        })
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        let figures = self.figures.iter().map(|figure| {
            json!({
                "class": figure.path.class().as_str(),
                "path": figure.path.as_str(),
                "lanes": figure.lanes,
                "samples_per_s": figure.samples_per_s,
                "units_per_s": figure.samples_per_s * self.units_per_sample as f64,
                "gflops": figure.gflops,
                "peak_gflops": figure.peak_gflops,
                "peak_share": figure.peak_share(),
            })
        });
        let scaling = self.scaling().map(|(figure, times)| {
            json!({ "class": figure.path.class().as_str(), "lanes": figure.lanes, "times_one_lane": times })
        });
        json!({
            "run": self.run,
            "micro_batch": self.micro_batch,
            "parameters": self.parameters,
            "flops_per_sample": self.flops_per_sample,
            "unit": self.unit,
            "units_per_sample": self.units_per_sample,
            "figures": figures.collect::<Vec<_>>(),
            "scaling": scaling.collect::<Vec<_>>(),
            "breakdowns": self.breakdowns.iter().map(Breakdown::to_json).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} parameters, micro-batches of {}, {} FLOP forward and backward a sample",
            self.run,
            thousands(self.parameters as u64),
            self.micro_batch,
            thousands(self.flops_per_sample),
        )?;
        let heading = format!("{}/s", self.unit);
        writeln!(
            f,
            "\n{:<9}{:<14}{:>6}{heading:>13}{:>10}{:>9}",
            "class", "instructions", "lanes", "GFLOP/s", "of peak"
        )?;
        for figure in &self.figures {
            let share = figure.peak_share();
            writeln!(
                f,
                "{:<9}{:<14}{:>6}{:>13}{:>10.1}{:>9}",
                figure.path.class().as_str(),
                figure.path.as_str(),
                figure.lanes,
                rate(figure.samples_per_s * self.units_per_sample as f64),
                figure.gflops,
                share.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
            )?;
        }
        writeln!(f)?;
        for (figure, times) in self.scaling() {
            let (class, lanes) = (figure.path.class().as_str(), figure.lanes);
            writeln!(
                f,
                "{class}: {lanes} lanes do {times:.2} times the work of one"
            )?;
        }
        for figure in self.figures.iter().filter(|figure| figure.lanes == 1) {
            let class = figure.path.class().as_str();
            writeln!(
                f,
                "{class}: the peak of a lane is {:.1} GFLOP/s, from registers alone",
                figure.peak_gflops
            )?;
        }
        for breakdown in &self.breakdowns {
            write!(f, "\n{breakdown}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> BenchReport {
        let run = Run::from_toml(include_str!("../../../runs/mnist-mlp.toml")).unwrap();
        let path = Path::Avx2;
        let lanes = |lanes, samples_per_s| Rate::Lanes {
            path,
            lanes,
            samples_per_s,
        };
        let seconds = vec![2e-4; 7];
        let rates = [
            Rate::Peak(100e9),
            lanes(1, 100_000.0),
            lanes(2, 190_000.0),
            Rate::Stages { path, seconds },
        ];
        BenchReport::new(&run, &run.graph(), 128, &rates)
    }

    #[test]
    fn words() {
        let expected = "\
mnist-mlp: 101,770 parameters, micro-batches of 128, 409,088 FLOP forward and backward a sample

class    instructions   lanes    samples/s   GFLOP/s  of peak
portable avx2               1      100,000      40.9     41 %
portable avx2               2      190,000      77.7     39 %

portable: 2 lanes do 1.90 times the work of one
portable: the peak of a lane is 100.0 GFLOP/s, from registers alone

portable (avx2), one lane: where the time of a micro-batch goes
";
        let text = report().to_string();
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn json_has_the_same() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!(json["parameters"], 101_770);
        assert_eq!(json["figures"][1]["lanes"], 2);
        assert_eq!(json["figures"][1]["path"], "avx2");
        assert_eq!(json["figures"][0]["units_per_s"], 100_000.0);
        assert_eq!(json["scaling"][0]["times_one_lane"], 1.9);
        let breakdown = &json["breakdowns"][0];
        assert_eq!(breakdown["class"], "portable");
        assert_eq!(breakdown["unobserved_seconds"], 128.0 / 100_000.0);
        let dense = json!({
            "pass": "forward",
            "operation": "dense + relu",
            "layer": "layers[1]",
            "output_shape": [128],
            "seconds": 2e-4,
            "share": 2e-4 / breakdown["sum_seconds"].as_f64().unwrap(),
            "flops": 128 * 2 * 784 * 128,
            "gflops": 128.0 * 2.0 * 784.0 * 128.0 / 2e-4 * 1e-9,
        });
        assert_eq!(breakdown["operations"][0], dense);
        assert!(breakdown["operations"][2]["gflops"].is_null());
    }
}

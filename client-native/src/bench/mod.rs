//! `tabswarm-worker bench`: how fast this machine computes gradients, without a server.
//!
//! Measured are forward and backward passes over made-up samples: no data, no optimizer, no network. Everything
//! is measured in short rounds in turn, and of each the median counts, so that a disturbance meets all alike.

mod breakdown;
mod measure;
mod report;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tabswarm_compute::{ArithmeticClass, ComputeError, Path, probe};
use tabswarm_model::run_file::{MAX_MICRO_BATCH, RunFileError};
use tabswarm_protocol::limits::MAX_LANES;
use thiserror::Error;

use crate::config::default_lanes;
pub use breakdown::{Breakdown, OperationTime, Pass};
use measure::{Contender, Subject};
pub use report::{BenchReport, Figure};
pub use work::Work;

/// Longest measurement; a mistyped number should not occupy a machine for a day.
const MAX_SECONDS: f64 = 3_600.0;

/// Options of a measurement.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to compute: mlp, cnn, gpt, or a run file.
    #[arg(long, value_name = "WORK", default_value = "mlp")]
    pub work: Work,

    /// Threads that compute; measured beside a single one [default: one for each CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub lanes: Option<u16>,

    /// Samples of a micro-batch [default: 128 for mlp and cnn, 16 for gpt, or the run file's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_MICRO_BATCH)))]
    pub micro_batch: Option<u32>,

    /// How products are added up [default: every way that this machine has].
    #[arg(long, value_name = "CLASS", value_enum)]
    pub class: Option<ClassName>,

    /// Instructions to compute with, also where others are faster [default: the fastest of each class].
    #[arg(long, value_name = "PATH", value_parser = path, conflicts_with = "class")]
    pub path: Option<Path>,

    /// Time for all measurements together.
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,

    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// An arithmetic class on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassName {
    /// The same bits on every machine.
    Portable,
    /// Fused multiply-add, where the machine has it.
    Fused,
}

impl From<ClassName> for ArithmeticClass {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Portable => Self::Portable,
            ClassName::Fused => Self::Fused,
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The run file is not there or not readable.
    #[error("cannot read the run file {}; --work takes mlp, cnn, gpt or a file", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no run file.
    #[error("{work} is no run file")]
    Invalid {
        /// Name of the work.
        work: String,
        /// Every mistake.
        source: RunFileError,
    },
    /// The engine can't compute it.
    #[error("this machine cannot compute {work} with {}", path.as_str())]
    Engine {
        /// Name of the work.
        work: String,
        /// With which instructions.
        path: Path,
        /// What the engine says.
        source: ComputeError,
    },
    /// No thread for a lane.
    #[error("cannot start a thread for a lane; try fewer lanes")]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
}

/// Measures.
///
/// # Errors
/// See [`BenchError`].
pub fn bench(args: &BenchArgs) -> Result<BenchReport, BenchError> {
    let run = args.work.load()?;
    let micro_batch = args
        .micro_batch
        .unwrap_or_else(|| args.work.micro_batch(&run));
    let graph = Arc::new(run.graph());
    let subject = Subject::new(run.name.clone(), Arc::clone(&graph), micro_batch as usize);
    let lanes = args.lanes.unwrap_or_else(default_lanes);
    let mut contenders = Vec::new();
    for path in paths(args) {
        contenders.push(Contender::peak(path));
        contenders.push(Contender::lanes(&subject, path, 1)?);
        if lanes > 1 {
            contenders.push(Contender::lanes(&subject, path, lanes)?);
        }
        contenders.push(Contender::stages(&subject, path)?);
    }
    let total = Duration::from_millis(millis(args.seconds));
    let rates = measure::in_turn(&subject, &mut contenders, total)?;
    Ok(BenchReport::new(&run, &graph, micro_batch, &rates))
}

/// The paths to measure: of each class the fastest, if not said otherwise.
fn paths(args: &BenchArgs) -> Vec<Path> {
    if let Some(path) = args.path {
        return vec![path];
    }
    let classes = match args.class {
        Some(name) => vec![name.into()],
        None => probe::supported_classes(),
    };
    let paths = classes.into_iter().filter_map(probe::fastest_path);
    paths.collect()
}

fn path(text: &str) -> Result<Path, String> {
    let available = || Path::ALL.into_iter().filter(|path| path.is_available());
    available()
        .find(|path| path.as_str() == text)
        .ok_or_else(|| {
            let names: Vec<&str> = available().map(Path::as_str).collect();
            format!("this machine has {}", names.join(", "))
        })
}

fn millis(seconds: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked by `seconds` to be between 0 and an hour"
    )]
    let millis = (seconds * 1_000.0) as u64;
    millis
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok();
    seconds
        .filter(|&seconds| seconds > 0.0 && seconds <= MAX_SECONDS)
        .ok_or_else(|| format!("write a number above 0, at most {MAX_SECONDS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(work: &str) -> BenchArgs {
        BenchArgs {
            work: work.parse().unwrap(),
            lanes: Some(2),
            micro_batch: Some(8),
            class: Some(ClassName::Portable),
            path: None,
            seconds: 0.03,
            json: false,
        }
    }

    #[test]
    fn one_lane_is_measured_beside_several() {
        let report = bench(&args("mlp")).unwrap();
        let lanes: Vec<u16> = report.figures.iter().map(|figure| figure.lanes).collect();
        assert_eq!(lanes, [1, 2]);
        for figure in &report.figures {
            assert!(figure.samples_per_s > 0.0 && figure.peak_gflops > 0.0);
        }
        assert_eq!((report.parameters, report.unit), (101_770, "samples"));
        let [breakdown] = &report.breakdowns[..] else {
            panic!("one class, one breakdown: {report:?}");
        };
        // Two products forward; two and an activation backward; loss and checks.
        assert_eq!(breakdown.operations.len(), 7);
        assert!(breakdown.operations.iter().all(|row| row.seconds > 0.0));
        let flops: u64 = breakdown.operations.iter().map(|row| row.flops).sum();
        assert_eq!(flops, 8 * report.flops_per_sample);
    }

    #[test]
    fn a_path_can_be_forced() {
        let args = BenchArgs {
            class: None,
            path: Some(path("generic").unwrap()),
            ..args("mlp")
        };
        let report = bench(&args).unwrap();
        let paths: Vec<Path> = report.figures.iter().map(|figure| figure.path).collect();
        assert_eq!(paths, [Path::Generic, Path::Generic]);
        let error = path("wasm-simd128").unwrap_err();
        assert!(
            error.ends_with(", generic") || error.ends_with(" generic"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = bench(&args("no/such.toml")).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the run file no/such.toml"),
            "{error}"
        );
    }

    #[test]
    fn times_are_sensible() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for bad in ["0", "-1", "x", "inf", "NaN", "4000"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}

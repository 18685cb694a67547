//! Where the time of a micro-batch goes, operation by operation.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tabswarm_compute::{Observer, Path, Stage};
use tabswarm_model::Graph;
use tabswarm_model::graph::{Activation, Op, Step};

/// Takes the time of every stage of one engine, summed up over the micro-batches of a round.
#[derive(Debug)]
pub(super) struct StageClock {
    /// When the last stage ended.
    last: Instant,
    forward: Vec<Duration>,
    backward: Vec<Duration>,
    loss: Duration,
    checks: Duration,
}

impl StageClock {
    pub(super) fn new(graph: &Graph) -> Self {
        Self {
            last: Instant::now(),
            forward: vec![Duration::ZERO; graph.forward.len()],
            backward: vec![Duration::ZERO; graph.backward.len()],
            loss: Duration::ZERO,
            checks: Duration::ZERO,
        }
    }

    /// Forgets what was measured.
    pub(super) fn reset(&mut self) {
        self.forward.fill(Duration::ZERO);
        self.backward.fill(Duration::ZERO);
        self.loss = Duration::ZERO;
        self.checks = Duration::ZERO;
    }

    /// A micro-batch begins.
    pub(super) fn start(&mut self) {
        self.last = Instant::now();
    }

    /// Seconds of every row of a [`Breakdown`] for one of `micro_batches`, in the order of the rows.
    pub(super) fn seconds(&self, micro_batches: u32) -> Vec<f64> {
        let forward = self.forward.iter().copied().chain([self.loss]);
        let all = forward.chain(self.backward.iter().copied());
        let each = all.chain([self.checks]);
        each.map(|sum| sum.as_secs_f64() / f64::from(micro_batches.max(1)))
            .collect()
    }
}

impl Observer for StageClock {
    fn finished(&mut self, stage: Stage) {
        let now = Instant::now();
        let sum = match stage {
            Stage::Forward(idx) => &mut self.forward[idx],
            Stage::Backward(idx) => &mut self.backward[idx],
            Stage::Loss => &mut self.loss,
            Stage::CheckBatch | Stage::CheckGradient => &mut self.checks,
        };
        *sum += now - self.last;
        self.last = now;
    }
}

/// Which part of the work a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From the input to the prediction.
    Forward,
    /// The loss and its gradient.
    Loss,
    /// From the loss to the gradients of the parameters.
    Backward,
    /// Looking whether the batch fits and the gradient is finite.
    Checks,
}

impl Pass {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Loss => "loss",
            Self::Backward => "backward",
            Self::Checks => "checks",
        }
    }
}

/// The time of one operation.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationTime {
    /// Which part of the work.
    pub pass: Pass,
    /// What is computed, such as `dense + relu`.
    pub operation: String,
    /// Key path of the layer in the run file; empty for what belongs to none.
    pub layer: String,
    /// Shape of the layer's output for one sample; empty for what belongs to no layer.
    pub output_shape: Vec<usize>,
    /// Time for one micro-batch.
    pub seconds: f64,
    /// Multiplications and additions of a micro-batch that count; zero for what has no products.
    pub flops: u64,
}

impl OperationTime {
    /// Speed in 10^9 floating-point operations per second; none for what has no products.
    pub fn gflops(&self) -> Option<f64> {
        (self.flops > 0 && self.seconds > 0.0).then(|| self.flops as f64 / self.seconds * 1e-9)
    }
}

/// The time of every operation of a micro-batch on one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Breakdown {
    /// The instructions, and with them the arithmetic class.
    pub path: Path,
    /// Time for one micro-batch while nobody looked.
    pub unobserved_seconds: f64,
    /// In the order in which the engine runs them.
    pub operations: Vec<OperationTime>,
}

impl Breakdown {
    pub(super) fn new(
        graph: &Graph,
        micro_batch: u32,
        path: Path,
        unobserved_seconds: f64,
        seconds: &[f64],
    ) -> Self {
        let of_step = |pass, step: &Step| {
            let layer = &graph.layers[step.layer];
            OperationTime {
                pass,
                operation: operation(&step.op),
                layer: layer.path.clone(),
                output_shape: layer.output_shape.clone(),
                seconds: 0.0,
                flops: graph.flops(&step.op) * u64::from(micro_batch),
            }
        };
        let other = |pass: Pass| OperationTime {
            pass,
            operation: pass.as_str().to_owned(),
            layer: String::new(),
            output_shape: Vec::new(),
            seconds: 0.0,
            flops: 0,
        };
        let forward = graph.forward.iter();
        let backward = graph.backward.iter();
        let mut operations: Vec<OperationTime> = forward
            .map(|step| of_step(Pass::Forward, step))
            .chain([other(Pass::Loss)])
            .chain(backward.map(|step| of_step(Pass::Backward, step)))
            .chain([other(Pass::Checks)])
            .collect();
        for (operation, &seconds) in operations.iter_mut().zip(seconds) {
            operation.seconds = seconds;
        }
        Self {
            path,
            unobserved_seconds,
            operations,
        }
    }

    /// Time of all operations of a micro-batch.
    pub fn sum_seconds(&self) -> f64 {
        self.operations.iter().map(|row| row.seconds).sum()
    }

    /// Share of an operation's time in that of all.
    fn share(&self, seconds: f64) -> f64 {
        let sum = self.sum_seconds();
        if sum > 0.0 { seconds / sum } else { 0.0 }
    }

    /// As in the report's JSON.
    pub(super) fn to_json(&self) -> Value {
        let operations = self.operations.iter().map(|row| {
            json!({
                "pass": row.pass.as_str(),
                "operation": row.operation,
                "layer": row.layer,
                "output_shape": row.output_shape,
                "seconds": row.seconds,
                "share": self.share(row.seconds),
                "flops": row.flops,
                "gflops": row.gflops(),
            })
        });
        json!({
            "class": self.path.class().as_str(),
            "path": self.path.as_str(),
            "unobserved_seconds": self.unobserved_seconds,
            "sum_seconds": self.sum_seconds(),
            "operations": operations.collect::<Vec<_>>(),
        })
    }

    /// Operations that are alike but for the layer as one, in the order in which the first of each runs.
    fn merged(&self) -> Vec<(usize, OperationTime)> {
        let mut rows: Vec<(usize, OperationTime)> = Vec::new();
        for one in &self.operations {
            let is_alike = |row: &&mut (usize, OperationTime)| {
                let of_one = row.1.flops / row.0 as u64;
                (row.1.pass, &row.1.operation, &row.1.output_shape, of_one)
                    == (one.pass, &one.operation, &one.output_shape, one.flops)
            };
            match rows.iter_mut().find(is_alike) {
                Some((count, row)) => {
                    *count += 1;
                    row.seconds += one.seconds;
                    row.flops += one.flops;
                }
                None => rows.push((1, one.clone())),
            }
        }
        rows
    }
}

impl fmt::Display for Breakdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, path) = (self.path.class().as_str(), self.path.as_str());
        writeln!(
            f,
            "{class} ({path}), one lane: where the time of a micro-batch goes\n"
        )?;
        writeln!(
            f,
            "{:<9}{:<31}{:<12}{:>6}{:>11}{:>9}{:>10}",
            "pass", "operation", "output", "times", "µs", "share", "GFLOP/s"
        )?;
        for (count, row) in self.merged() {
            let gflops = row.gflops();
            writeln!(
                f,
                "{:<9}{:<31}{:<12}{count:>6}{:>11.1}{:>9}{:>10}",
                row.pass.as_str(),
                row.operation,
                shape(&row.output_shape),
                row.seconds * 1e6,
                format!("{:.1} %", self.share(row.seconds) * 100.0),
                gflops.map_or("-".to_owned(), |gflops| format!("{gflops:.1}")),
            )?;
        }
        let (sum, alone) = (self.sum_seconds(), self.unobserved_seconds);
        writeln!(
            f,
            "all together {:.1} µs; without looking {:.1} µs ({:+.1} %)",
            sum * 1e6,
            alone * 1e6,
            (sum / alone - 1.0) * 100.0
        )
    }
}

/// An operation with the activation that it computes along the way.
fn operation(op: &Op) -> String {
    let (Op::Dense { activation, .. }
    | Op::Conv2d { activation, .. }
    | Op::Activate { activation, .. }
    | Op::ActivationBackward { activation, .. }) = op
    else {
        return op.name().to_owned();
    };
    let word = match activation {
        Activation::Identity => return op.name().to_owned(),
        Activation::Relu => "relu",
        Activation::Gelu => "gelu",
        Activation::Sigmoid => "sigmoid",
        Activation::Tanh => "tanh",
    };
    match op {
        Op::Activate { .. } => word.to_owned(),
        Op::ActivationBackward { .. } => format!("{word} backward"),
        _ => format!("{} + {word}", op.name()),
    }
}

fn shape(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
    sizes.join("×")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_model::Run;

    fn breakdown(text: &str, seconds: impl Fn(usize) -> f64) -> Breakdown {
        let graph = Run::from_toml(text).unwrap().graph();
        let rows = graph.forward.len() + graph.backward.len() + 2;
        let seconds: Vec<f64> = (0..rows).map(seconds).collect();
        Breakdown::new(&graph, 128, Path::Avx2, 90e-6, &seconds)
    }

    #[test]
    fn a_table_for_people() {
        let text = include_str!("../../../runs/mnist-mlp.toml");
        let table = breakdown(text, |row| {
            [30e-6, 5e-6, 1e-6, 8e-6, 2e-6, 50e-6, 4e-6][row]
        })
        .to_string();
        let expected = "\
portable (avx2), one lane: where the time of a micro-batch goes

pass     operation                      output       times         µs    share   GFLOP/s
forward  dense + relu                   128              1       30.0   30.0 %     856.3
forward  dense                          10               1        5.0    5.0 %      65.5
loss     loss                                            1        1.0    1.0 %         -
backward dense backward                 10               1        8.0    8.0 %      81.9
backward relu backward                  128              1        2.0    2.0 %         -
backward dense backward                 128              1       50.0   50.0 %     513.8
checks   checks                                          1        4.0    4.0 %         -
all together 100.0 µs; without looking 90.0 µs (+11.1 %)
";
        assert_eq!(table, expected);
    }

    #[test]
    fn operations_that_are_alike_are_one_row_of_the_table_only() {
        let text = include_str!("../../../runs/char-gpt.toml");
        let breakdown = breakdown(text, |_| 1e-6);
        let merged = breakdown.merged();
        let attention = merged.iter().find(|(_, row)| row.operation == "attention");
        assert!(attention.is_some_and(|(count, row)| *count == 4 && row.seconds > 3.9e-6));
        assert!(merged.len() < breakdown.operations.len() / 2);
        let of_rows: f64 = merged.iter().map(|(_, row)| row.seconds).sum();
        assert!((of_rows - breakdown.sum_seconds()).abs() < 1e-9);
    }

    #[test]
    fn a_clock_gives_each_stage_the_time_since_the_one_before() {
        let text = include_str!("../../../runs/mnist-mlp.toml");
        let graph = Run::from_toml(text).unwrap().graph();
        let mut clock = StageClock::new(&graph);
        let before = Instant::now();
        clock.start();
        clock.finished(Stage::CheckBatch);
        clock.finished(Stage::Forward(1));
        clock.finished(Stage::Backward(0));
        clock.finished(Stage::Loss);
        clock.finished(Stage::CheckGradient);
        let sum: f64 = clock.seconds(1).iter().sum();
        assert!(sum > 0.0 && sum <= before.elapsed().as_secs_f64());
        assert_eq!(clock.forward[0], Duration::ZERO);
        clock.reset();
        assert!(
            clock
                .seconds(1)
                .iter()
                .all(|seconds| seconds.to_bits() == 0)
        );
    }
}

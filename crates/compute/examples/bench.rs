//! Measures forward and backward pass of a reference network on one lane.
//!
//! Run with `cargo run --release -p tabswarm-compute --example bench -- [mlp|cnn] [PATH]`, both networks and all
//! paths if not said otherwise. Each figure is the best of many short rounds, so that a busy machine shows less.
#![expect(
    clippy::print_stdout,
    reason = "printing figures is the purpose of a benchmark"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tabswarm_compute::{Batch, ComputeError, Engine, LeaseAccumulator, Path, probe};
use tabswarm_model::graph::Padding;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};
use tabswarm_model::{Graph, graph};

/// What each row's figures are taken from: so many rounds, or as many as fit the time.
const ROUNDS: usize = 200;
const ROW_TIME: Duration = Duration::from_secs(2);
const SAMPLES_PER_ROUND: usize = 128;

fn main() -> Result<(), ComputeError> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |word: &str, all: &[&str]| {
        let named = |word: &&str| chosen.iter().any(|chosen| chosen == word);
        named(&word) || !all.iter().any(named)
    };
    println!(
        "work  path         class     micro-batch  samples/s  GFLOP/s  set_params µs  accumulate µs"
    );
    let path_names = Path::ALL.map(|path| format!("{path:?}"));
    let path_names = path_names.each_ref().map(String::as_str);
    for (work, model) in [("mlp", perceptron()), ("cnn", convolutional())] {
        if !is_chosen(work, &["mlp", "cnn"]) {
            continue;
        }
        let graph = Arc::new(graph::build(&model));
        let paths = Path::ALL.into_iter().zip(path_names);
        let paths = paths.filter(|&(path, name)| is_chosen(name, &path_names) && probe::is_correct(path));
        for (path, _) in paths {
            for micro_batch in [128, 32] {
                measure(work, &graph, path, micro_batch)?;
            }
        }
    }
    Ok(())
}

/// 784-128(relu)-10.
fn perceptron() -> ModelSpec {
    ModelSpec {
        input: vec![784],
        layers: vec![LayerSpec::dense(128), LayerSpec::RELU, LayerSpec::dense(10)],
        loss: LossSpec::SoftmaxCrossEntropy,
    }
}

/// Two convolutions with pooling and a dense layer.
fn convolutional() -> ModelSpec {
    let convolution = |channels| LayerSpec::Conv2d {
        channels,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::Same,
        groups: 1,
        bias: true,
    };
    let pool = || {
        LayerSpec::MaxPool(PoolSpec {
            size: [2, 2],
            stride: [2, 2],
        })
    };
    ModelSpec {
        input: vec![28, 28, 1],
        layers: vec![
            convolution(16),
            LayerSpec::RELU,
            pool(),
            convolution(32),
            LayerSpec::RELU,
            pool(),
            LayerSpec::Flatten,
            LayerSpec::dense(10),
        ],
        loss: LossSpec::SoftmaxCrossEntropy,
    }
}

fn measure(
    work: &str,
    graph: &Arc<Graph>,
    path: Path,
    micro_batch: usize,
) -> Result<(), ComputeError> {
    let params: Vec<f32> = (0..graph.layout.len()).map(|i| pattern(i) * 0.04).collect();
    let inputs: Vec<f32> = (0..micro_batch * 784).map(pattern).collect();
    let labels: Vec<u16> = (0..10).cycle().take(micro_batch).collect();
    let batch = Batch::labeled(&inputs, &labels);
    let mut engine = Engine::with_path(Arc::clone(graph), path, micro_batch)?;
    let set_params = best(1, || engine.set_params(&params))?;
    let batches = SAMPLES_PER_ROUND / micro_batch;
    let gradient = best(batches, || engine.gradient(batch).map(drop))?;
    let mut sums = LeaseAccumulator::new(&graph.layout);
    let exponents = vec![10; graph.layout.tensors().len()];
    let accumulate = best(1, || {
        sums.reset();
        let added = sums.add(engine.gradient_buffer(), &exponents);
        added.expect("exponent 10 has room for these gradients");
        Ok(())
    })?;
    let rate = micro_batch as f64 / gradient.as_secs_f64();
    println!(
        "{work:<4}  {:<12} {:<9} {micro_batch:>11}  {rate:>9.0}  {:>7.1}  {:>13.1}  {:>13.1}",
        format!("{path:?}"),
        path.class().as_str(),
        rate * graph.flops_per_sample() as f64 * 1e-9,
        set_params.as_secs_f64() * 1e6,
        accumulate.as_secs_f64() * 1e6,
    );
    Ok(())
}

/// Numbers in [-1, 1) without a pattern that a cache could profit from.
fn pattern(idx: usize) -> f32 {
    (idx * 7_919 % 16_384) as f32 / 8_192.0 - 1.0
}

/// The time of one call, from the best round of `calls`.
fn best(
    calls: usize,
    mut call: impl FnMut() -> Result<(), ComputeError>,
) -> Result<Duration, ComputeError> {
    let begin = Instant::now();
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        best = best.min(start.elapsed());
        if begin.elapsed() > ROW_TIME {
            break;
        }
    }
    Ok(best.div_f64(calls as f64))
}

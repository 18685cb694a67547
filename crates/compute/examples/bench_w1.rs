//! Measures forward and backward pass of the reference network 784-128(relu)-10 on one lane.
//!
//! Run with `cargo run --release -p tabswarm-compute --example bench_w1`. Each figure is the best of many
//! short rounds, so that a busy machine shows less.
#![expect(
    clippy::print_stdout,
    reason = "printing figures is the purpose of a benchmark"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tabswarm_compute::{Batch, ComputeError, Engine, LeaseAccumulator, Path, probe};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};
use tabswarm_model::{Graph, graph};

const ROUNDS: usize = 200;
const SAMPLES_PER_ROUND: usize = 1_024;

fn main() -> Result<(), ComputeError> {
    let graph = Arc::new(graph::build(&ModelSpec {
        input: vec![784],
        layers: vec![LayerSpec::dense(128), LayerSpec::RELU, LayerSpec::dense(10)],
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    println!(
        "path         class     micro-batch  samples/s  GFLOP/s  set_params µs  accumulate µs"
    );
    for path in Path::ALL
        .into_iter()
        .filter(|&path| probe::is_correct(path))
    {
        for micro_batch in [128, 32] {
            measure(&graph, path, micro_batch)?;
        }
    }
    Ok(())
}

fn measure(graph: &Arc<Graph>, path: Path, micro_batch: usize) -> Result<(), ComputeError> {
    let params: Vec<f32> = (0..graph.layout.len()).map(|i| pattern(i) * 0.04).collect();
    let inputs: Vec<f32> = (0..micro_batch * 784).map(pattern).collect();
    let labels: Vec<u16> = (0..10).cycle().take(micro_batch).collect();
    let batch = Batch {
        inputs: &inputs,
        labels: &labels,
    };
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
        "{:<12} {:<9} {micro_batch:>11}  {rate:>9.0}  {:>7.1}  {:>13.1}  {:>13.1}",
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
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        best = best.min(start.elapsed());
    }
    Ok(best.div_f64(calls as f64))
}

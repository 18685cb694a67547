//! Measures forward and backward pass of a reference network on one lane.
//!
//! Run with `cargo run --release -p tabswarm-compute --example bench -- [mlp|cnn|gpt] [PATH]`, all networks and
//! all paths if not said otherwise. The language model's figures are tokens, not sequences. Each figure is the best of many short rounds, so that a busy machine shows less.
#![expect(
    clippy::print_stdout,
    reason = "printing figures is the purpose of a benchmark"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tabswarm_compute::{Batch, ComputeError, Engine, LeaseAccumulator, Path, probe};
use tabswarm_model::graph::{Activation, Padding};
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
    let works: [(&str, ModelSpec, &[usize]); 3] = [
        ("mlp", perceptron(), &[128, 32]),
        ("cnn", convolutional(), &[128, 32]),
        ("gpt", language_model(), &[16]),
    ];
    let work_names = works.each_ref().map(|(name, ..)| *name);
    for (work, model, micro_batches) in works {
        if !is_chosen(work, &work_names) {
            continue;
        }
        let graph = Arc::new(graph::build(&model));
        let paths = Path::ALL.into_iter().zip(path_names);
        let paths =
            paths.filter(|&(path, name)| is_chosen(name, &path_names) && probe::is_correct(path));
        for (path, _) in paths {
            for &micro_batch in micro_batches {
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

/// Characters in 4 blocks of width 128 with 4 heads, 64 at a time.
fn language_model() -> ModelSpec {
    let norm = || LayerSpec::LayerNorm { epsilon: 1e-5 };
    let (vocabulary, width) = (65, 128);
    let mut layers = vec![
        LayerSpec::Embedding { vocabulary, width },
        LayerSpec::PositionalEmbedding,
    ];
    for _ in 0..4 {
        let attention = LayerSpec::Attention {
            heads: 4,
            causal: true,
        };
        let network = vec![
            norm(),
            LayerSpec::dense(4 * width),
            LayerSpec::Activation(Activation::Gelu),
            LayerSpec::dense(width),
        ];
        let blocks = [vec![norm(), attention], network];
        layers.extend(blocks.map(|layers| LayerSpec::Residual { layers }));
    }
    layers.push(norm());
    layers.push(LayerSpec::Dense {
        units: vocabulary,
        bias: false,
    });
    ModelSpec {
        input: vec![64],
        layers,
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
    let values = 0..micro_batch * graph.input_features();
    let inputs: Vec<f32> = match graph.vocabulary {
        Some(vocabulary) => values.map(|i| (i * 7_919 % vocabulary) as f32).collect(),
        None => values.map(pattern).collect(),
    };
    let rows = micro_batch * graph.label_rows();
    let labels: Vec<u16> = (0..10).cycle().take(rows).collect();
    let batch = Batch::labeled(&inputs, &labels);
    let mut engine = Engine::with_path(Arc::clone(graph), path, micro_batch)?;
    let set_params = best(1, || engine.set_params(&params))?;
    let batches = (SAMPLES_PER_ROUND / rows).max(1);
    let gradient = best(batches, || engine.gradient(batch).map(drop))?;
    let mut sums = LeaseAccumulator::new(&graph.layout);
    let exponents = vec![10; graph.layout.tensors().len()];
    let accumulate = best(1, || {
        sums.reset();
        let added = sums.add(engine.gradient_buffer(), &exponents);
        added.expect("exponent 10 has room for these gradients");
        Ok(())
    })?;
    let per_second = gradient.as_secs_f64().recip();
    let rate = rows as f64 * per_second;
    println!(
        "{work:<4}  {:<12} {:<9} {micro_batch:>11}  {rate:>9.0}  {:>7.1}  {:>13.1}  {:>13.1}",
        format!("{path:?}"),
        path.class().as_str(),
        micro_batch as f64 * per_second * graph.flops_per_sample() as f64 * 1e-9,
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

//! Gradients of made-up batches, condensed to digests: what must be equal on every path, machine and browser.
//!
//! A [`Case`] is a graph with parameters, inputs and targets that follow from a seed; models are given, those of a
//! run, or random ones with every kind of layer. [`Case::digest`] covers every bit of the gradient and of its
//! fixed-point sums, so two digests are equal only where all of them are.

mod random;

use std::sync::Arc;

use tabswarm_model::fixed_point::fitting_exponent;
use tabswarm_model::graph::{Targets as Wanted, build};
use tabswarm_model::init::initial_params;
use tabswarm_model::layout::Init;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::ModelSpec;
use tabswarm_model::{ArithmeticClass, Graph, Run};
use thiserror::Error;

use crate::accumulator::LeaseAccumulator;
use crate::batch::{Batch, Targets};
use crate::cpu::gemm::Path;
use crate::cpu::magnitude::largest_magnitude;
use crate::engine::Engine;
use crate::error::ComputeError;
use random::Random;

/// Most samples of a random case.
const RANDOM_SAMPLES: usize = 6;
/// How often a gradient is added: carries are covered, too.
const ADDED: usize = 2;

/// A graph with everything that a batch needs.
#[derive(Debug, Clone)]
pub struct Case {
    /// The graph.
    pub graph: Arc<Graph>,
    /// Flat, in layout order.
    pub params: Vec<f32>,
    /// (samples, features).
    pub inputs: Vec<f32>,
    /// For losses against classes, (samples, rows).
    pub labels: Vec<u16>,
    /// For losses against values, (samples, rows, width): probabilities.
    pub values: Vec<f32>,
    /// For dropout.
    pub noise: NoiseKey,
    /// Number of samples.
    pub samples: usize,
}

/// Why a class has no one digest here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BitsError {
    /// The engine does not run, or no path of the class is there.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// Two paths of the class give different bits.
    #[error("paths {0:?} and {1:?} give different bits")]
    Differ(Path, Path),
}

impl Case {
    /// The model with parameters, inputs and targets that follow from `seed`.
    pub fn new(model: &ModelSpec, samples: usize, seed: u64) -> Self {
        let graph = Arc::new(build(model));
        let mut random = Random(seed);
        let params = graph.layout.tensors().iter().flat_map(|tensor| {
            let center = f32::from(u8::from(tensor.init == Init::One));
            let values: Vec<f32> = (0..tensor.len)
                .map(|_| center + 0.5 * random.unit())
                .collect();
            values
        });
        let params = params.collect();
        let inputs = (0..samples * graph.input_features()).map(|_| match graph.vocabulary {
            Some(vocabulary) => random.below(vocabulary) as f32,
            None => random.unit(),
        });
        let inputs = inputs.collect();
        let (rows, width) = (samples * graph.label_rows(), graph.classes);
        let label = |_| u16::try_from(random.below(width)).expect("labels have 16 bits");
        let labels = (0..rows).map(label).collect();
        let values = match graph.loss.targets() {
            Wanted::Classes => Vec::new(),
            Wanted::Values => (0..rows)
                .flat_map(|_| random.probabilities(width))
                .collect(),
        };
        let noise = NoiseKey {
            seed,
            version: 3,
            micro_batch: 1,
        };
        Self {
            graph,
            params,
            inputs,
            labels,
            values,
            noise,
            samples,
        }
    }

    /// A random model of up to a few thousand parameters.
    pub fn random(seed: u64) -> Self {
        let (model, samples) = Self::random_model(seed);
        Self::new(&model, samples, seed ^ 1)
    }

    /// The model of [`Self::random`], and its number of samples.
    pub fn random_model(seed: u64) -> (ModelSpec, usize) {
        let mut random = Random(seed);
        let model = random.model();
        (model, 1 + random.below(RANDOM_SAMPLES))
    }

    /// One micro-batch of a run with its initial parameters, the data made up.
    pub fn of_run(run: &Run) -> Self {
        let case = Self::new(&run.model, run.micro_batch as usize, run.seed);
        Self {
            params: initial_params(&case.graph.layout, run.seed),
            ..case
        }
    }

    /// The samples as an engine takes them.
    pub fn batch(&self) -> Batch<'_> {
        Batch {
            inputs: &self.inputs,
            targets: match self.graph.loss.targets() {
                Wanted::Classes => Targets::Classes(&self.labels),
                Wanted::Values => Targets::Values(&self.values),
            },
            noise: Some(self.noise),
        }
    }

    /// The digest that all paths of a class which run here agree on.
    ///
    /// # Errors
    /// Where there is none, or where they don't agree.
    pub fn digest_of_class(&self, class: ArithmeticClass) -> Result<[u8; 32], BitsError> {
        let paths = Path::ALL.into_iter();
        let paths = paths.filter(|path| path.class() == class && path.is_available());
        let mut first = None;
        for path in paths {
            let digest = self.digest(path)?;
            let &mut (known, expected) = first.get_or_insert((path, digest));
            if digest != expected {
                return Err(BitsError::Differ(known, path));
            }
        }
        let (_, digest) = first.ok_or(ComputeError::ClassUnavailable { class })?;
        Ok(digest)
    }

    /// The digest of the gradient on one path: its statistics, its values, and its sums in fixed point with the
    /// largest exponents that fit.
    ///
    /// # Errors
    /// [`ComputeError::ClassUnavailable`] where `path` does not run here.
    pub fn digest(&self, path: Path) -> Result<[u8; 32], ComputeError> {
        let mut engine = Engine::with_path(Arc::clone(&self.graph), path, self.samples)?;
        engine.set_params(&self.params)?;
        let stats = engine.gradient(self.batch())?;
        let gradient = engine.gradient_buffer();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&stats.samples.to_le_bytes());
        hasher.update(&stats.loss_q20.to_le_bytes());
        hasher.update(&stats.correct.to_le_bytes());
        // All at once: byte by byte the hash would take longer than the gradient, where code runs for the first time.
        hasher.update(bytemuck::cast_slice(&ordered(gradient, f32::to_bits)));
        let sums = fixed_point_sums(&self.graph, gradient);
        hasher.update(bytemuck::cast_slice(&ordered(&sums, i32::cast_unsigned)));
        Ok(*hasher.finalize().as_bytes())
    }
}

/// Words whose bytes in memory are little-endian.
fn ordered<T: Copy>(values: &[T], bits: impl Fn(T) -> u32) -> Vec<u32> {
    values.iter().map(|&value| bits(value).to_le()).collect()
}

/// The gradient added a few times, with the largest exponents that fit.
fn fixed_point_sums(graph: &Graph, gradient: &[f32]) -> Vec<i32> {
    let exponents: Vec<i8> = graph
        .layout
        .tensors()
        .iter()
        .map(|tensor| largest_magnitude(&gradient[tensor.range()]))
        .map(|largest| fitting_exponent(largest.expect("the engine gives finite gradients only")))
        .collect();
    let mut accumulator = LeaseAccumulator::new(&graph.layout);
    for _ in 0..ADDED {
        accumulator
            .add(gradient, &exponents)
            .expect("the exponents were chosen to fit");
    }
    accumulator.sums().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_model::digest::Digest;

    /// As many as the browser is asked for, see `tests/src/bin/gradient-digests.rs`.
    const RANDOM_GRAPHS: u64 = 150;
    const RUNS: [&str; 3] = [
        include_str!("../../../../runs/mnist-mlp.toml"),
        include_str!("../../../../runs/mnist-cnn.toml"),
        include_str!("../../../../runs/char-gpt.toml"),
    ];

    /// One digest of many cases, on every path of the class in turn.
    fn digest(cases: impl Iterator<Item = Case>, class: ArithmeticClass) -> String {
        let mut hasher = blake3::Hasher::new();
        for (idx, case) in cases.enumerate() {
            let digest = case.digest_of_class(class);
            hasher.update(&digest.unwrap_or_else(|error| panic!("case {idx}: {error}")));
        }
        Digest(*hasher.finalize().as_bytes()).to_string()
    }

    /// The same digests on every machine that runs these tests: in tests each has both classes.
    fn check<I: Iterator<Item = Case>>(cases: impl Fn() -> I, expected: [&str; 2]) {
        let classes = [ArithmeticClass::Portable, ArithmeticClass::Fused];
        let got = classes.map(|class| digest(cases(), class));
        assert_eq!(got, expected);
    }

    #[test]
    fn random_graphs_have_the_same_bits_on_every_path() {
        let expected = [
            "498f7dda64f0a97dcc1dc2c7ea9a823b9a3da6e8731a485e7329aba9c8067170",
            "0763725110f25524debf07d9ec387ea8d31b86431dbb8a977109e3a49057a271",
        ];
        check(|| (0..RANDOM_GRAPHS).map(Case::random), expected);
    }

    #[test]
    fn the_works_have_the_same_bits_on_every_path() {
        let case = |text| Case::of_run(&Run::from_toml(text).unwrap());
        let expected = [
            "4d1904250ed9db3cb4e67ee5d3f4b822155ade2aa5c03013fa37966f42f1126b",
            "05cd39ebe585f05974db6bc964d5937d545c894001e06894d9bd40c48d9c6948",
        ];
        check(|| RUNS.into_iter().map(case), expected);
    }

    #[test]
    fn one_bit_more_or_less_shows() {
        let case = Case::random(1);
        let mut other = case.clone();
        other.inputs[0] = f32::from_bits(other.inputs[0].to_bits() ^ 1);
        assert_ne!(case.digest(Path::Generic), other.digest(Path::Generic));
    }

    #[test]
    fn a_class_without_paths_has_no_digest() {
        let unavailable = Path::ALL.into_iter().find(|path| !path.is_available());
        let path = unavailable.expect("no machine has all paths");
        let class = path.class();
        let error = ComputeError::ClassUnavailable { class };
        assert_eq!(Case::random(1).digest(path), Err(error));
    }
}

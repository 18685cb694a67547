//! What is trained, cut so that a worker of mean speed has the same to do whatever their number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tabswarm_tests::MNIST_PERCEPTRON;

/// Name of the run.
pub(crate) const RUN_NAME: &str = "load";
/// Training images of MNIST.
const SAMPLES: f64 = 60_000.0;
/// Samples of a worker of mean speed in a step of a sync run: a thousand of them share the training set.
const SAMPLES_OF_STEP: f64 = 60.0;
/// Samples of a batch in async and local runs.
const BATCH: u32 = 32;
/// Batches of a shard.
const INNER_STEPS: u32 = 2;
/// Most shards that a run file may have.
const MAX_SHARDS: f64 = 1_024.0;

/// How versions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Sync,
    Async,
    Local,
}

impl Mode {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Sync, Self::Async, Self::Local];
        all.into_iter().find(|mode| mode.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Local => "local",
        }
    }
}

/// Speeds of the workers in samples a second, evenly spread on a logarithmic scale; their mean follows from the
/// mode and `step_s`, the seconds of a step.
pub(crate) fn speeds(mode: Mode, workers: usize, spread: f64, step_s: f64) -> Vec<f64> {
    let mut chance = ChaCha8Rng::seed_from_u64(1);
    let mut speeds: Vec<f64> = (0..workers)
        .map(|idx| {
            let place = (idx as f64 + 0.5) / workers as f64;
            spread.powf(place)
        })
        .collect();
    // Who comes first is no matter of speed.
    for idx in (1..workers).rev() {
        let other = usize::try_from(chance.next_u32()).unwrap_or(0) % (idx + 1);
        speeds.swap(idx, other);
    }
    let mean_wanted = match mode {
        Mode::Sync => SAMPLES_OF_STEP / step_s,
        Mode::Async => f64::from(BATCH) / (0.4 * step_s),
        Mode::Local => f64::from(BATCH * INNER_STEPS) / (0.4 * step_s),
    };
    let mean = speeds.iter().sum::<f64>() / workers as f64;
    speeds
        .iter()
        .map(|speed| speed * mean_wanted / mean)
        .collect()
}

/// The run file for workers of these speeds.
pub(crate) fn run_file(mode: Mode, speeds: &[f64], step_s: f64, lease_s: f64) -> String {
    let sum: f64 = speeds.iter().sum();
    let slowest = speeds.iter().copied().fold(f64::MAX, f64::min);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded just before"
    )]
    let whole = |value: f64, most: f64| value.round().clamp(1.0, most) as u32;
    let (micro_batch, global_batch) = match mode {
        Mode::Sync => (1, whole(sum * step_s, SAMPLES)),
        Mode::Async | Mode::Local => (BATCH, BATCH),
    };
    let sync = match mode {
        Mode::Sync => String::new(),
        Mode::Async => "staleness_max = 10000".to_owned(),
        Mode::Local => {
            // The slowest has one to do.
            let shards = whole(sum / slowest, MAX_SHARDS);
            format!("inner_steps = {INNER_STEPS}\nshards = {shards}")
        }
    };
    let (word, lease_target_ms) = (mode.word(), whole(lease_s * 1e3, 600_000.0).max(10));
    let reproducible = mode == Mode::Sync;
    format!(
        r#"
name = "{RUN_NAME}"
seed = 1
{MNIST_PERCEPTRON}
[train]
epochs = 10000
micro_batch = {micro_batch}
global_batch = {global_batch}
[optimizer]
kind = "adam"
learning_rate = 0.00001
[sync]
mode = "{word}"
lease_target_ms = {lease_target_ms}
{sync}
[numeric]
reproducible = {reproducible}
[evaluation]
every_steps = 1000000
[snapshot]
every_steps = 1000000
"#
    )
}

//! `[sync]`: how versions are made.

use super::Check;
use crate::fixed_point::MAX_LEASE_MICRO_BATCHES;
use crate::optim::OptimizerSpec;
use crate::run_file::raw::{RawMode, RawRun, RawSync};
use crate::run_file::{LocalMode, Mode};

/// Rounds as the `DiLoCo` paper has them, for the sizes of runs that volunteers can do.
const DEFAULT_INNER_STEPS: u32 = 30;
const DEFAULT_SHARDS: u32 = 4;
const DEFAULT_STALENESS: u32 = 8;
const DEFAULT_ROUND_TIMEOUT_MS: u32 = 60_000;
const OUTER_LEARNING_RATE: f32 = 0.7;
const OUTER_MOMENTUM: f32 = 0.9;
/// Most shards of a round: each is a vector of the model's size at the server for a moment.
const MAX_SHARDS: u32 = 1_024;

impl Check {
    pub(super) fn mode(&mut self, raw: &RawRun) -> Mode {
        let sync = &raw.sync;
        self.keys_of_mode(sync);
        match sync.mode {
            RawMode::Sync => Mode::Sync,
            RawMode::Async => self.asynchronous(raw),
            RawMode::Local => self.local(raw),
        }
    }

    /// A key of another mode is a misunderstanding, not a default.
    fn keys_of_mode(&mut self, sync: &RawSync) {
        let keys = [
            (
                "staleness_max",
                sync.staleness_max.is_some(),
                RawMode::Async,
            ),
            ("inner_steps", sync.inner_steps.is_some(), RawMode::Local),
            ("shards", sync.shards.is_some(), RawMode::Local),
            ("quorum", sync.quorum.is_some(), RawMode::Local),
            (
                "round_timeout_ms",
                sync.round_timeout_ms.is_some(),
                RawMode::Local,
            ),
            ("outer", sync.outer.is_some(), RawMode::Local),
        ];
        for (key, is_given, mode) in keys {
            let problem = "it means nothing in this mode".to_owned();
            let remedy = match mode {
                RawMode::Async => "leave it out, or write mode = \"async\"",
                _ => "leave it out, or write mode = \"local\"",
            };
            let place = format!("sync.{key}");
            self.require(!is_given || sync.mode == mode, &place, problem, remedy);
        }
    }

    fn asynchronous(&mut self, raw: &RawRun) -> Mode {
        let problem =
            "gradients are applied as they arrive, so the run would not be reproducible".to_owned();
        let remedy = "write reproducible = false under [numeric], or mode = \"sync\"";
        self.require(!raw.numeric.reproducible, "sync.mode", problem, remedy);
        let micro_batches = raw.train.global_batch / raw.train.micro_batch.max(1);
        let problem = format!(
            "a batch of {micro_batches} micro-batches is more than the {MAX_LEASE_MICRO_BATCHES} of a lease"
        );
        let remedy = "lower train.global_batch or raise train.micro_batch";
        let holds = micro_batches <= MAX_LEASE_MICRO_BATCHES;
        self.require(holds, "train.global_batch", problem, remedy);
        let staleness_max = raw.sync.staleness_max.unwrap_or(DEFAULT_STALENESS);
        self.within("sync.staleness_max", staleness_max.into(), 0, 10_000);
        Mode::Async { staleness_max }
    }

    fn local(&mut self, raw: &RawRun) -> Mode {
        let sync = &raw.sync;
        let inner_steps = sync.inner_steps.unwrap_or(DEFAULT_INNER_STEPS);
        self.within("sync.inner_steps", inner_steps.into(), 1, 10_000);
        let shards = sync.shards.unwrap_or(DEFAULT_SHARDS);
        self.within("sync.shards", shards.into(), 1, MAX_SHARDS.into());
        let quorum = sync.quorum.unwrap_or(shards);
        self.within("sync.quorum", quorum.into(), 1, shards.max(1).into());
        let problem =
            "which shards make a round would depend on the workers, so the run would not be reproducible"
                .to_owned();
        let remedy = "leave it out, or write reproducible = false under [numeric]";
        let holds = quorum >= shards || !raw.numeric.reproducible;
        self.require(holds, "sync.quorum", problem, remedy);
        let round_timeout_ms = sync.round_timeout_ms.unwrap_or(DEFAULT_ROUND_TIMEOUT_MS);
        self.within(
            "sync.round_timeout_ms",
            round_timeout_ms.into(),
            100,
            86_400_000,
        );
        let outer = match &sync.outer {
            Some(outer) => self.optimizer("sync.outer", outer),
            None => OptimizerSpec::nesterov(OUTER_LEARNING_RATE, OUTER_MOMENTUM, 0.0),
        };
        Mode::Local(LocalMode {
            inner_steps,
            shards,
            quorum,
            round_timeout_ms,
            outer,
        })
    }
}

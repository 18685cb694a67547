//! What a lane does for a lease: gradients of micro-batches, or inner steps of a shard.
//!
//! Both kinds of lane, threads and Web Workers, do their tasks with this, so that they give the same bits.

use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::fixed_point::MAX_LEASE_MICRO_BATCHES;
use tabswarm_model::inner::InnerSteps;
use tabswarm_model::master::Diverged;
use tabswarm_model::noise::NoiseKey;
use thiserror::Error;

use crate::accumulator::AccumulateError;
use crate::batch::BatchStats;
use crate::sums::{Sums, TaskTotals};

/// An engine with the samples of a task, whose micro-batches it computes in the order of the task's parts.
pub trait TaskEngine {
    /// Why it can't compute.
    type Error;

    /// Takes over parameters, flat in layout order.
    ///
    /// # Errors
    /// Where they are of no use.
    fn set_params(&mut self, params: &[f32]) -> Result<(), Self::Error>;

    /// Computes the next micro-batch; the gradient of the sum of its losses is then in [`Self::gradient_buffer`].
    ///
    /// # Errors
    /// Where it can't be computed.
    fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, Self::Error>;

    /// What the last successful [`Self::next_gradient`] left: flat, in layout order.
    fn gradient_buffer(&self) -> &[f32];
}

/// An engine that adds the gradients of micro-batches up where it computes them.
pub trait SummingEngine {
    /// Why it can't compute.
    type Error;

    /// Computes the next micro-batch and keeps its gradient.
    ///
    /// # Errors
    /// Where it can't be computed; nothing is kept then, of earlier ones neither.
    fn add_next(&mut self, noise: NoiseKey) -> Result<(), Self::Error>;

    /// Adds all that is kept to `sums`, and keeps nothing.
    ///
    /// # Errors
    /// Where it can't be had; nothing is added and nothing kept then.
    fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, Self::Error>;
}

/// Adds the gradients of all micro-batches of a task to floating-point sums, reading them back as rarely as may be.
///
/// # Errors
/// The engine's; the sums then mean nothing.
pub fn sum_gradients<E: SummingEngine>(
    engine: &mut E,
    seed: u64,
    parts: &[TaskPart],
    sums: &mut [f32],
) -> Result<BatchStats, E::Error> {
    let mut stats = BatchStats::default();
    let mut kept = 0;
    for noise in parts.iter().flat_map(|part| noise_keys(seed, *part)) {
        if kept == MAX_LEASE_MICRO_BATCHES {
            stats += engine.finish(sums)?;
            kept = 0;
        }
        engine.add_next(noise)?;
        kept += 1;
    }
    stats += engine.finish(sums)?;
    Ok(stats)
}

/// Consecutive micro-batches of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskPart {
    /// Index of the batch.
    pub batch: u64,
    /// Index within the batch of the first micro-batch.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What the parts of a task are where they are inner steps of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct InnerWork {
    /// Tells the shard from others that the lane did before.
    pub lease_id: u64,
    /// Index of the first inner step; with 0 the shard begins.
    pub first: u32,
    /// Whether the shard is done after this task, so that what it moved counts.
    pub is_last: bool,
    /// The schedule's factor of the learning rate, one for each part.
    pub rate_factors: Vec<f64>,
}

/// Why a task gave nothing.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TaskError<E> {
    /// The engine's fault.
    #[error("{0}")]
    Engine(E),
    /// The gradients can't be added up.
    #[error("the gradients could not be added: {0}")]
    Accumulate(AccumulateError),
    /// Values do not fit their exponents; per tensor the largest exponent that fits.
    #[error("values do not fit their exponents")]
    Overflow(Vec<i8>),
    /// An inner step led to parameters that are no numbers.
    #[error("the inner steps diverge ({0}); a lower learning rate may help")]
    Diverged(Diverged),
    /// The inner steps before these were done elsewhere, or by an engine that is gone.
    #[error("the shard was not begun on this lane")]
    ShardUnknown,
    /// There is not one factor of the learning rate for each part.
    #[error("a task of {parts} inner steps came with {factors} learning rates")]
    RateFactors {
        /// Inner steps.
        parts: usize,
        /// Factors.
        factors: usize,
    },
}

/// The shard that a lane is at.
#[derive(Debug, Default)]
pub struct OpenShard {
    open: Option<(u64, InnerSteps)>,
}

impl OpenShard {
    /// The shard whose inner steps up to `first` are done.
    fn resume<E>(
        &mut self,
        run: &Run,
        start: &Arc<[f32]>,
        work: &InnerWork,
    ) -> Result<&mut InnerSteps, TaskError<E>> {
        if work.first == 0 {
            self.open = Some((work.lease_id, InnerSteps::new(run, Arc::clone(start))));
        }
        match &mut self.open {
            Some((lease_id, steps)) if *lease_id == work.lease_id && steps.done() == work.first => {
                Ok(steps)
            }
            _ => Err(TaskError::ShardUnknown),
        }
    }
}

/// Adds the gradients of all micro-batches of a task to its sums.
///
/// # Errors
/// See [`TaskError`]; the sums then mean nothing.
pub fn add_gradients<E: TaskEngine>(
    engine: &mut E,
    seed: u64,
    parts: &[TaskPart],
    exponents: &[i8],
    sums: &mut Sums,
) -> Result<BatchStats, TaskError<E::Error>> {
    let mut totals = TaskTotals::default();
    for noise in parts.iter().flat_map(|part| noise_keys(seed, *part)) {
        let stats = engine.next_gradient(noise).map_err(TaskError::Engine)?;
        let gradient = (stats, engine.gradient_buffer());
        let added = totals.add(sums, gradient, exponents);
        added.map_err(TaskError::Accumulate)?;
    }
    totals.finish().map_err(TaskError::Overflow)
}

/// Does a task's inner steps, one for each part, from where the lane's shard is; after the last one what the shard
/// moved is added to the sums.
///
/// A shard begins at `start`. The engine is left with other parameters than it had.
///
/// # Errors
/// See [`TaskError`]; the shard has to begin again then, and the sums mean nothing.
pub fn do_inner_steps<E: TaskEngine>(
    engine: &mut E,
    (run, start): (&Run, &Arc<[f32]>),
    (parts, work): (&[TaskPart], &InnerWork),
    shard: &mut OpenShard,
    exponents: &[i8],
    sums: &mut Sums,
) -> Result<BatchStats, TaskError<E::Error>> {
    let (n_parts, n_factors) = (parts.len(), work.rate_factors.len());
    if n_parts != n_factors {
        return Err(TaskError::RateFactors {
            parts: n_parts,
            factors: n_factors,
        });
    }
    let done = inner_steps(engine, (run, start), (parts, work), shard);
    let ended = match &done {
        Ok(_) if !work.is_last => None,
        // Whatever comes next begins anew.
        _ => shard.open.take(),
    };
    let mut totals = TaskTotals::default();
    totals.count(done?);
    if let Some((_, steps)) = ended {
        let moved = totals.sum(sums, &steps.moved(), exponents);
        moved.map_err(TaskError::Accumulate)?;
    }
    totals.finish().map_err(TaskError::Overflow)
}

fn inner_steps<E: TaskEngine>(
    engine: &mut E,
    (run, start): (&Run, &Arc<[f32]>),
    (parts, work): (&[TaskPart], &InnerWork),
    shard: &mut OpenShard,
) -> Result<BatchStats, TaskError<E::Error>> {
    let steps = shard.resume(run, start, work)?;
    let mut all = BatchStats::default();
    for (part, rate_factor) in parts.iter().zip(&work.rate_factors) {
        engine
            .set_params(steps.params())
            .map_err(TaskError::Engine)?;
        let mut samples = 0;
        for noise in noise_keys(run.seed, *part) {
            let stats = engine.next_gradient(noise).map_err(TaskError::Engine)?;
            steps.add(engine.gradient_buffer());
            samples += stats.samples;
            all += stats;
        }
        let stepped = steps.step(samples, *rate_factor);
        stepped.map_err(TaskError::Diverged)?;
    }
    Ok(all)
}

fn noise_keys(seed: u64, part: TaskPart) -> impl Iterator<Item = NoiseKey> {
    let micro_batches = part.first..part.first + part.count;
    micro_batches.map(move |micro_batch| NoiseKey {
        seed,
        version: part.batch,
        micro_batch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD_BATCH: u64 = 99;
    /// A power of two that leaves room: sums are exact.
    const EXPONENTS: [i8; 2] = [10, 10];

    /// Its gradient is twice the parameters for each micro-batch of two samples, so that the mean is the parameters; it notes what it was asked for.
    #[derive(Debug, Default)]
    struct Slope {
        params: Vec<f32>,
        gradient: Vec<f32>,
        asked: Vec<(u64, u32)>,
    }

    impl TaskEngine for Slope {
        type Error = &'static str;

        fn set_params(&mut self, params: &[f32]) -> Result<(), Self::Error> {
            self.params = params.to_vec();
            Ok(())
        }

        fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, Self::Error> {
            if noise.version == BAD_BATCH {
                return Err("no samples");
            }
            self.asked.push((noise.version, noise.micro_batch));
            self.gradient = self.params.iter().map(|p| p * 2.0).collect();
            Ok(BatchStats {
                samples: 2,
                loss_q20: 3,
                correct: 1,
            })
        }

        fn gradient_buffer(&self) -> &[f32] {
            &self.gradient
        }
    }

    /// Keeps the numbers of micro-batches; notes how many came at once.
    #[derive(Debug, Default)]
    struct Counting {
        kept: Vec<u32>,
        finished: Vec<usize>,
    }

    impl SummingEngine for Counting {
        type Error = &'static str;

        fn add_next(&mut self, noise: NoiseKey) -> Result<(), Self::Error> {
            if noise.version == BAD_BATCH {
                return Err("no samples");
            }
            self.kept.push(noise.micro_batch);
            Ok(())
        }

        fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, Self::Error> {
            self.finished.push(self.kept.len());
            let mut stats = BatchStats::default();
            for micro_batch in self.kept.drain(..) {
                sums[0] += micro_batch as f32;
                stats.samples += 2;
            }
            Ok(stats)
        }
    }

    #[test]
    fn sums_are_read_back_as_rarely_as_may_be() {
        let mut engine = Counting::default();
        let mut sums = [1.0];
        let parts = [part(0, 0, 60), part(1, 3, 10)];
        let stats = sum_gradients(&mut engine, 7, &parts, &mut sums).unwrap();
        assert_eq!(stats.samples, 140);
        assert_eq!(engine.finished, [64, 6]);
        let expected: u32 = 1 + (0..60).sum::<u32>() + (3..13).sum::<u32>();
        assert!((sums[0] - expected as f32).abs() < 0.5);
        let bad = [part(0, 0, 1), part(BAD_BATCH, 0, 1)];
        assert_eq!(
            sum_gradients(&mut engine, 7, &bad, &mut sums),
            Err("no samples")
        );
    }

    fn run(codec: &str) -> Run {
        let run = format!(
            r#"
name = "task"
seed = 7
data = {{ format = "idx", path = "d" }}
model = {{ input = [1], layers = [{{ kind = "dense", units = 2 }}], loss = "mse" }}
train = {{ epochs = 1, micro_batch = 2, global_batch = 4 }}
optimizer = {{ kind = "sgd", learning_rate = 0.5 }}
sync = {{ mode = "local", inner_steps = 3, shards = 2 }}
numeric = {{ reproducible = false, codec = "{codec}" }}
"#
        );
        Run::from_toml(&run).unwrap()
    }

    fn part(batch: u64, first: u32, count: u32) -> TaskPart {
        TaskPart {
            batch,
            first,
            count,
        }
    }

    /// A shard of three inner steps that halves the parameters with each, from `first` on.
    fn work(first: u32, count: u32) -> (Vec<TaskPart>, InnerWork) {
        let parts = (first..first + count).map(|step| part(u64::from(step), 0, 2));
        let work = InnerWork {
            lease_id: 5,
            first,
            is_last: first + count == 3,
            rate_factors: vec![1.0; count as usize],
        };
        (parts.collect(), work)
    }

    struct Bench {
        run: Run,
        start: Arc<[f32]>,
        engine: Slope,
        shard: OpenShard,
    }

    impl Bench {
        fn new(codec: &str) -> Self {
            Self {
                run: run(codec),
                start: vec![8.0, -4.0, 2.0, 0.0].into(),
                engine: Slope::default(),
                shard: OpenShard::default(),
            }
        }

        fn steps(
            &mut self,
            (parts, work): &(Vec<TaskPart>, InnerWork),
            exponents: &[i8],
        ) -> Result<(BatchStats, Sums), TaskError<&'static str>> {
            let mut sums = Sums::new(self.run.codec, &self.run.graph().layout);
            let stats = do_inner_steps(
                &mut self.engine,
                (&self.run, &self.start),
                (parts, work),
                &mut self.shard,
                exponents,
                &mut sums,
            )?;
            Ok((stats, sums))
        }
    }

    fn values(sums: &Sums) -> Vec<f32> {
        match sums {
            Sums::Exact(sums) => sums.sums().iter().map(|&s| s as f32 / 1024.0).collect(),
            Sums::F32(sums) => sums.clone(),
        }
    }

    #[test]
    fn a_shard_gives_what_it_moved_however_it_is_divided() {
        // 8 -> 4 -> 2 -> 1, and the same for the others.
        let moved = [7.0, -3.5, 1.75, 0.0];
        for codec in ["exact", "f32"] {
            for tasks in [
                vec![(0, 3)],
                vec![(0, 1), (1, 2)],
                vec![(0, 1), (1, 1), (2, 1)],
            ] {
                let mut bench = Bench::new(codec);
                let mut samples = 0;
                let mut last = Vec::new();
                for (first, count) in tasks {
                    let (stats, sums) = bench.steps(&work(first, count), &EXPONENTS).unwrap();
                    assert!(
                        last.iter().all(|&value| value == 0.0),
                        "only the last counts"
                    );
                    last = values(&sums);
                    samples += stats.samples;
                }
                assert_eq!((samples, last), (12, moved.to_vec()));
                let asked: Vec<(u64, u32)> = (0..3).flat_map(|b| [(b, 0), (b, 1)]).collect();
                assert_eq!(bench.engine.asked, asked);
            }
        }
    }

    #[test]
    fn a_shard_goes_on_where_it_was_and_nowhere_else() {
        let mut bench = Bench::new("f32");
        let unknown = bench.steps(&work(1, 1), &[]).unwrap_err();
        assert_eq!(unknown, TaskError::ShardUnknown);
        bench.steps(&work(0, 1), &[]).unwrap();
        assert_eq!(bench.steps(&work(2, 1), &[]).unwrap_err(), unknown);
        bench.steps(&work(0, 1), &[]).unwrap();
        let (parts, other) = work(1, 1);
        let other = InnerWork {
            lease_id: 6,
            ..other
        };
        assert_eq!(bench.steps(&(parts, other), &[]).unwrap_err(), unknown);
        // Once more from the beginning.
        let (_, sums) = bench.steps(&work(0, 3), &[]).unwrap();
        assert_eq!(values(&sums), [7.0, -3.5, 1.75, 0.0]);
        assert_eq!(bench.steps(&work(1, 1), &[]).unwrap_err(), unknown);
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let mut bench = Bench::new("exact");
        let overflow = bench.steps(&work(0, 3), &[23, 23]).unwrap_err();
        let TaskError::Overflow(fits) = overflow else {
            panic!("{overflow}");
        };
        assert!(bench.steps(&work(0, 3), &fits).is_ok());
        let (parts, mut few) = work(0, 2);
        few.rate_factors.pop();
        let few = bench.steps(&(parts, few), &EXPONENTS).unwrap_err();
        assert!(matches!(
            few,
            TaskError::RateFactors {
                parts: 2,
                factors: 1
            }
        ));
        let (mut parts, inner) = work(0, 2);
        parts[1].batch = BAD_BATCH;
        let bad = bench.steps(&(parts, inner), &EXPONENTS).unwrap_err();
        assert_eq!(bad, TaskError::Engine("no samples"));
        let (parts, mut steep) = work(0, 3);
        steep.rate_factors = vec![1e30; 3];
        let steep = bench.steps(&(parts, steep), &EXPONENTS).unwrap_err();
        assert!(steep.to_string().starts_with("the inner steps diverge"));
    }

    #[test]
    fn gradients_of_some_micro_batches_add_up() {
        let mut engine = Slope {
            params: vec![1.0, -2.0, 0.5, 0.0],
            ..Slope::default()
        };
        let run = run("exact");
        let mut sums = Sums::new(run.codec, &run.graph().layout);
        let parts = [part(3, 1, 2)];
        let stats = add_gradients(&mut engine, run.seed, &parts, &EXPONENTS, &mut sums).unwrap();
        assert_eq!((stats.samples, stats.loss_q20, stats.correct), (4, 6, 2));
        assert_eq!(values(&sums), [4.0, -8.0, 2.0, 0.0]);
        assert_eq!(engine.asked, [(3, 1), (3, 2)]);
    }
}

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
    for noise in noise_keys(seed, parts) {
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
    for noise in noise_keys(seed, parts) {
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
        for noise in noise_keys(run.seed, std::slice::from_ref(part)) {
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

/// What the dropout of each micro-batch of a task depends on, in order.
pub fn noise_keys(seed: u64, parts: &[TaskPart]) -> impl Iterator<Item = NoiseKey> + use<'_> {
    parts.iter().flat_map(move |part| {
        let micro_batches = part.first..part.first + part.count;
        micro_batches.map(move |micro_batch| NoiseKey {
            seed,
            version: part.batch,
            micro_batch,
        })
    })
}

#[cfg(test)]
mod tests;

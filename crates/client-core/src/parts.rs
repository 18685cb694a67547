//! What samples a lease is about.

use tabswarm_model::batches::StepShape;
use tabswarm_model::fixed_point::MAX_LEASE_MICRO_BATCHES;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_protocol::ParamVersion;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::server::LeaseKind;
use thiserror::Error;

/// Micro-batches of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the batch, which its noise follows from.
    pub batch: u64,
    /// The batch.
    pub step: StepShape,
    /// Which of its micro-batches.
    pub range: MicroBatchRange,
}

/// A lease that the run does not have: the server is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImpossibleLease {
    /// A batch behind the last one.
    #[error("the server leased batch {} of {batches}", batch + 1)]
    Batch {
        /// Its index.
        batch: u64,
        /// Batches of the run.
        batches: u64,
    },
    /// Micro-batches that the batch does not have, or none.
    #[error("the server leased micro-batches that the batch does not have")]
    MicroBatches,
    /// More than fit the sums.
    #[error("the server leased more than {MAX_LEASE_MICRO_BATCHES} micro-batches at once")]
    TooMany,
    /// A shard that the round does not have.
    #[error("the server leased a shard that the round does not have")]
    Shard,
}

/// The samples of a lease, part by part: micro-batches of one batch, or the batches of a shard in their order.
///
/// # Errors
/// See [`ImpossibleLease`].
pub fn lease_parts(
    plan: &RoundPlan,
    version: ParamVersion,
    batch: u64,
    range: MicroBatchRange,
    kind: LeaseKind,
) -> Result<Vec<Part>, ImpossibleLease> {
    match kind {
        LeaseKind::Step | LeaseKind::Batch => {
            let batches = plan.batches().steps_total();
            if batch >= batches {
                return Err(ImpossibleLease::Batch { batch, batches });
            }
            let step = plan.batches().step(batch);
            let end = range.first.checked_add(range.count);
            if range.count == 0 || end.is_none_or(|end| end > step.micro_batches) {
                return Err(ImpossibleLease::MicroBatches);
            }
            if range.count > MAX_LEASE_MICRO_BATCHES {
                return Err(ImpossibleLease::TooMany);
            }
            Ok(vec![Part { batch, step, range }])
        }
        LeaseKind::Shard { inner_steps } => {
            let batches = plan.shard(version.0, range.first);
            let count = batches.end - batches.start;
            if range.count != 1 || count == 0 || count != u64::from(inner_steps) {
                return Err(ImpossibleLease::Shard);
            }
            let part = |batch| {
                let step = plan.batches().step(batch);
                let range = MicroBatchRange {
                    first: 0,
                    count: step.micro_batches,
                };
                Part { batch, step, range }
            };
            Ok(batches.map(part).collect())
        }
    }
}

//! What samples a lease is about: what a server says is not taken for granted.

use thiserror::Error;

use crate::batches::StepShape;
use crate::fixed_point::MAX_LEASE_MICRO_BATCHES;
use crate::rounds::RoundPlan;

/// Micro-batches of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Index of the batch, which its noise follows from.
    pub batch: u64,
    /// The batch.
    pub step: StepShape,
    /// Index within the batch of the first micro-batch.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What a server leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// Version of its parameters.
    pub version: u64,
    /// The batch of its micro-batches; not used for a shard.
    pub batch: u64,
    /// First micro-batch, or the shard's number within the round.
    pub first: u32,
    /// Micro-batches; one for a shard.
    pub count: u32,
    /// Inner steps of a shard; none for micro-batches.
    pub inner_steps: Option<u32>,
}

/// Why a lease is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// The run has no such batch.
    #[error("the server leased batch {batch} of a run of {batches}")]
    Batch {
        /// Its index.
        batch: u64,
        /// Batches of the run.
        batches: u64,
    },
    /// The batch has no such micro-batches.
    #[error(
        "the server leased {count} micro-batches from {first} of a batch that has {micro_batches}"
    )]
    MicroBatches {
        /// Index of the first.
        first: u32,
        /// How many.
        count: u32,
        /// Micro-batches of the batch.
        micro_batches: u32,
    },
    /// Their sums could overflow.
    #[error(
        "the server leased {count} micro-batches at once, at most {MAX_LEASE_MICRO_BATCHES} can be summed"
    )]
    TooMany {
        /// How many.
        count: u32,
    },
    /// The round has no such shard.
    #[error(
        "the server leased shard {shard} with {inner_steps} steps; the round has {units} shards, and this one {expected} steps"
    )]
    Shard {
        /// Its number within the round.
        shard: u32,
        /// Steps that it is said to have.
        inner_steps: u32,
        /// Shards of the round.
        units: u32,
        /// Steps that it has; none if there is no such shard.
        expected: u64,
    },
    /// The run is of another mode.
    #[error("the server leased what a run of this mode does not have")]
    Mode,
}

/// The samples of some pieces of a lease: of its micro-batches, or of its inner steps where it is a shard.
///
/// `parts` are the lease's; pieces that it does not have are left out.
pub fn pieces(parts: &[Part], is_shard: bool, first: u32, count: u32) -> Vec<Part> {
    if is_shard {
        let steps = parts.iter().skip(first as usize);
        return steps.take(count as usize).copied().collect();
    }
    let piece = |part: &Part| Part {
        first,
        count,
        ..*part
    };
    parts.first().map(piece).into_iter().collect()
}

impl RoundPlan {
    /// The samples of a lease, part by part: micro-batches of one batch, or the batches of a shard in their
    /// order.
    ///
    /// # Errors
    /// [`LeaseError`] where the run has no such lease.
    pub fn leased(&self, lease: Leased) -> Result<Vec<Part>, LeaseError> {
        if lease.inner_steps.is_some() != self.has_shards() {
            return Err(LeaseError::Mode);
        }
        match lease.inner_steps {
            None => self.micro_batches(lease).map(|part| vec![part]),
            Some(inner_steps) => self.shard_parts(lease, inner_steps),
        }
    }

    fn micro_batches(&self, lease: Leased) -> Result<Part, LeaseError> {
        let Leased {
            batch,
            first,
            count,
            ..
        } = lease;
        let batches = self.batches().steps_total();
        if batch >= batches {
            return Err(LeaseError::Batch { batch, batches });
        }
        let step = self.batches().step(batch);
        let micro_batches = step.micro_batches;
        let fits = |end| end <= micro_batches;
        if !first.checked_add(count).is_some_and(fits) {
            return Err(LeaseError::MicroBatches {
                first,
                count,
                micro_batches,
            });
        }
        if count > MAX_LEASE_MICRO_BATCHES {
            return Err(LeaseError::TooMany { count });
        }
        Ok(Part {
            batch,
            step,
            first,
            count,
        })
    }

    fn shard_parts(&self, lease: Leased, inner_steps: u32) -> Result<Vec<Part>, LeaseError> {
        let is_over = lease.version >= self.versions_total();
        let positions = if is_over {
            0..0
        } else {
            self.shard(lease.version, lease.first)
        };
        let expected = positions.end - positions.start;
        if lease.count != 1 || expected == 0 || expected != u64::from(inner_steps) {
            return Err(LeaseError::Shard {
                shard: lease.first,
                inner_steps,
                units: if is_over {
                    0
                } else {
                    self.units(lease.version)
                },
                expected,
            });
        }
        let part = |position| {
            let batch = self.batch_at(position);
            let step = self.batches().step(batch);
            Part {
                batch,
                step,
                first: 0,
                count: step.micro_batches,
            }
        };
        Ok(positions.map(part).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_file::Run;

    /// Batches of 8, 8 and 4 samples for two epochs, in micro-batches of 2.
    fn plan(sync: &str) -> RoundPlan {
        let run = format!(
            r#"
name = "parts"
seed = 1
data = {{ format = "idx", path = "d" }}
model = {{ input = [2], layers = [{{ kind = "dense", units = 2 }}], loss = "softmax_cross_entropy" }}
train = {{ epochs = 2, micro_batch = 2, global_batch = 8 }}
optimizer = {{ kind = "sgd", learning_rate = 0.5 }}
sync = {{ {sync} }}
"#
        );
        RoundPlan::new(&Run::from_toml(&run).unwrap(), 20)
    }

    fn of_batch(batch: u64, first: u32, count: u32) -> Leased {
        Leased {
            version: batch,
            batch,
            first,
            count,
            inner_steps: None,
        }
    }

    #[test]
    fn impossible_micro_batches_are_refused() {
        let plan = plan(r#"mode = "sync""#);
        let part = |batch, first, count| Part {
            batch,
            step: plan.batches().step(batch),
            first,
            count,
        };
        assert_eq!(plan.leased(of_batch(0, 0, 4)), Ok(vec![part(0, 0, 4)]));
        assert_eq!(plan.leased(of_batch(5, 1, 1)), Ok(vec![part(5, 1, 1)]));
        let no_batch = LeaseError::Batch {
            batch: 6,
            batches: 6,
        };
        assert_eq!(plan.leased(of_batch(6, 0, 1)), Err(no_batch));
        for (batch, first, count, micro_batches) in
            [(0, 1, 4, 4), (0, u32::MAX, 2, 4), (2, 0, 3, 2)]
        {
            let error = LeaseError::MicroBatches {
                first,
                count,
                micro_batches,
            };
            assert_eq!(plan.leased(of_batch(batch, first, count)), Err(error));
        }
        let shard = Leased {
            inner_steps: Some(1),
            ..of_batch(0, 0, 1)
        };
        assert_eq!(plan.leased(shard), Err(LeaseError::Mode));
    }

    #[test]
    fn a_lease_is_not_more_than_can_be_summed() {
        let plan = RoundPlan::synthetic_sync(1_000, 1, 1_000);
        let count = MAX_LEASE_MICRO_BATCHES;
        assert!(plan.leased(of_batch(0, 0, count)).is_ok());
        let count = count + 1;
        let error = LeaseError::TooMany { count };
        assert_eq!(plan.leased(of_batch(0, 0, count)), Err(error));
    }

    #[test]
    fn a_shard_is_its_batches_in_order() {
        let plan = plan(r#"mode = "local", inner_steps = 2, shards = 2"#);
        let shard = |version, first, count, inner_steps| {
            plan.leased(Leased {
                version,
                batch: 0,
                first,
                count,
                inner_steps: Some(inner_steps),
            })
        };
        let batches = |parts: Vec<Part>| -> Vec<(u64, u32)> {
            parts.iter().map(|part| (part.batch, part.count)).collect()
        };
        assert_eq!(shard(0, 1, 1, 2).map(batches), Ok(vec![(2, 2), (3, 4)]));
        assert_eq!(shard(1, 0, 1, 2).map(batches), Ok(vec![(4, 4), (5, 2)]));
        for (version, first, count, inner_steps) in [
            (1, 1, 1, 2),
            (2, 0, 1, 2),
            (u64::MAX, 0, 1, 2),
            (0, 2, 1, 2),
            (0, u32::MAX, 1, 2),
            (0, 0, 2, 2),
            (0, 0, 1, 3),
            (0, 0, 1, 0),
        ] {
            let refused = shard(version, first, count, inner_steps);
            assert!(
                matches!(refused, Err(LeaseError::Shard { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(plan.leased(of_batch(0, 0, 1)), Err(LeaseError::Mode));
    }
}

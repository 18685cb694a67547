//! Summing the gradients of a task's micro-batches, in the form that a run's codec takes.

use tabswarm_model::Layout;
use tabswarm_model::run_file::Codec;

use crate::accumulator::{AccumulateError, LeaseAccumulator};
use crate::batch::BatchStats;

/// Sums of some micro-batches' gradients.
#[derive(Debug)]
pub enum Sums {
    /// Integers: every grouping gives the same bits.
    Exact(LeaseAccumulator),
    /// Floats, flat in layout order: the last bits depend on the order.
    F32(Vec<f32>),
}

impl Sums {
    /// Zero sums for the parameters of `layout`.
    pub fn new(codec: Codec, layout: &Layout) -> Self {
        match codec {
            Codec::Exact => Self::Exact(LeaseAccumulator::new(layout)),
            Codec::F32 => Self::F32(vec![0.0; layout.len()]),
        }
    }

    /// Back to zero.
    pub fn reset(&mut self) {
        match self {
            Self::Exact(accumulator) => accumulator.reset(),
            Self::F32(sums) => sums.fill(0.0),
        }
    }

    /// Adds a micro-batch's gradient; the exponents, one per tensor, are for exact sums.
    ///
    /// # Errors
    /// See [`AccumulateError`]; nothing is added then.
    pub fn add(&mut self, gradient: &[f32], exponents: &[i8]) -> Result<(), AccumulateError> {
        match self {
            Self::Exact(accumulator) => accumulator.add(gradient, exponents),
            Self::F32(sums) => {
                add_f32(sums, gradient);
                Ok(())
            }
        }
    }
}

/// Adds floating-point sums to others.
pub fn add_f32(totals: &mut [f32], more: &[f32]) {
    for (total, value) in totals.iter_mut().zip(more) {
        *total += value;
    }
}

/// Adds exact sums to others of the same lease.
pub fn add_exact(totals: &mut [i32], more: &[i32]) {
    // A lease's bound on micro-batches keeps the totals below 2^30, in whatever grouping.
    for (total, sum) in totals.iter_mut().zip(more) {
        *total += sum;
    }
}

/// What the micro-batches of a task come to beside their sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskTotals {
    stats: BatchStats,
    /// The smallest of the exponents that would have fit, per tensor; none while all fit.
    fits: Option<Vec<i8>>,
}

impl TaskTotals {
    /// Adds a micro-batch. A gradient that does not fit its exponents is noted, not an error: the others are
    /// looked at too, since one report that names everything saves further ones.
    ///
    /// # Errors
    /// Any [`AccumulateError`] but an overflow.
    pub fn add(
        &mut self,
        sums: &mut Sums,
        (stats, gradient): (BatchStats, &[f32]),
        exponents: &[i8],
    ) -> Result<(), AccumulateError> {
        self.count(stats);
        self.sum(sums, gradient, exponents)
    }

    /// Counts samples whose gradients are not added.
    pub(crate) fn count(&mut self, stats: BatchStats) {
        self.stats += stats;
    }

    /// Adds a vector, as [`Self::add`] does.
    pub(crate) fn sum(
        &mut self,
        sums: &mut Sums,
        vector: &[f32],
        exponents: &[i8],
    ) -> Result<(), AccumulateError> {
        match sums.add(vector, exponents) {
            Err(AccumulateError::Overflow { fits }) => {
                self.lower(fits);
                Ok(())
            }
            other => other,
        }
    }

    fn lower(&mut self, mut fits: Vec<i8>) {
        for (fit, known) in fits.iter_mut().zip(self.fits.iter().flatten()) {
            *fit = (*known).min(*fit);
        }
        self.fits = Some(fits);
    }

    /// The statistics of all micro-batches.
    ///
    /// # Errors
    /// Where one did not fit: per tensor the largest exponent that fits them all. The sums then mean nothing.
    pub fn finish(self) -> Result<BatchStats, Vec<i8>> {
        match self.fits {
            None => Ok(self.stats),
            Some(fits) => Err(fits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_model::graph;
    use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

    const STATS: BatchStats = BatchStats {
        samples: 3,
        loss_q20: 5,
        correct: 1,
    };

    fn layout() -> Layout {
        let model = ModelSpec {
            input: vec![1],
            layers: vec![LayerSpec::dense(2)],
            loss: LossSpec::SoftmaxCrossEntropy,
        };
        graph::build(&model).layout
    }

    #[test]
    fn totals_add_up_in_either_codec() {
        for codec in [Codec::Exact, Codec::F32] {
            let mut sums = Sums::new(codec, &layout());
            for round in 0..2 {
                let mut totals = TaskTotals::default();
                for gradient in [[1.0, 2.0, 0.5, -0.5], [0.5; 4]] {
                    totals.add(&mut sums, (STATS, &gradient), &[1, 2]).unwrap();
                }
                let stats = totals.finish().unwrap();
                assert_eq!((stats.samples, stats.loss_q20, stats.correct), (6, 10, 2));
                match &sums {
                    Sums::Exact(sums) => assert_eq!(sums.sums(), [3, 5, 4, 0], "{round}"),
                    Sums::F32(sums) => assert_eq!(sums, &[1.5, 2.5, 1.0, 0.0], "{round}"),
                }
                sums.reset();
            }
        }
    }

    #[test]
    fn overflows_give_the_smallest_exponents_of_all_micro_batches() {
        let mut sums = Sums::new(Codec::Exact, &layout());
        let mut totals = TaskTotals::default();
        let gradients = [[8.0, 1.0, 0.5, 0.5], [1.0, 0.5, 4.0, 2.0], [0.25; 4]];
        for gradient in &gradients {
            totals.add(&mut sums, (STATS, gradient), &[23, 23]).unwrap();
        }
        let fits = totals.finish().unwrap_err();
        // 8 and 4 are the largest values of the two tensors.
        assert_eq!(fits, [21, 22]);
    }

    #[test]
    fn other_mistakes_are_errors() {
        let mut sums = Sums::new(Codec::Exact, &layout());
        let short = TaskTotals::default().add(&mut sums, (STATS, &[1.0]), &[1, 2]);
        assert!(matches!(short, Err(AccumulateError::Length { .. })));
        let infinite = TaskTotals::default().add(&mut sums, (STATS, &[f32::INFINITY; 4]), &[1, 2]);
        assert!(matches!(infinite, Err(AccumulateError::NonFinite { .. })));
    }
}

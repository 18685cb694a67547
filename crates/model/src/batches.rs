//! Which samples a micro-batch holds: a function of the run's seed, the epoch and the index alone.

use crate::dataset::CHUNK_SAMPLES;
use crate::random::Stream;
use crate::run_file::Run;

/// The division of a training set into epochs, steps and micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlan {
    seed: u64,
    samples: u32,
    micro_batch: u32,
    global_batch: u32,
    epochs: u32,
    window_chunks: Option<u32>,
}

/// The micro-batches of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepShape {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Position in the epoch's order of the step's first sample.
    pub first_sample: u32,
    /// Samples of the step; fewer than the global batch at the end of an epoch.
    pub samples: u32,
    /// Micro-batches of the step.
    pub micro_batches: u32,
}

impl BatchPlan {
    /// The plan of a run over `samples` training samples (at least one).
    pub fn new(run: &Run, samples: u32) -> Self {
        Self {
            seed: run.seed,
            samples,
            micro_batch: run.micro_batch,
            global_batch: run.global_batch,
            epochs: run.epochs,
            window_chunks: run.data.shuffle_window.map(|w| w.div_ceil(CHUNK_SAMPLES)),
        }
    }

    #[cfg(test)]
    pub(crate) fn synthetic(
        samples: u32,
        micro_batch: u32,
        global_batch: u32,
        epochs: u32,
    ) -> Self {
        Self {
            seed: 1,
            samples,
            micro_batch,
            global_batch,
            epochs,
            window_chunks: None,
        }
    }

    /// Steps of an epoch; the last one may be smaller.
    pub fn steps_per_epoch(&self) -> u32 {
        self.samples.div_ceil(self.global_batch)
    }

    /// Steps of the whole run.
    pub fn steps_total(&self) -> u64 {
        u64::from(self.steps_per_epoch()) * u64::from(self.epochs)
    }

    /// The shape of step `version` (the step that makes version `version + 1`).
    pub fn step(&self, version: u64) -> StepShape {
        let per_epoch = u64::from(self.steps_per_epoch());
        let narrow = |n: u64| u32::try_from(n).expect("epochs and steps of an epoch are u32");
        let first_sample = narrow(version % per_epoch) * self.global_batch;
        let samples = self.global_batch.min(self.samples - first_sample);
        StepShape {
            epoch: narrow(version / per_epoch),
            first_sample,
            samples,
            micro_batches: samples.div_ceil(self.micro_batch),
        }
    }

    /// Positions in the epoch's order of one micro-batch of a step.
    pub fn positions(&self, step: StepShape, micro_batch_idx: u32) -> std::ops::Range<usize> {
        let start = step.first_sample + micro_batch_idx * self.micro_batch;
        let end = (start + self.micro_batch).min(step.first_sample + step.samples);
        start as usize..end as usize
    }

    /// Samples of `count` micro-batches from `first` of a step.
    pub fn samples_of(&self, step: StepShape, first: u32, count: u32) -> u32 {
        let start = (first * self.micro_batch).min(step.samples);
        let end = (first + count)
            .saturating_mul(self.micro_batch)
            .min(step.samples);
        end - start
    }

    /// The order in which an epoch visits the samples.
    ///
    /// With a shuffle window the order goes window by window: chunks are shuffled, then samples within each
    /// group of chunks. A worker needs a window's chunks only to begin, and every chunk once per epoch.
    pub fn epoch_order(&self, epoch: u32) -> Vec<u32> {
        let Some(window_chunks) = self.window_chunks else {
            let mut order: Vec<u32> = (0..self.samples).collect();
            Stream::new("samples", self.seed, u64::from(epoch)).shuffle(&mut order);
            return order;
        };
        let mut chunks: Vec<u32> = (0..self.samples.div_ceil(CHUNK_SAMPLES)).collect();
        let mut stream = Stream::new("windows", self.seed, u64::from(epoch));
        stream.shuffle(&mut chunks);
        let mut order = Vec::with_capacity(self.samples as usize);
        for window in chunks.chunks(window_chunks.max(1) as usize) {
            let start = order.len();
            for &chunk in window {
                let first = chunk * CHUNK_SAMPLES;
                order.extend(first..(first + CHUNK_SAMPLES).min(self.samples));
            }
            stream.shuffle(&mut order[start..]);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(window_chunks: Option<u32>) -> BatchPlan {
        BatchPlan {
            seed: 1,
            samples: 60_000,
            micro_batch: 32,
            global_batch: 128,
            epochs: 10,
            window_chunks,
        }
    }

    #[test]
    fn steps_of_the_seed_recipe() {
        let plan = plan(None);
        assert_eq!(plan.steps_total(), 4_690);
        let last = plan.step(468);
        assert_eq!((last.epoch, last.first_sample), (0, 59_904));
        assert_eq!((last.samples, last.micro_batches), (96, 3));
        assert_eq!(plan.step(469).epoch, 1);
        assert_eq!(plan.positions(last, 2), 59_968..60_000);
        assert_eq!(plan.samples_of(last, 1, 2), 64);
    }

    #[test]
    fn a_partial_micro_batch_at_the_end() {
        let plan = BatchPlan {
            samples: 70,
            ..plan(None)
        };
        let step = plan.step(0);
        assert_eq!((step.samples, step.micro_batches), (70, 3));
        assert_eq!(plan.positions(step, 2), 64..70);
        assert_eq!(plan.samples_of(step, 0, 3), 70);
        assert_eq!(plan.samples_of(step, 2, 1), 6);
    }

    #[test]
    fn every_epoch_visits_every_sample_once() {
        for window in [None, Some(1), Some(8), Some(1_000)] {
            let mut order = plan(window).epoch_order(3);
            assert_ne!(order, plan(window).epoch_order(4));
            assert_eq!(order, plan(window).epoch_order(3));
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..60_000), "window {window:?}");
        }
    }

    /// `docs/protocol.md` quotes these, for clients in other languages.
    #[test]
    fn documented_orders() {
        let whole = BatchPlan {
            samples: 10,
            ..plan(None)
        };
        assert_eq!(whole.epoch_order(0), [1, 6, 0, 2, 9, 8, 4, 3, 5, 7]);
        assert_eq!(whole.epoch_order(1), [8, 0, 3, 7, 1, 4, 5, 9, 6, 2]);
        let windows = BatchPlan {
            samples: 3_000,
            ..plan(Some(1))
        };
        assert_eq!(windows.epoch_order(0)[..5], [986, 467, 830, 616, 613]);
    }

    #[test]
    fn a_window_needs_its_chunks_only() {
        let order = plan(Some(8)).epoch_order(0);
        let mut chunks: Vec<u32> = order[..8_000].iter().map(|s| s / CHUNK_SAMPLES).collect();
        chunks.sort_unstable();
        chunks.dedup();
        assert!(chunks.len() <= 9, "{chunks:?}");
    }
}

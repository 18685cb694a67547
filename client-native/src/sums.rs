//! The sums of a lease: one set for each task, put together when the task is done.
//!
//! A task that fails half-way has added some of its micro-batches, so it never writes into the lease's sums
//! directly. Where a lease is one task, the usual case for small models, nothing is copied at all.

use std::sync::Arc;

use tabswarm_compute::Sums;
use tabswarm_compute::sums::{add_exact, add_f32};
use tabswarm_model::Graph;
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::codec;

/// Sums that are not in use: they are large, and a lease takes milliseconds.
///
/// They are set to zero when there is time, which is while the server makes the step.
#[derive(Debug)]
pub(crate) struct SumsPool {
    codec: Codec,
    graph: Arc<Graph>,
    zero: Vec<Sums>,
    used: Vec<Sums>,
    max_free: usize,
}

impl SumsPool {
    /// A pool that keeps up to `max_free` sums for later.
    pub(crate) fn new(codec: Codec, graph: Arc<Graph>, max_free: usize) -> Self {
        Self {
            codec,
            graph,
            zero: Vec::new(),
            used: Vec::new(),
            max_free,
        }
    }

    /// Sums that are zero.
    pub(crate) fn take(&mut self) -> Sums {
        self.tidy();
        self.zero
            .pop()
            .unwrap_or_else(|| Sums::new(self.codec, &self.graph.layout))
    }

    pub(crate) fn give_back(&mut self, sums: Sums) {
        if self.zero.len() + self.used.len() < self.max_free {
            self.used.push(sums);
        }
    }

    /// Whether there is something to tidy up.
    pub(crate) fn is_untidy(&self) -> bool {
        !self.used.is_empty()
    }

    /// Sets what came back to zero.
    pub(crate) fn tidy(&mut self) {
        for mut sums in self.used.drain(..) {
            sums.reset();
            self.zero.push(sums);
        }
    }
}

/// The sums of a lease's finished tasks.
#[derive(Debug)]
pub(crate) enum LeaseSums {
    /// No task is finished.
    Empty,
    /// One is.
    One(Sums),
    /// Several, added up.
    Exact(Vec<i32>),
    /// Several, added up.
    F32(Vec<f32>),
}

impl LeaseSums {
    /// Adds a finished task's sums.
    pub(crate) fn add(&mut self, sums: Sums, pool: &mut SumsPool) {
        match (std::mem::replace(self, Self::Empty), sums) {
            (Self::Empty, sums) => *self = Self::One(sums),
            (Self::One(first), sums) => {
                *self = match &first {
                    Sums::Exact(accumulator) => Self::Exact(accumulator.sums().to_vec()),
                    Sums::F32(values) => Self::F32(values.clone()),
                };
                pool.give_back(first);
                self.add(sums, pool);
            }
            (Self::Exact(mut totals), Sums::Exact(accumulator)) => {
                add_exact(&mut totals, accumulator.sums());
                *self = Self::Exact(totals);
                pool.give_back(Sums::Exact(accumulator));
            }
            (Self::F32(mut totals), Sums::F32(values)) => {
                add_f32(&mut totals, &values);
                *self = Self::F32(totals);
                pool.give_back(Sums::F32(values));
            }
            (totals @ (Self::Exact(_) | Self::F32(_)), sums) => {
                unreachable!("a run has one codec: {sums:?} does not go with {totals:?}")
            }
        }
    }

    /// The tensor part of the update; empty where no task is finished.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Empty => Vec::new(),
            Self::One(Sums::Exact(accumulator)) => codec::exact::encode(accumulator.sums()),
            Self::Exact(totals) => codec::exact::encode(totals),
            Self::One(Sums::F32(totals)) | Self::F32(totals) => codec::f32::encode(totals),
        }
    }

    /// Gives the memory back.
    pub(crate) fn recycle(self, pool: &mut SumsPool) {
        if let Self::One(sums) = self {
            pool.give_back(sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_model::graph;
    use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

    fn pool(codec: Codec) -> SumsPool {
        let model = ModelSpec {
            input: vec![1],
            layers: vec![LayerSpec::dense(2)],
            loss: LossSpec::SoftmaxCrossEntropy,
        };
        SumsPool::new(codec, Arc::new(graph::build(&model)), 2)
    }

    fn encoded(codec: Codec, tasks: &[&[[f32; 4]]]) -> Vec<u8> {
        let mut pool = pool(codec);
        let mut lease = LeaseSums::Empty;
        for task in tasks {
            let mut sums = pool.take();
            for gradient in *task {
                sums.add(gradient, &[3, 1]).unwrap();
            }
            lease.add(sums, &mut pool);
        }
        let bytes = lease.encode();
        lease.recycle(&mut pool);
        assert!(pool.is_untidy() && pool.used.len() + pool.zero.len() <= 2);
        assert!(matches!(pool.take(), Sums::Exact(a) if a.sums() == [0; 4]) || codec == Codec::F32);
        bytes
    }

    #[test]
    fn any_division_into_tasks_gives_the_same_bytes() {
        let (a, b, c) = (
            [1.5, -2.0, 0.25, 8.0],
            [0.5, 3.0, -1.0, 2.0],
            [-4.0, 0.0, 0.5, 0.5],
        );
        for codec in [Codec::Exact, Codec::F32] {
            let whole = encoded(codec, &[&[a, b, c]]);
            assert_eq!(encoded(codec, &[&[c], &[a], &[b]]), whole);
            assert_eq!(encoded(codec, &[&[b, c], &[a]]), whole);
        }
        let expected = codec::exact::encode(&[-16, 8, -1, 21]);
        assert_eq!(encoded(Codec::Exact, &[&[a, b], &[c]]), expected);
    }

    #[test]
    fn a_lease_without_a_finished_task_has_no_bytes() {
        assert!(LeaseSums::Empty.encode().is_empty());
    }
}

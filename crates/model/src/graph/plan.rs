//! Where each buffer lives in a lane's memory: buffers that are never needed at once share their place.

use super::{BufferId, Graph, Op};

/// Offsets and sizes are multiples of so many values per sample, so that buffers start on cache lines
/// whatever the number of samples.
const ALIGNMENT: usize = 16;

/// The places of a graph's buffers in one arena.
///
/// The arena of an engine for up to `n` samples has `n · arena_features` values; a buffer's values for `n`
/// samples begin at `n · offset`. The input buffer has no place: it is read where the caller has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Per buffer, where it begins, in values per sample; none for the input.
    pub offsets: Vec<Option<usize>>,
    /// Size of the arena in values per sample.
    pub arena_features: usize,
}

/// When a buffer holds something that is still needed: positions in forward pass, loss, backward pass.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    first: usize,
    last: usize,
}

impl Graph {
    /// Gives each buffer a place.
    ///
    /// Buffers are placed from the largest to the smallest, each at the lowest place that is free during its
    /// whole life. What the backward pass reads stays; gradients and what only flows forward share.
    pub fn plan(&self) -> Plan {
        let lifetimes = self.lifetimes();
        let mut order: Vec<usize> = (0..self.buffers.len()).collect();
        order.sort_by_key(|&idx| (std::cmp::Reverse(self.buffers[idx].features), idx));
        let mut offsets = vec![None; self.buffers.len()];
        let mut placed: Vec<(Lifetime, usize, usize)> = Vec::new();
        let mut arena_features = 0;
        for idx in order {
            let Some(lifetime) = lifetimes[idx].filter(|_| BufferId(idx) != self.input) else {
                continue;
            };
            let size = self.buffers[idx].features.next_multiple_of(ALIGNMENT);
            let start = lowest_free(&placed, lifetime, size);
            let at = placed.partition_point(|&(_, other, _)| other <= start);
            placed.insert(at, (lifetime, start, size));
            offsets[idx] = Some(start);
            arena_features = arena_features.max(start + size);
        }
        Plan {
            offsets,
            arena_features,
        }
    }

    fn lifetimes(&self) -> Vec<Option<Lifetime>> {
        let mut lifetimes = vec![None; self.buffers.len()];
        let mut touch = |id: BufferId, now: usize| {
            let lifetime = lifetimes[id.0].get_or_insert(Lifetime {
                first: now,
                last: now,
            });
            lifetime.last = now;
        };
        for (now, step) in self.forward.iter().enumerate() {
            step.op.visit_buffers(&mut |id, _| touch(id, now));
        }
        let loss = self.forward.len();
        touch(self.loss.prediction, loss);
        touch(self.loss.grad, loss);
        for (now, step) in self.backward.iter().enumerate() {
            step.op
                .visit_buffers(&mut |id, _| touch(id, loss + 1 + now));
        }
        lifetimes
    }

    /// What a lane needs for micro-batches of up to `samples`.
    pub fn memory(&self, samples: usize) -> MemoryEstimate {
        let bytes = |values: usize| values.saturating_mul(size_of::<f32>());
        let steps = || self.forward.iter().chain(&self.backward);
        let scratch = |step: &super::Step| self.scratch(&step.op, samples);
        MemoryEstimate {
            parameters: bytes(self.layout.len().saturating_mul(3)),
            gradients: bytes(self.layout.len().saturating_mul(2)),
            buffers: bytes(self.plan().arena_features.saturating_mul(samples)),
            input: bytes(self.input_features().saturating_mul(samples)),
            scratch: bytes(steps().map(scratch).max().unwrap_or(0)),
        }
    }

    /// Values of an operation's own working memory.
    fn scratch(&self, op: &Op, samples: usize) -> usize {
        match *op {
            // The gradient of the output, packed for the product with the input.
            Op::DenseBackward { grad_output, .. } => {
                self.features(grad_output).saturating_mul(samples)
            }
            Op::Conv2dBackward { shape, .. } => {
                (shape.depth() + shape.output.channels) * shape.output.pixels()
            }
            // Two tiles of scores, and queries, keys, values, their gradients and the output's for one head.
            Op::Attention { shape, .. } | Op::AttentionBackward { shape, .. } => {
                shape.positions * (2 * shape.positions + 8 * shape.head_width)
            }
            _ => 0,
        }
    }
}

fn lowest_free(placed: &[(Lifetime, usize, usize)], lifetime: Lifetime, size: usize) -> usize {
    let mut start = 0;
    for &(other, other_start, other_size) in placed {
        let meets = lifetime.first <= other.last && other.first <= lifetime.last;
        if !meets {
            continue;
        }
        if other_start >= start + size {
            break;
        }
        start = start.max(other_start + other_size);
    }
    start
}

/// Bytes that one lane needs, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The parameters as received, and packed for the products of both passes.
    pub parameters: usize,
    /// The gradient of a micro-batch and the sums of a lease.
    pub gradients: usize,
    /// The arena of the graph's buffers.
    pub buffers: usize,
    /// The samples of a micro-batch.
    pub input: usize,
    /// Working memory of the operations.
    pub scratch: usize,
}

impl MemoryEstimate {
    /// All of it.
    pub fn total(&self) -> usize {
        let parts = [
            self.parameters,
            self.gradients,
            self.buffers,
            self.input,
            self.scratch,
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

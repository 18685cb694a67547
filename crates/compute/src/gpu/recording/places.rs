//! Which device buffer each of a graph's buffers lives in.

use tabswarm_model::Graph;
use tabswarm_model::graph::BufferId;

/// A device buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Slot {
    /// Parameters, flat in layout order.
    Params,
    /// The gradient of the current micro-batch, like the parameters.
    Gradient,
    /// The sum of the lease's gradients, like the parameters.
    Sums,
    /// The samples.
    Input,
    /// What predictions are compared with; class indices are whole numbers.
    Targets,
    /// Per row of a micro-batch the lease's sum of losses and how often it was right.
    Tallies,
    /// Four counts for each micro-batch of the lease: see `accumulate.wgsl`.
    Counts,
    /// One word: see `seal.wgsl`.
    Seal,
    /// What differs from micro-batch to micro-batch: its number within the lease, the lease's nonce, and two words
    /// of noise key for each dropout layer.
    Turn,
    /// Bound where a kernel has no use for a buffer that it could write.
    Void,
    /// Working memory of an operation.
    Scratch(u8),
    /// Buffers of the graph that are never needed at once.
    Shared(usize),
}

/// The device buffers of a graph's buffers.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Per buffer; the input's is [`Slot::Input`].
    slots: Vec<Slot>,
    /// Values per sample of each [`Slot::Shared`].
    pub(crate) features: Vec<usize>,
}

/// Positions in forward pass, loss, backward pass.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    first: usize,
    last: usize,
}

impl Places {
    /// From the largest to the smallest, each buffer gets the first device buffer that is free all its life.
    pub(crate) fn new(graph: &Graph) -> Self {
        let lifetimes = lifetimes(graph);
        let mut order: Vec<usize> = (0..graph.buffers.len()).collect();
        order.sort_by_key(|&idx| (std::cmp::Reverse(graph.buffers[idx].features), idx));
        let mut slots = vec![Slot::Void; graph.buffers.len()];
        let mut tenants: Vec<Vec<Lifetime>> = Vec::new();
        let mut features = Vec::new();
        for idx in order {
            if BufferId(idx) == graph.input {
                slots[idx] = Slot::Input;
                continue;
            }
            let Some(lifetime) = lifetimes[idx] else {
                continue;
            };
            let meets =
                |other: &Lifetime| lifetime.first <= other.last && other.first <= lifetime.last;
            let free = tenants.iter().position(|known| !known.iter().any(meets));
            let place = free.unwrap_or_else(|| {
                tenants.push(Vec::new());
                features.push(graph.buffers[idx].features);
                tenants.len() - 1
            });
            tenants[place].push(lifetime);
            slots[idx] = Slot::Shared(place);
        }
        Self { slots, features }
    }

    pub(crate) fn of(&self, id: BufferId) -> Slot {
        self.slots[id.0]
    }
}

fn lifetimes(graph: &Graph) -> Vec<Option<Lifetime>> {
    let mut lifetimes = vec![None; graph.buffers.len()];
    let mut touch = |id: BufferId, now: usize| {
        let lifetime = lifetimes[id.0].get_or_insert(Lifetime {
            first: now,
            last: now,
        });
        lifetime.last = now;
    };
    for (now, step) in graph.forward.iter().enumerate() {
        step.op.visit_buffers(&mut |id, _| touch(id, now));
    }
    let loss = graph.forward.len();
    touch(graph.loss.prediction, loss);
    touch(graph.loss.grad, loss);
    for (now, step) in graph.backward.iter().enumerate() {
        step.op
            .visit_buffers(&mut |id, _| touch(id, loss + 1 + now));
    }
    lifetimes
}

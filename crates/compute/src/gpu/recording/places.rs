//! Which device buffer each of a graph's buffers lives in.

use tabswarm_model::Graph;
use tabswarm_model::graph::{Access, Activation, BufferId, Op};
use tabswarm_model::run_file::Precision;

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
    /// Counts for each micro-batch of the lease: see `counts.wgsl`.
    Counts,
    /// One word: see `seal.wgsl`.
    Seal,
    /// What differs from micro-batch to micro-batch: its number within the lease, the lease's nonce, the scale of the
    /// loss and one over it, and two words of noise key for each dropout layer.
    Turn,
    /// Bound where a kernel has no use for a buffer that it could write.
    Void,
    /// Working memory of an operation.
    Scratch(u8),
    /// Buffers of the graph that are never needed at once.
    Shared(usize),
    /// The parameters in half precision.
    HalfParams,
    /// The samples in half precision.
    HalfInput,
    /// Working memory in half precision.
    HalfScratch(u8),
    /// Buffers in half precision that are never needed at once.
    HalfShared(usize),
}

impl Slot {
    /// Whether each word has two values.
    pub(crate) fn has_halves(self) -> bool {
        matches!(
            self,
            Self::HalfParams | Self::HalfInput | Self::HalfScratch(_) | Self::HalfShared(_)
        )
    }
}

/// Words of so many values in half precision.
pub(crate) fn half_words(values: usize) -> usize {
    values.div_ceil(2)
}

/// The device buffers of a graph's buffers.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Per buffer; the input's is [`Slot::Input`].
    slots: Vec<Slot>,
    /// Values per sample of each [`Slot::Shared`].
    pub(crate) features: Vec<usize>,
    /// Per buffer where its copy in half precision is, if products read it.
    halves: Vec<Slot>,
    /// Values per sample of each [`Slot::HalfShared`].
    pub(crate) half_features: Vec<usize>,
}

/// Positions in forward pass, loss, backward pass.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    first: usize,
    last: usize,
}

type Lifetimes = Vec<Option<Lifetime>>;

impl Places {
    pub(crate) fn new(graph: &Graph, precision: Precision) -> Self {
        let usage = Usage::of(graph, precision);
        let (slots, features) = placed(graph, &usage.values, Slot::Input, Slot::Shared);
        let halves = &usage.halves;
        let (halves, half_features) = placed(graph, halves, Slot::HalfInput, Slot::HalfShared);
        Self {
            slots,
            features,
            halves,
            half_features,
        }
    }

    pub(crate) fn of(&self, id: BufferId) -> Slot {
        self.slots[id.0]
    }

    pub(crate) fn half_of(&self, id: BufferId) -> Slot {
        self.halves[id.0]
    }
}

/// From the largest to the smallest, each buffer gets the first device buffer that is free all its life.
fn placed(
    graph: &Graph,
    lifetimes: &Lifetimes,
    input: Slot,
    shared: fn(usize) -> Slot,
) -> (Vec<Slot>, Vec<usize>) {
    let mut order: Vec<usize> = (0..graph.buffers.len()).collect();
    order.sort_by_key(|&idx| (std::cmp::Reverse(graph.buffers[idx].features), idx));
    let mut slots = vec![Slot::Void; graph.buffers.len()];
    let mut tenants: Vec<Vec<Lifetime>> = Vec::new();
    let mut features = Vec::new();
    for idx in order {
        if BufferId(idx) == graph.input {
            slots[idx] = input;
            continue;
        }
        let Some(lifetime) = lifetimes[idx] else {
            continue;
        };
        let meets = |other: &Lifetime| lifetime.first <= other.last && other.first <= lifetime.last;
        let free = tenants.iter().position(|known| !known.iter().any(meets));
        let place = free.unwrap_or_else(|| {
            tenants.push(Vec::new());
            features.push(graph.buffers[idx].features);
            tenants.len() - 1
        });
        tenants[place].push(lifetime);
        slots[idx] = shared(place);
    }
    (slots, features)
}

/// The buffers that an operation's products read.
pub(crate) fn factors(op: &Op) -> [Option<BufferId>; 2] {
    match *op {
        Op::Dense { input, .. } | Op::Conv2d { input, .. } | Op::Attention { qkv: input, .. } => {
            [Some(input), None]
        }
        Op::DenseBackward {
            input, grad_output, ..
        }
        | Op::Conv2dBackward {
            input, grad_output, ..
        }
        | Op::AttentionBackward {
            qkv: input,
            grad_output,
            ..
        } => [Some(input), Some(grad_output)],
        _ => [None; 2],
    }
}

/// The buffer whose rows an operation adds up as the gradient of a bias.
fn bias_of(op: &Op) -> Option<BufferId> {
    match *op {
        Op::DenseBackward { grad_output, .. } | Op::Conv2dBackward { grad_output, .. } => {
            Some(grad_output)
        }
        _ => None,
    }
}

/// What an operation could as well read in half precision, where there is that: only signs matter to it.
pub(crate) fn only_signs(op: &Op) -> Option<BufferId> {
    match *op {
        Op::ActivationBackward {
            activation: Activation::Relu,
            saved,
            ..
        } => Some(saved),
        _ => None,
    }
}

/// How long each buffer is needed, and its copy in half precision.
struct Usage {
    values: Lifetimes,
    halves: Lifetimes,
    /// Of which buffers a copy has what they have.
    copied: Vec<bool>,
}

impl Usage {
    fn of(graph: &Graph, precision: Precision) -> Self {
        let mut usage = Self {
            values: vec![None; graph.buffers.len()],
            halves: vec![None; graph.buffers.len()],
            copied: vec![false; graph.buffers.len()],
        };
        let loss = graph.forward.len();
        for (now, step) in graph.forward.iter().enumerate() {
            usage.follow(&step.op, now, precision);
        }
        touch(&mut usage.values, graph.loss.prediction, loss);
        touch(&mut usage.values, graph.loss.grad, loss);
        for (step, now) in graph.backward.iter().zip(loss + 1..) {
            usage.follow(&step.op, now, precision);
        }
        usage
    }

    fn follow(&mut self, op: &Op, now: usize, precision: Precision) {
        let factors = match precision {
            Precision::Single => [None; 2],
            Precision::Half => factors(op),
        };
        op.visit_buffers(&mut |id, access| {
            let is_factor = factors.contains(&Some(id)) && access == Access::Read;
            let has_copy = self.copied[id.0];
            if is_factor {
                touch(&mut self.halves, id, now);
                self.copied[id.0] = true;
            } else if has_copy && only_signs(op) == Some(id) {
                touch(&mut self.halves, id, now);
                return;
            }
            // A bias is the sum of what the weights' product has as a factor.
            let sums_rows = is_factor && bias_of(op) == Some(id);
            if !(is_factor && has_copy) || sums_rows {
                touch(&mut self.values, id, now);
            }
            self.copied[id.0] &= access == Access::Read;
        });
    }
}

fn touch(lifetimes: &mut Lifetimes, id: BufferId, now: usize) {
    let lifetime = lifetimes[id.0].get_or_insert(Lifetime {
        first: now,
        last: now,
    });
    lifetime.last = now;
}

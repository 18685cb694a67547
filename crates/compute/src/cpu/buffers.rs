//! The planned buffers of a graph.

use std::mem;

use tabswarm_model::Graph;
use tabswarm_model::graph::BufferId;

use super::aligned::AlignedBuffer;

/// One block per buffer of the graph. The input is not stored: it is read where the caller has it.
#[derive(Debug)]
pub(crate) struct Buffers {
    slots: Vec<AlignedBuffer>,
    features: Vec<usize>,
    input: BufferId,
}

impl Buffers {
    pub(crate) fn new(graph: &Graph, max_samples: usize) -> Self {
        let features: Vec<usize> = graph.buffers.iter().map(|buffer| buffer.features).collect();
        let slot = |(idx, features): (usize, &usize)| {
            let is_input = BufferId(idx) == graph.input;
            AlignedBuffer::new(if is_input { 0 } else { features * max_samples })
        };
        let slots = features.iter().enumerate().map(slot).collect();
        Self {
            slots,
            features,
            input: graph.input,
        }
    }

    /// The values of a buffer, (samples, features), or the caller's inputs if it is the graph's input.
    pub(crate) fn read<'a>(&'a self, id: BufferId, inputs: &'a [f32], samples: usize) -> &'a [f32] {
        if id == self.input {
            inputs
        } else {
            self.stored(id, samples)
        }
    }

    /// The values of a buffer that is not the graph's input.
    pub(crate) fn stored(&self, id: BufferId, samples: usize) -> &[f32] {
        &self.slots[id.0][..self.features[id.0] * samples]
    }

    /// Lets `kernel` write one buffer, (samples, features), while it reads others.
    pub(crate) fn write<R>(
        &mut self,
        id: BufferId,
        samples: usize,
        kernel: impl FnOnce(&Self, &mut [f32]) -> R,
    ) -> R {
        let mut target = mem::take(&mut self.slots[id.0]);
        let result = kernel(self, &mut target[..self.features[id.0] * samples]);
        self.slots[id.0] = target;
        result
    }
}

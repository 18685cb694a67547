//! The buffers of a graph in one block of memory.

use std::ops::Range;

use tabswarm_model::Graph;
use tabswarm_model::graph::BufferId;

use super::aligned::AlignedBuffer;

/// Room for the planned buffers of a graph.
#[derive(Debug)]
pub(crate) struct Arena {
    values: AlignedBuffer,
    /// Per buffer, where it begins, in values per sample; none for the input and for unused buffers.
    offsets: Vec<Option<usize>>,
    features: Vec<usize>,
    input: BufferId,
}

impl Arena {
    pub(crate) fn new(graph: &Graph, max_samples: usize) -> Self {
        let plan = graph.plan();
        Self {
            values: AlignedBuffer::new(plan.arena_features * max_samples),
            offsets: plan.offsets,
            features: graph.buffers.iter().map(|buffer| buffer.features).collect(),
            input: graph.input,
        }
    }

    /// The buffers for one batch, whose inputs are read where the caller has them.
    pub(crate) fn with_batch<'a>(&'a mut self, inputs: &'a [f32], samples: usize) -> Buffers<'a> {
        Buffers {
            arena: self,
            inputs,
            samples,
        }
    }

    fn range(&self, id: BufferId, samples: usize) -> Range<usize> {
        let offset = self.offsets[id.0].expect("an operation's buffers are planned");
        let start = offset * samples;
        start..start + self.features[id.0] * samples
    }
}

/// The buffers of a graph during one batch.
#[derive(Debug)]
pub(crate) struct Buffers<'a> {
    arena: &'a mut Arena,
    inputs: &'a [f32],
    samples: usize,
}

impl Buffers<'_> {
    /// Up to two buffers to write (empty where there is none), and all others to read.
    pub(crate) fn split(&mut self, writes: [Option<BufferId>; 2]) -> (Reads<'_>, [&mut [f32]; 2]) {
        let Self {
            arena,
            inputs,
            samples,
        } = self;
        let [a, b] = writes.map(|id| id.map_or(0..0, |id| arena.range(id, *samples)));
        let is_swapped = (b.start, b.end) < (a.start, a.end);
        let (first, second) = if is_swapped { (b, a) } else { (a, b) };
        assert!(
            first.end <= second.start,
            "buffers needed at once are apart in the plan"
        );
        let (before, rest) = arena.values.split_at_mut(first.start);
        let (write_first, rest) = rest.split_at_mut(first.len());
        let (between, rest) = rest.split_at_mut(second.start - first.end);
        let (write_second, after) = rest.split_at_mut(second.len());
        let reads = Reads {
            parts: [(0, before), (first.end, between), (second.end, after)],
            offsets: &arena.offsets,
            features: &arena.features,
            input: arena.input,
            inputs,
            samples: *samples,
        };
        let writes = if is_swapped {
            [write_second, write_first]
        } else {
            [write_first, write_second]
        };
        (reads, writes)
    }

    /// One buffer to write, and all others to read.
    pub(crate) fn split_one(&mut self, write: BufferId) -> (Reads<'_>, &mut [f32]) {
        let (reads, [write, _]) = self.split([Some(write), None]);
        (reads, write)
    }
}

/// All buffers that are not being written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reads<'a> {
    /// What is left of the arena beside the buffers being written, with the place of its first value.
    parts: [(usize, &'a [f32]); 3],
    offsets: &'a [Option<usize>],
    features: &'a [usize],
    input: BufferId,
    inputs: &'a [f32],
    samples: usize,
}

impl<'a> Reads<'a> {
    /// The values of a buffer, (samples, features), or the caller's inputs if it is the graph's input.
    pub(crate) fn at(&self, id: BufferId) -> &'a [f32] {
        if id == self.input {
            return self.inputs;
        }
        let start = self.offsets[id.0].expect("an operation's buffers are planned") * self.samples;
        let len = self.features[id.0] * self.samples;
        let (first, part) = *self
            .parts
            .iter()
            .rev()
            .find(|(first, _)| *first <= start)
            .expect("the first part begins at zero");
        part.get(start - first..start - first + len)
            .expect("a buffer that is read is not being written")
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "values that were just written")]
mod tests {
    use super::*;
    use tabswarm_model::graph::build;
    use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

    fn arena(samples: usize) -> (Graph, Arena) {
        let graph = build(&ModelSpec {
            input: vec![3],
            layers: vec![LayerSpec::dense(5), LayerSpec::RELU, LayerSpec::dense(4)],
            loss: LossSpec::SoftmaxCrossEntropy,
        });
        let arena = Arena::new(&graph, samples);
        (graph, arena)
    }

    #[test]
    fn what_was_written_is_read_again_in_any_order() {
        let (graph, mut arena) = arena(4);
        let (hidden, logits) = (BufferId(1), graph.loss.prediction);
        let inputs = [7.0; 6];
        let mut buffers = arena.with_batch(&inputs, 2);
        for writes in [[hidden, logits], [logits, hidden]] {
            let (reads, [a, b]) = buffers.split(writes.map(Some));
            assert_eq!(
                (a.len(), b.len()),
                (2 * graph.features(writes[0]), 2 * graph.features(writes[1]))
            );
            assert_eq!(reads.at(graph.input), inputs);
            a.fill(1.0);
            b.fill(2.0);
            let (reads, _) = buffers.split([None, None]);
            assert!(reads.at(writes[0]).iter().all(|&x| x == 1.0));
            let (reads, _) = buffers.split_one(writes[0]);
            assert!(reads.at(writes[1]).iter().all(|&x| x == 2.0));
        }
    }

    #[test]
    #[should_panic(expected = "not being written")]
    fn a_buffer_being_written_cannot_be_read() {
        let (graph, mut arena) = arena(1);
        let mut buffers = arena.with_batch(&[0.0; 3], 1);
        let (reads, _) = buffers.split_one(graph.loss.prediction);
        reads.at(graph.loss.prediction);
    }
}

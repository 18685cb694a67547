//! Buffers that share memory must not destroy what somebody still reads.

use tabswarm_model::Graph;
use tabswarm_model::graph::{Access, BufferId, Plan};

use tabswarm_compute::bits::Case;

/// Which buffer's values each place of the arena holds.
struct Arena<'a> {
    graph: &'a Graph,
    plan: Plan,
    holds: Vec<Option<BufferId>>,
}

impl Arena<'_> {
    fn range(&self, id: BufferId) -> Option<std::ops::Range<usize>> {
        let offset = self.plan.offsets[id.0]?;
        Some(offset..offset + self.graph.features(id))
    }

    fn touch(&mut self, id: BufferId, access: Access) {
        let Some(range) = self.range(id) else {
            assert_eq!((id, access), (self.graph.input, Access::Read));
            return;
        };
        if access != Access::Write {
            let intact = self.holds[range.clone()].iter().all(|h| *h == Some(id));
            assert!(intact, "{} was overwritten", self.graph.buffers[id.0].name);
        }
        self.holds[range].fill(Some(id));
    }
}

#[test]
fn no_buffer_is_overwritten_while_it_is_needed() {
    let mut shared = 0;
    for seed in 0..300 {
        let graph = &Case::random(seed).graph;
        let plan = graph.plan();
        let holds = vec![None; plan.arena_features];
        let all: usize = graph.buffers.iter().map(|buffer| buffer.features).sum();
        shared += usize::from(plan.arena_features < all - graph.input_features());
        let mut arena = Arena { graph, plan, holds };
        for step in &graph.forward {
            step.op
                .visit_buffers(&mut |id, access| arena.touch(id, access));
        }
        arena.touch(graph.loss.prediction, Access::Read);
        arena.touch(graph.loss.grad, Access::Write);
        for step in &graph.backward {
            step.op
                .visit_buffers(&mut |id, access| arena.touch(id, access));
        }
    }
    assert!(shared > 50, "only {shared} plans share memory");
}

#[test]
fn operations_never_write_what_they_read() {
    for seed in 0..300 {
        let graph = &Case::random(seed).graph;
        for step in graph.forward.iter().chain(&graph.backward) {
            let mut seen = Vec::new();
            step.op.visit_buffers(&mut |id, access| {
                let clash = seen.iter().any(|&(other, earlier)| {
                    other == id && (access, earlier) != (Access::Read, Access::Read)
                });
                assert!(!clash, "{:?}", step.op);
                seen.push((id, access));
            });
        }
    }
}

#[test]
fn every_gradient_is_written_once_and_then_added_to() {
    for seed in 0..300 {
        let graph = &Case::random(seed).graph;
        let mut written = vec![false; graph.layout.tensors().len()];
        for step in &graph.backward {
            for (tensor, adds) in step.op.gradients() {
                assert_eq!(written[tensor.0], adds, "{:?}", step.op);
                written[tensor.0] = true;
            }
        }
        assert!(written.into_iter().all(|written| written), "seed {seed}");
    }
}

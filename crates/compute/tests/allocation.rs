//! The steady state does not allocate.
#![allow(
    unsafe_code,
    reason = "a counting allocator is a trait that can only be implemented so"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use tabswarm_compute::{Batch, Engine, LeaseAccumulator, Path};
use tabswarm_model::graph;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator; the counter does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_step_after_the_first_takes_no_memory() {
    let graph = Arc::new(graph::build(&ModelSpec {
        input: vec![20],
        layers: vec![LayerSpec::dense(16), LayerSpec::RELU, LayerSpec::dense(10)],
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    let params = vec![0.01; graph.layout.len()];
    let exponents = vec![10; graph.layout.tensors().len()];
    let (inputs, labels) = (vec![0.5; 8 * 20], vec![3; 8]);
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut engine = Engine::with_path(Arc::clone(&graph), path, 8).unwrap();
        let mut accumulator = LeaseAccumulator::new(&graph.layout);
        let before = ALLOCATIONS.get();
        for samples in [8, 3, 8] {
            let inputs = &inputs[..samples * 20];
            let batch = Batch {
                inputs,
                labels: &labels[..samples],
            };
            engine.set_params(&params).unwrap();
            engine.gradient(batch).unwrap();
            engine.evaluate(batch).unwrap();
            engine.predict(inputs, samples).unwrap();
            accumulator.reset();
            accumulator
                .add(engine.gradient_buffer(), &exponents)
                .unwrap();
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{path:?}");
    }
}

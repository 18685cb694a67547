//! The steady state does not allocate.
#![allow(
    unsafe_code,
    reason = "a counting allocator is a trait that can only be implemented so"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use tabswarm_compute::{Batch, Engine, LeaseAccumulator, Path};
use tabswarm_model::graph::{self, Activation, Padding};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

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
    let layers = vec![LayerSpec::dense(16), LayerSpec::RELU, LayerSpec::dense(10)];
    check(&[20], layers);
}

#[test]
fn nor_does_one_of_a_language_model() {
    let norm = LayerSpec::LayerNorm { epsilon: 1e-5 };
    let attention = LayerSpec::Attention {
        heads: 2,
        causal: true,
    };
    let network = vec![
        norm.clone(),
        LayerSpec::dense(17),
        LayerSpec::Activation(Activation::Gelu),
        LayerSpec::Dropout { rate: 0.25 },
        LayerSpec::dense(6),
    ];
    let layers = vec![
        LayerSpec::Embedding {
            vocabulary: 9,
            width: 6,
        },
        LayerSpec::PositionalEmbedding,
        LayerSpec::Residual {
            layers: vec![norm.clone(), attention],
        },
        LayerSpec::Residual { layers: network },
        norm,
        LayerSpec::TiedDense { bias: true },
    ];
    check(&[5], layers);
}

#[test]
fn nor_does_one_of_a_convolutional_network() {
    let convolution = |channels, stride| LayerSpec::Conv2d {
        channels,
        kernel: [3, 3],
        stride,
        padding: Padding::Same,
        groups: 1,
        bias: true,
    };
    let halved = PoolSpec {
        size: [2, 2],
        stride: [2, 2],
    };
    let layers = vec![
        convolution(16, [1, 1]),
        LayerSpec::RELU,
        LayerSpec::MaxPool(halved),
        convolution(32, [2, 1]),
        LayerSpec::RELU,
        LayerSpec::AvgPool(halved),
        LayerSpec::Flatten,
        LayerSpec::dense(10),
    ];
    check(&[28, 28, 1], layers);
}

const NOISE: NoiseKey = NoiseKey {
    seed: 1,
    version: 2,
    micro_batch: 3,
};

fn check(input: &[usize], layers: Vec<LayerSpec>) {
    let graph = Arc::new(graph::build(&ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    }));
    let (rows, features) = (graph.label_rows(), graph.input_features());
    let params = vec![0.01; graph.layout.len()];
    let exponents = vec![10; graph.layout.tensors().len()];
    let (inputs, labels) = (vec![2.0; 8 * features], vec![3; 8 * rows]);
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut engine =
            Engine::with_path(Arc::clone(&graph), path, 8).expect("the path is available");
        let mut accumulator = LeaseAccumulator::new(&graph.layout);
        let before = ALLOCATIONS.get();
        for samples in [8, 3, 8] {
            let inputs = &inputs[..samples * features];
            let batch = Batch {
                noise: Some(NOISE),
                ..Batch::labeled(inputs, &labels[..samples * rows])
            };
            engine.set_params(&params).expect("parameters that fit");
            engine.gradient(batch).expect("a batch that fits");
            engine.evaluate(batch).expect("a batch that fits");
            engine.predict(inputs, samples).expect("inputs that fit");
            accumulator.reset();
            accumulator
                .add(engine.gradient_buffer(), &exponents)
                .expect("exponents that fit");
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{path:?}");
    }
}

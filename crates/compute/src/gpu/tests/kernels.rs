//! Recordings and kernels against their twins.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

use super::device;
use crate::bits::Case;
use crate::engine::Engine;
use crate::gpu::kernels::ALL;
use crate::gpu::known_answer::{started, test, test_case, variants};
use crate::gpu::recording::Recording;
use crate::gpu::recording::places::Slot;
use crate::gpu::recording::product::Shape;
use crate::gpu::{Agreement, block_on};
use crate::{ArithmeticClass, Path};

/// Recordings, run by twins, give the gradients of the CPU engine: no device is involved.
#[test]
fn recordings_are_the_graph() {
    for (seed, shape) in (0..150).zip(Shape::ALL.into_iter().cycle()) {
        let case = Case::random(seed);
        let recording = Recording::new(&case.graph, case.samples, shape);
        let mut twin = started(&case, &recording);
        for dispatch in &recording.gradient {
            twin.run(dispatch);
        }
        let mut engine =
            Engine::with_path(Arc::clone(&case.graph), Path::Generic, case.samples).unwrap();
        engine.set_params(&case.params).unwrap();
        engine.gradient(case.batch()).unwrap();
        let n = case.graph.layout.len();
        let got = &twin.at(Slot::Gradient)[..n];
        let agreement = Agreement::of(got, engine.gradient_buffer());
        assert!(agreement.holds(0.999_999, 1e-4), "{seed}: {agreement:?}");
    }
}

#[test]
fn known_answers_cover_every_kernel_and_pass() {
    let device = device();
    let mut names: BTreeSet<&str> = ALL.iter().map(|kernel| kernel.name).collect();
    for shape in [Shape::Tiles, Shape::NARROW] {
        let mut wanted = BTreeSet::new();
        for text in [
            include_str!("../../../../../runs/mnist-mlp.toml"),
            include_str!("../../../../../runs/mnist-cnn.toml"),
            include_str!("../../../../../runs/char-gpt.toml"),
        ] {
            let run = tabswarm_model::Run::from_toml(text).unwrap();
            let samples = run.micro_batch as usize;
            for samples in [1, samples / 2 + 1, samples] {
                let recording = Recording::new(&run.graph(), samples, shape);
                wanted.extend(variants(recording.all()));
            }
        }
        for seed in 0..100 {
            let case = Case::random(seed);
            let recording = Recording::new(&case.graph, case.samples, shape);
            for (name, _) in variants(recording.all()) {
                names.remove(name);
            }
        }
        for (name, _) in &wanted {
            names.remove(name);
        }
        let passed = block_on(test(&device, &wanted, shape)).unwrap();
        let missing: Vec<_> = wanted.difference(&passed).collect();
        assert!(missing.is_empty(), "without a known answer: {missing:?}");
    }
    assert!(names.is_empty(), "no model has {names:?}");
}

#[test]
fn software_computes_in_blocks_and_is_measured_once() {
    let device = device();
    let shape = block_on(device.shape()).unwrap();
    if device.summary().is_software {
        assert!(matches!(shape, Shape::Blocks { .. }), "{shape:?}");
    }
    // Once it is known the device is not asked, so that even one that is gone has it.
    device.device.destroy();
    assert_eq!(block_on(device.shape()), Ok(shape));
}

#[test]
fn random_graphs_dispatch_by_dispatch() {
    let device = device();
    for (seed, shape) in (0..60).zip(Shape::ALL.into_iter().cycle()) {
        let case = Case::random(seed);
        let tested = block_on(test_case(&device, &case, shape, |_| true));
        tested.unwrap_or_else(|error| panic!("{seed}: {error}"));
    }
}

/// One, a tile less one, a tile, a tile and one, and primes, in all three sizes of a product.
#[test]
fn products_of_odd_sizes() {
    let device = device();
    let sizes = [1, 15, 16, 17, 63, 64, 65, 127];
    for (idx, inputs) in sizes.into_iter().enumerate() {
        for (jdx, outputs) in sizes.into_iter().enumerate() {
            let samples = sizes[(idx + jdx) % sizes.len()];
            let gelu = LayerSpec::Activation(Activation::Gelu);
            let layers = vec![LayerSpec::dense(outputs), gelu, LayerSpec::dense(2)];
            check(&device, &[inputs], layers, samples);
        }
    }
}

/// Sums so long that they are divided.
#[test]
fn divided_sums() {
    let device = device();
    let layers = vec![LayerSpec::dense(7), LayerSpec::RELU, LayerSpec::dense(65)];
    for samples in [255, 256, 1_021, 1_024] {
        check(&device, &[5], layers.clone(), samples);
    }
    check(
        &device,
        &[31, 29, 1],
        vec![convolution(3), LayerSpec::Flatten, LayerSpec::dense(2)],
        3,
    );
}

#[test]
fn convolutions_of_odd_channels() {
    let device = device();
    for channels in [1, 7, 15, 16, 17, 31, 33, 63, 65] {
        let layers = vec![
            convolution(channels),
            LayerSpec::RELU,
            convolution(5),
            LayerSpec::Flatten,
            LayerSpec::dense(3),
        ];
        check(&device, &[5, 4, 3], layers, 2);
    }
}

fn convolution(channels: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel: [3, 2],
        stride: [1, 2],
        padding: Padding::Same,
        groups: 1,
        bias: true,
    }
}

fn check(device: &crate::gpu::GpuDevice, input: &[usize], layers: Vec<LayerSpec>, samples: usize) {
    let model = ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    let case = Case::new(&model, samples, 5);
    for shape in [Shape::Tiles, Shape::NARROW] {
        let tested = block_on(test_case(device, &case, shape, |_| true));
        tested.unwrap_or_else(|error| panic!("{shape:?}, {model:?} with {samples}: {error}"));
    }
}

/// The rest of a micro-batch at an epoch's end needs no more memory than a whole one.
#[test]
fn fewer_samples_fit_the_buffers_of_more() {
    for (seed, shape) in (0..40).zip(Shape::ALL.into_iter().cycle()) {
        let case = Case::random(seed);
        let whole = Recording::new(&case.graph, 700, shape);
        for samples in [1, 127, 512, 699] {
            let part = Recording::new(&case.graph, samples, shape);
            for (slot, size) in part.sizes {
                assert!(size <= whole.sizes[&slot], "{seed}: {slot:?} {size}");
            }
        }
    }
}

#[test]
fn the_classes_that_canaries_use_exist() {
    assert!(crate::probe::fastest_path(ArithmeticClass::Portable).is_some());
}

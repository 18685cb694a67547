//! Recordings and kernels against their twins.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};

use super::{HALF_AGREEMENT, device};
use crate::bits::Case;
use crate::engine::Engine;
use crate::gpu::kernels::ALL;
use crate::gpu::known_answer::{KNOWN_SCALE, started, test, test_case, variants};
use crate::gpu::recording::Recording;
use crate::gpu::recording::places::Slot;
use crate::gpu::recording::product::Shape;
use crate::gpu::{Agreement, Precision, block_on};
use crate::{ArithmeticClass, Path};

/// Every shape in either precision.
fn kinds() -> impl Iterator<Item = (Shape, Precision)> {
    let kinds = [Precision::Single, Precision::Half];
    Shape::ALL
        .into_iter()
        .cycle()
        .zip(kinds.into_iter().cycle())
}

/// Recordings, run by twins, give the gradients of the CPU engine: no device is involved.
#[test]
fn recordings_are_the_graph() {
    for (seed, (shape, precision)) in (0..150).zip(kinds()) {
        let case = Case::random(seed);
        let recording = Recording::new(&case.graph, case.samples, shape, precision);
        let mut twin = started(&case, &recording);
        for dispatch in &recording.gradient {
            twin.run(dispatch);
        }
        let mut engine =
            Engine::with_path(Arc::clone(&case.graph), Path::Generic, case.samples).unwrap();
        engine.set_params(&case.params).unwrap();
        engine.gradient(case.batch()).unwrap();
        let n = case.graph.layout.len();
        let mut got = twin.at(Slot::Gradient)[..n].to_vec();
        got.iter_mut().for_each(|value| *value /= KNOWN_SCALE);
        let agreement = Agreement::of(&got, engine.gradient_buffer());
        let [cosine, difference] = match precision {
            Precision::Single => [0.999_999, 1e-4],
            Precision::Half => HALF_AGREEMENT,
        };
        let is_right = agreement.holds(cosine, difference);
        assert!(is_right, "{seed}, {precision:?}: {agreement:?}");
    }
}

#[test]
fn known_answers_cover_every_kernel_and_pass() {
    let device = device();
    let mut names: BTreeSet<&str> = ALL.iter().map(|kernel| kernel.name).collect();
    for (shape, precision) in both(Precision::Single)
        .into_iter()
        .chain(both(Precision::Half))
    {
        let mut wanted = BTreeSet::new();
        for text in [
            include_str!("../../../../../runs/mnist-mlp.toml"),
            include_str!("../../../../../runs/mnist-cnn.toml"),
            include_str!("../../../../../runs/char-gpt.toml"),
        ] {
            let run = tabswarm_model::Run::from_toml(text).unwrap();
            let samples = run.micro_batch as usize;
            for samples in [1, samples / 2 + 1, samples] {
                let recording = Recording::new(&run.graph(), samples, shape, precision);
                wanted.extend(variants(recording.all()));
            }
        }
        for seed in 0..100 {
            let case = Case::random(seed);
            let recording = Recording::new(&case.graph, case.samples, shape, precision);
            for (name, _) in variants(recording.all()) {
                names.remove(name);
            }
        }
        for (name, _) in &wanted {
            names.remove(name);
        }
        let passed = block_on(test(&device, &wanted, (shape, precision))).unwrap();
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
    for (seed, kind) in (0..60).zip(kinds()) {
        let case = Case::random(seed);
        let tested = block_on(test_case(&device, &case, kind, |_| true));
        tested.unwrap_or_else(|error| panic!("{seed}, {kind:?}: {error}"));
    }
}

/// One, a tile less one, a tile, a tile and one, and primes, in all three sizes of a product.
#[test]
fn products_of_odd_sizes() {
    let device = device();
    let sizes = [1, 15, 16, 17, 63, 64, 65, 127];
    for (idx, inputs) in sizes.into_iter().enumerate() {
        for (jdx, outputs) in sizes.into_iter().enumerate() {
            let precision = [Precision::Single, Precision::Half][(idx + jdx / 2) % 2];
            let samples = sizes[(idx + jdx) % sizes.len()];
            let gelu = LayerSpec::Activation(Activation::Gelu);
            let layers = vec![LayerSpec::dense(outputs), gelu, LayerSpec::dense(2)];
            check(&device, (&[inputs], layers), samples, precision);
        }
    }
}

/// Sums so long that they are divided.
#[test]
fn divided_sums() {
    let device = device();
    let layers = vec![LayerSpec::dense(7), LayerSpec::RELU, LayerSpec::dense(65)];
    for samples in [255, 256, 1_021, 1_024] {
        for precision in [Precision::Single, Precision::Half] {
            check(&device, (&[5], layers.clone()), samples, precision);
        }
    }
    let layers = vec![convolution(3), LayerSpec::Flatten, LayerSpec::dense(2)];
    for precision in [Precision::Single, Precision::Half] {
        check(&device, (&[31, 29, 1], layers.clone()), 3, precision);
    }
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
        for precision in [Precision::Single, Precision::Half] {
            check(&device, (&[5, 4, 3], layers.clone()), 2, precision);
        }
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

/// A shape of either kind.
fn both(precision: Precision) -> [(Shape, Precision); 2] {
    [Shape::Tiles, Shape::NARROW].map(|shape| (shape, precision))
}

fn check(
    device: &crate::gpu::GpuDevice,
    (input, layers): (&[usize], Vec<LayerSpec>),
    samples: usize,
    precision: Precision,
) {
    let model = ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    let case = Case::new(&model, samples, 5);
    for kind in both(precision) {
        let tested = block_on(test_case(device, &case, kind, |_| true));
        tested.unwrap_or_else(|error| panic!("{kind:?}, {model:?} with {samples}: {error}"));
    }
}

/// The rest of a micro-batch at an epoch's end needs no more memory than a whole one.
#[test]
fn fewer_samples_fit_the_buffers_of_more() {
    for (seed, (shape, precision)) in (0..40).zip(kinds()) {
        let case = Case::random(seed);
        let whole = Recording::new(&case.graph, 700, shape, precision);
        for samples in [1, 127, 512, 699] {
            let part = Recording::new(&case.graph, samples, shape, precision);
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

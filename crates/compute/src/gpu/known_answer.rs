//! Known answers: every kernel that a recording uses is compared with its twin before it is trusted.
//!
//! Shader failures on the web can return stale data without any error, so nothing is believed. Small networks
//! with odd sizes go through the device dispatch by dispatch.

use std::collections::BTreeSet;

use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec, Precision};

use super::device::{GpuDevice, Variant};
use super::engine::{turn_words, values_of_targets};
use super::error::GpuError;
use super::kernels::Binding;
use super::program::{Memory, Program};
use super::recording::places::Slot;
use super::recording::product::Shape;
use super::recording::{Dispatch, Recording};
use super::simulation::{Simulation, as_values};
use super::twins::{halves, values_of_halves};
use crate::bits::Case;

/// Two values are equal if they differ by no more than this share of the largest of the buffer.
const TOLERANCE: f32 = 2e-5;
/// Drivers may round to either of the two nearest values in half precision, which are so far apart relative to a
/// value, and below the least normal one no closer than there.
const HALF_TOLERANCE: f32 = 1.0 / 1024.0;
const HALF_NORMAL: f32 = 1.0 / 16384.0;
/// What the loss is multiplied with; in single precision, too, where it changes no digit.
pub(super) const KNOWN_SCALE: f32 = 64.0;

/// The variants of kernels that dispatches use.
pub(super) fn variants<'a>(dispatches: impl Iterator<Item = &'a Dispatch>) -> BTreeSet<Variant> {
    dispatches.map(variant).collect()
}

fn variant(dispatch: &Dispatch) -> Variant {
    (dispatch.call.kernel().name, dispatch.constants.clone())
}

/// Compares the wanted kernels with their twins, as far as [`networks`] have them, and gives those that it has compared.
///
/// # Errors
/// Where a kernel can't be made, the device fails, or values differ.
pub(super) async fn test(
    device: &GpuDevice,
    wanted: &BTreeSet<Variant>,
    kind: (Shape, Precision),
) -> Result<BTreeSet<Variant>, GpuError> {
    let mut passed = BTreeSet::new();
    for (model, samples) in networks() {
        let is_due = |dispatch: &Dispatch| {
            wanted.contains(&variant(dispatch)) && !passed.contains(&variant(dispatch))
        };
        let case = Case::new(&model, samples, 3);
        let new = test_case(device, &case, kind, is_due).await?;
        passed.extend(new);
    }
    Ok(passed)
}

/// Compares all dispatches of a model's gradient with the kernels' twins, and gives how many kernels there were.
///
/// # Errors
/// Where a kernel can't be made, the device fails, or values differ.
pub async fn compare_with_twins(
    device: &GpuDevice,
    case: &Case,
    precision: Precision,
) -> Result<usize, GpuError> {
    let shape = device.shape().await?;
    let passed = test_case(device, case, (shape, precision), |_| true).await?;
    Ok(passed.len())
}

/// Runs a case on device and twins, comparing the dispatches that are due.
pub(super) async fn test_case(
    device: &GpuDevice,
    case: &Case,
    (shape, precision): (Shape, Precision),
    is_due: impl Fn(&Dispatch) -> bool,
) -> Result<BTreeSet<Variant>, GpuError> {
    let recording = Recording::new(&case.graph, case.samples, shape, precision);
    let mut passed = BTreeSet::new();
    if !recording.all().any(&is_due) {
        return Ok(passed);
    }
    let memory = Memory::new(device, &recording.sizes).await?;
    let mut twin = started(case, &recording);
    let largest = recording.sizes.values().copied().max().unwrap_or(0);
    let staging = device.staging(largest).await?;
    for dispatch in recording.all() {
        if is_due(dispatch) {
            for slot in &dispatch.slots {
                memory.write(device, *slot, twin.at(*slot));
            }
            let program = Program::new(device, &memory, std::slice::from_ref(dispatch));
            program.await?.submit(device);
        }
        twin.run(dispatch);
        if is_due(dispatch) {
            compare(device, &memory, &staging, dispatch, &twin).await?;
            passed.insert(variant(dispatch));
        }
    }
    Ok(passed)
}

/// The twins' buffers before the first dispatch.
pub(super) fn started(case: &Case, recording: &Recording) -> Simulation {
    let mut twin = Simulation::new(&recording.sizes);
    let batch = case.batch();
    twin.write(Slot::Params, &case.params);
    twin.write(Slot::Input, batch.inputs);
    twin.write(Slot::Targets, &values_of_targets(batch.targets));
    let noise: NoiseKey = case.noise;
    let sites = recording.sizes[&Slot::Turn];
    let words = turn_words(sites, 0, 77, KNOWN_SCALE, Some(noise));
    twin.write(Slot::Turn, &as_values(&words));
    if recording.sizes.contains_key(&Slot::HalfParams) {
        twin.write(Slot::HalfParams, &as_values(&halves(&case.params)));
    }
    twin
}

async fn compare(
    device: &GpuDevice,
    memory: &Memory,
    staging: &wgpu::Buffer,
    dispatch: &Dispatch,
    twin: &Simulation,
) -> Result<(), GpuError> {
    let kernel = dispatch.call.kernel();
    let written = dispatch.slots.iter().zip(kernel.bindings);
    for (slot, _) in written.filter(|(_, binding)| **binding == Binding::Write) {
        let mut got = device.read(staging, &[memory.at(*slot)]).await?;
        let mut expected = twin.at(*slot)[..got.len()].to_vec();
        if slot.has_halves() {
            [got, expected] = [got, expected].map(|words| values_of_halves(&words));
        }
        let finite = expected.iter().filter(|x| x.is_finite());
        let largest = finite.fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let has_words = matches!(slot, Slot::Counts | Slot::Seal);
        let is_equal = |(got, expected): (&f32, &f32)| {
            let within = if slot.has_halves() {
                HALF_TOLERANCE * expected.abs().max(HALF_NORMAL)
            } else {
                TOLERANCE * largest
            };
            let is_close = !has_words && (got - expected).abs() <= within;
            got.to_bits() == expected.to_bits() || is_close
        };
        let wrong = got.iter().zip(&expected).position(|pair| !is_equal(pair));
        if let Some(index) = wrong {
            return Err(GpuError::WrongKernel {
                kernel: kernel.name,
                index,
                got: format!("{:e}", got[index]),
                expected: format!("{:e}", expected[index]),
            });
        }
    }
    Ok(())
}

fn network(input: &[usize], layers: Vec<LayerSpec>, loss: LossSpec) -> ModelSpec {
    ModelSpec {
        input: input.to_vec(),
        layers,
        loss,
    }
}

/// Networks that together have all kernels, with every tile, and samples for each.
fn networks() -> Vec<(ModelSpec, usize)> {
    let activation = LayerSpec::Activation;
    let perceptron = vec![
        LayerSpec::dense(67),
        activation(Activation::Relu),
        LayerSpec::dense(37),
        activation(Activation::Tanh),
        LayerSpec::Dropout { rate: 0.3 },
        activation(Activation::Gelu),
        LayerSpec::dense(5),
    ];
    let regression = vec![
        LayerSpec::dense(11),
        activation(Activation::Sigmoid),
        LayerSpec::dense(3),
    ];
    vec![
        (
            network(&[19], perceptron.clone(), LossSpec::SoftmaxCrossEntropy),
            7,
        ),
        (
            network(&[19], regression.clone(), LossSpec::MeanSquaredError),
            5,
        ),
        (
            network(&[3], regression, LossSpec::SoftTargets { temperature: 2.0 }),
            3,
        ),
        (images(), 5),
        (wide_images(), 1),
        (small_images(3), 1),
        (small_images(6), 2),
        (sequences(13, 83, 48), 3),
        (sequences(70, 29, 24), 4),
        (sequences(50, 31, 96), 2),
        (sequences(150, 5, 150), 1),
        (sequences(300, 300, 300), 1),
    ]
}

fn convolution(channels: usize, groups: usize) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel: [3, 3],
        stride: [1, 1],
        padding: Padding::Same,
        groups,
        bias: true,
    }
}

fn images() -> ModelSpec {
    let pool = |size, stride| PoolSpec {
        size: [size, size],
        stride: [stride, stride],
    };
    let layers = vec![
        convolution(18, 1),
        LayerSpec::MaxPool(pool(2, 2)),
        LayerSpec::RELU,
        convolution(20, 2),
        LayerSpec::Activation(Activation::Gelu),
        LayerSpec::AvgPool(pool(2, 1)),
        convolution(33, 1),
        LayerSpec::Flatten,
        LayerSpec::dense(7),
    ];
    network(&[12, 11, 3], layers, LossSpec::SoftmaxCrossEntropy)
}

/// More channels than a tile has columns.
fn wide_images() -> ModelSpec {
    let layers = vec![
        convolution(49, 1),
        convolution(61, 1),
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    network(&[5, 4, 2], layers, LossSpec::SoftmaxCrossEntropy)
}

/// Few pixels, few taps, and both few and many channels.
fn small_images(height: usize) -> ModelSpec {
    let layers = vec![
        convolution(if height == 3 { 37 } else { 6 }, 1),
        convolution(3, 1),
        convolution(35, 1),
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    network(&[height, 3, 1], layers, LossSpec::SoftmaxCrossEntropy)
}

fn sequences(positions: usize, vocabulary: usize, width: usize) -> ModelSpec {
    let norm = || LayerSpec::LayerNorm { epsilon: 1e-5 };
    let attention = |causal| LayerSpec::Residual {
        layers: vec![norm(), LayerSpec::Attention { heads: 3, causal }],
    };
    let network_of_each = LayerSpec::Residual {
        layers: vec![
            norm(),
            LayerSpec::dense(2 * width + 1),
            LayerSpec::Activation(Activation::Gelu),
            LayerSpec::dense(width),
        ],
    };
    let layers = vec![
        LayerSpec::Embedding { vocabulary, width },
        LayerSpec::PositionalEmbedding,
        attention(true),
        network_of_each,
        attention(false),
        norm(),
        LayerSpec::TiedDense { bias: true },
    ];
    network(&[positions], layers, LossSpec::SoftmaxCrossEntropy)
}

//! Every operation in odd shapes.

use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

use tabswarm_compute::bits::Case;

/// Small models that together have every operation at the edges of its range.
pub(crate) fn all() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    perceptrons(&mut cases);
    losses(&mut cases);
    images(&mut cases);
    grouped(&mut cases);
    pooled(&mut cases);
    cases
}

/// A case on vectors with the usual loss.
pub(crate) fn perceptron(inputs: usize, layers: Vec<LayerSpec>, samples: usize) -> Case {
    let model = ModelSpec {
        input: vec![inputs],
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    };
    Case::new(&model, samples, 1)
}

fn push(
    cases: &mut Vec<(String, Case)>,
    input: &[usize],
    layers: Vec<LayerSpec>,
    loss: LossSpec,
    samples: usize,
) {
    let name = format!("{input:?} {layers:?} {loss:?} of {samples}");
    let input = input.to_vec();
    let model = ModelSpec {
        input,
        layers,
        loss,
    };
    cases.push((name, Case::new(&model, samples, 1)));
}

fn perceptrons(cases: &mut Vec<(String, Case)>) {
    use Activation::{Gelu, Sigmoid, Tanh};
    let dense = LayerSpec::dense;
    let plain = |units| LayerSpec::Dense { units, bias: false };
    let relu = || LayerSpec::RELU;
    let usual = LossSpec::SoftmaxCrossEntropy;
    push(cases, &[1], vec![dense(1)], usual, 1);
    push(cases, &[5], vec![dense(3)], usual, 4);
    push(cases, &[17], vec![dense(13), relu(), plain(5)], usual, 7);
    let chain = vec![relu(), dense(7), relu(), relu(), dense(4), dense(3)];
    push(cases, &[6], chain, usual, 9);
    let deep = vec![dense(31), relu(), dense(17), relu(), dense(2), relu()];
    push(cases, &[33], deep, usual, 37);
    // More rows than are finished together, and than a block of the depth.
    push(cases, &[3], vec![dense(19), relu(), dense(2)], usual, 300);
    for activation in [Gelu, Sigmoid, Tanh].map(LayerSpec::Activation) {
        let layers = vec![plain(9), activation.clone(), activation, dense(3)];
        push(cases, &[7], layers, usual, 5);
    }
    let residual = LayerSpec::Residual {
        layers: vec![
            dense(6),
            relu(),
            LayerSpec::Residual {
                layers: vec![relu()],
            },
        ],
    };
    let dropped = vec![
        LayerSpec::Dropout { rate: 0.4 },
        dense(6),
        residual,
        relu(),
        dense(3),
    ];
    push(cases, &[11], dropped, usual, 13);
    // A dense layer on each row of a sample.
    push(cases, &[5, 7], vec![dense(4), relu(), dense(3)], usual, 6);
}

fn losses(cases: &mut Vec<(String, Case)>) {
    for loss in [
        LossSpec::SoftTargets { temperature: 1.0 },
        LossSpec::SoftTargets { temperature: 2.5 },
        LossSpec::MeanSquaredErrorOfClasses,
        LossSpec::MeanSquaredError,
    ] {
        push(cases, &[6], vec![LayerSpec::dense(17)], loss, 5);
        push(cases, &[3, 4], vec![LayerSpec::dense(5)], loss, 5);
    }
}

fn convolution(
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
) -> LayerSpec {
    LayerSpec::Conv2d {
        channels,
        kernel,
        stride,
        padding,
        groups: 1,
        bias: true,
    }
}

/// A convolution between a first one, so that it gives a gradient of its input, and a dense layer.
fn between(layer: LayerSpec, channels: usize) -> Vec<LayerSpec> {
    vec![
        convolution(channels, [1, 2], [1, 1], Padding::Same),
        layer,
        LayerSpec::RELU,
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ]
}

fn images(cases: &mut Vec<(String, Case)>) {
    use Padding::{Pixels, Same, Valid};
    for (kernel, stride, padding) in [
        ([3, 3], [1, 1], Same),
        ([1, 1], [1, 1], Valid),
        ([1, 1], [2, 3], Same),
        ([2, 3], [1, 2], Valid),
        ([3, 2], [2, 1], Same),
        ([5, 4], [3, 2], Pixels(2)),
        ([1, 2], [2, 3], Pixels(1)),
        ([2, 2], [4, 5], Pixels(3)),
        ([7, 6], [1, 1], Pixels(3)),
    ] {
        for (inputs, outputs) in [(1, 1), (3, 17), (16, 5)] {
            let layers = between(convolution(outputs, kernel, stride, padding), inputs);
            push(cases, &[7, 6, 2], layers, LossSpec::SoftmaxCrossEntropy, 3);
        }
    }
    // Depths and pixels beyond one block.
    let layers = between(convolution(33, [3, 3], [1, 1], Same), 40);
    push(
        cases,
        &[17, 19, 1],
        layers,
        LossSpec::SoftmaxCrossEntropy,
        2,
    );
    let gelu = vec![
        convolution(5, [3, 3], [1, 1], Same),
        LayerSpec::Activation(Activation::Gelu),
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    push(cases, &[12, 11, 1], gelu, LossSpec::SoftmaxCrossEntropy, 2);
}

fn grouped(cases: &mut Vec<(String, Case)>) {
    for (groups, channels, stride) in [
        (2, 6, [1, 1]),
        (4, 4, [1, 2]),
        (4, 8, [2, 1]),
        (2, 34, [3, 3]),
    ] {
        let layer = LayerSpec::Conv2d {
            channels,
            kernel: [3, 2],
            stride,
            padding: Padding::Same,
            groups,
            bias: false,
        };
        let layers = between(layer, 4);
        push(cases, &[5, 6, 2], layers, LossSpec::SoftmaxCrossEntropy, 3);
    }
}

fn pooled(cases: &mut Vec<(String, Case)>) {
    for (size, stride) in [
        ([2, 2], [2, 2]),
        ([3, 2], [1, 2]),
        ([2, 3], [3, 1]),
        ([1, 1], [2, 2]),
    ] {
        for channels in [1, 8, 11] {
            let pool = PoolSpec { size, stride };
            for layer in [LayerSpec::MaxPool(pool), LayerSpec::AvgPool(pool)] {
                let layers = between(layer, channels);
                push(cases, &[7, 6, 1], layers, LossSpec::SoftmaxCrossEntropy, 3);
            }
        }
    }
}

use std::fmt::Write as _;

use super::*;
use crate::graph::Access;
use crate::run_file::LayerSpec;
use expect_test::expect;

fn model(layers: Vec<LayerSpec>) -> ModelSpec {
    ModelSpec {
        input: vec![2, 3],
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    }
}

#[test]
fn mlp_fuses_relu_and_needs_no_input_gradient() {
    let graph = build(&model(vec![
        LayerSpec::Flatten,
        LayerSpec::dense(4),
        LayerSpec::RELU,
        LayerSpec::dense(5),
    ]));
    let lines: Vec<String> = graph
        .forward
        .iter()
        .chain(&graph.backward)
        .map(|step| format!("{:?}", step.op))
        .collect();
    expect![[r"
        Dense { weight: DenseWeight { tensor: TensorId(0), transposed: false }, bias: Some(TensorId(1)), rows: 1, input: BufferId(0), output: BufferId(1), activation: Relu, slope: None }
        Dense { weight: DenseWeight { tensor: TensorId(2), transposed: false }, bias: Some(TensorId(3)), rows: 1, input: BufferId(1), output: BufferId(2), activation: Identity, slope: None }
        DenseBackward { weight: DenseWeight { tensor: TensorId(2), transposed: false }, bias: Some(TensorId(3)), rows: 1, input: BufferId(1), grad_output: BufferId(3), grad_input: Some(BufferId(4)), adds: false }
        ActivationBackward { activation: Relu, saved: BufferId(1), grad: BufferId(4) }
        DenseBackward { weight: DenseWeight { tensor: TensorId(0), transposed: false }, bias: Some(TensorId(1)), rows: 1, input: BufferId(0), grad_output: BufferId(4), grad_input: None, adds: false }"]].assert_eq(&lines.join("\n"));
    assert_eq!(graph.layout.len(), 6 * 4 + 4 + 4 * 5 + 5);
    assert_eq!(graph.classes, 5);
}

#[test]
fn a_relu_before_the_first_dense_has_no_backward() {
    let graph = build(&model(vec![
        LayerSpec::Flatten,
        LayerSpec::RELU,
        LayerSpec::dense(3),
    ]));
    assert_eq!(graph.forward.len(), 2);
    assert_eq!(graph.backward.len(), 1);
}

#[test]
fn two_relus_in_a_row_are_kept() {
    let layers = vec![
        LayerSpec::Flatten,
        LayerSpec::dense(3),
        LayerSpec::RELU,
        LayerSpec::RELU,
        LayerSpec::dense(2),
    ];
    let graph = build(&model(layers));
    assert_eq!(graph.forward.len(), 3);
    assert_eq!(graph.backward.len(), 4);
}

#[test]
fn flops_of_the_reference_mlp() {
    let layers = vec![LayerSpec::dense(128), LayerSpec::RELU, LayerSpec::dense(10)];
    let spec = ModelSpec {
        input: vec![784],
        ..model(layers)
    };
    assert_eq!(
        build(&spec).flops_per_sample(),
        2 * (2 * 784 * 128 + 3 * 128 * 10)
    );
}

/// Which operations a model of one block has, and where gradients meet.
#[test]
fn residual_blocks_join_gradients_and_tied_layers_add() {
    let graph = build(&ModelSpec {
        input: vec![4],
        layers: vec![
            LayerSpec::Embedding {
                vocabulary: 5,
                width: 6,
            },
            LayerSpec::Residual {
                layers: vec![
                    LayerSpec::LayerNorm { epsilon: 1e-5 },
                    LayerSpec::dense(6),
                    LayerSpec::Activation(Activation::Gelu),
                ],
            },
            LayerSpec::TiedDense { bias: false },
        ],
        loss: LossSpec::SoftmaxCrossEntropy,
    });
    assert_eq!((graph.vocabulary, graph.classes), (Some(5), 5));
    assert_eq!((graph.label_rows(), graph.needs_noise()), (4, false));
    let name = |id: BufferId| graph.buffers[id.0].name.as_str();
    let mut text = String::new();
    for step in graph.forward.iter().chain(&graph.backward) {
        let [mut reads, mut writes] = [Vec::new(), Vec::new()];
        step.op.visit_buffers(&mut |id, access| match access {
            Access::Read => reads.push(name(id)),
            Access::Write | Access::Update => writes.push(name(id)),
        });
        let gradients: Vec<_> = step.op.gradients().collect();
        let (op, path) = (step.op.name(), &graph.layers[step.layer].path);
        writeln!(text, "{path} {op}: {reads:?} -> {writes:?} {gradients:?}").unwrap();
    }
    expect![[r#"
        layers[0] embedding: ["input"] -> ["layers.0.output"] []
        layers[1].layers[0] layer_norm: ["layers.0.output"] -> ["layers.1.layers.0.output", "layers.1.layers.0.statistics"] []
        layers[1].layers[1] dense: ["layers.1.layers.0.output"] -> ["layers.1.layers.1.output", "layers.1.layers.1.slope"] []
        layers[1] add: ["layers.0.output", "layers.1.layers.1.output"] -> ["layers.1.output"] []
        layers[2] dense: ["layers.1.output"] -> ["layers.2.output"] []
        layers[2] dense backward: ["layers.1.output", "loss.grad"] -> ["layers.1.output.grad"] [(TensorId(0), false)]
        layers[1].layers[1] copy: ["layers.1.output.grad"] -> ["copy.grad"] []
        layers[1].layers[1] activation backward: ["layers.1.layers.1.slope"] -> ["copy.grad"] []
        layers[1].layers[1] dense backward: ["layers.1.layers.0.output", "copy.grad"] -> ["layers.1.layers.0.output.grad"] [(TensorId(3), false), (TensorId(4), false)]
        layers[1].layers[0] layer_norm backward: ["layers.0.output", "layers.1.layers.0.statistics", "layers.1.layers.0.output.grad"] -> ["layers.0.output.grad"] [(TensorId(1), false), (TensorId(2), false)]
        layers[1] add: ["layers.1.output.grad", "layers.0.output.grad"] -> ["residual.grad"] []
        layers[0] embedding backward: ["input", "residual.grad"] -> [] [(TensorId(0), true)]
    "#]].assert_eq(&text);
}

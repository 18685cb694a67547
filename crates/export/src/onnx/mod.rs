//! A training graph's forward pass as an ONNX model.
//!
//! Each forward operation becomes the operators that compute the same formula; sums are not in the same order, so
//! results agree but for their last bits. Dropout is left out: it does nothing outside of training.
//!
//! Our images have their channels last, those of ONNX first. Values are turned around where an operator needs it
//! and stay so as long as they can, so that a chain of convolutions and poolings is turned once at each end.

mod ops;
mod proto;
mod values;

use tabswarm_model::graph::LossKind;

use crate::Trained;
use crate::protobuf::Message;
use ops::Writer;
use proto::{FLOAT, INT64, IR_VERSION, OPSET};

/// `ModelProto`.
pub(crate) fn model(trained: &Trained<'_>) -> Vec<u8> {
    let graph = &trained.graph;
    let mut writer = Writer::new(graph, trained.params);
    for step in &graph.forward {
        writer.step(step);
    }
    let loss = &graph.loss;
    let shape = values::row_shape(loss.rows, loss.width);
    let outputs: &[&str] = match loss.kind {
        LossKind::SoftmaxCrossEntropy | LossKind::SoftTargets { .. } => {
            writer.softmax_output("logits", "probabilities");
            &["logits", "probabilities"]
        }
        LossKind::MeanSquaredError { .. } => {
            writer.output("output");
            &["output"]
        }
    };
    let mut message = Message::default();
    for node in &writer.nodes {
        message = message.message(1, node);
    }
    message = message.text(2, &trained.run.name);
    for initializer in &writer.initializers {
        message = message.message(5, initializer);
    }
    let (element, input_shape) = match graph.vocabulary {
        Some(_) => (INT64, vec![graph.input_features()]),
        None => (FLOAT, graph.input_shape.clone()),
    };
    message = message.message(11, &proto::value("input", element, &input_shape));
    for output in outputs {
        message = message.message(12, &proto::value(output, FLOAT, &shape));
    }
    let version = i64::try_from(trained.version).unwrap_or(i64::MAX);
    let opset = Message::default().text(1, "").int(2, OPSET);
    let mut model = Message::default()
        .int(1, IR_VERSION)
        .text(2, "tabswarm")
        .text(3, env!("CARGO_PKG_VERSION"))
        .int(5, version)
        .message(7, &message)
        .message(8, &opset);
    for (key, value) in trained.metadata() {
        let entry = Message::default().text(1, key).text(2, &value);
        model = model.message(14, &entry);
    }
    model.into_bytes()
}

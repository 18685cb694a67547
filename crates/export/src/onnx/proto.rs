//! The messages of ONNX that a model needs, with the field numbers of its `onnx.proto`.

use crate::protobuf::Message;
use crate::to_bytes;

/// Version of the file format: the oldest that has all that is written here, so that older programs open it, too.
pub(super) const IR_VERSION: i64 = 10;
/// Version of the set of operators, which ONNX Runtime has since 1.23. The youngest that is used is `Gelu`, of 20.
pub(super) const OPSET: i64 = 24;

/// `TensorProto.DataType.FLOAT`.
pub(super) const FLOAT: i64 = 1;
/// `TensorProto.DataType.INT64`.
pub(super) const INT64: i64 = 7;

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Text(&'a str),
    Ints(&'a [i64]),
}

impl Attribute<'_> {
    /// `AttributeProto`.
    fn message(self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        match self {
            Self::Float(value) => message.float(2, value).int(20, 1),
            Self::Int(value) => message.int(3, value).int(20, 2),
            Self::Text(text) => message.text(4, text).int(20, 3),
            Self::Ints(values) => message.ints(8, values).int(20, 7),
        }
    }
}

/// `NodeProto`: an operator between named values.
pub(super) fn node(
    operator: &str,
    name: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[(&str, Attribute<'_>)],
) -> Message {
    let mut message = Message::default();
    for input in inputs {
        message = message.text(1, input);
    }
    message = message.text(2, output).text(3, name).text(4, operator);
    for (name, attribute) in attributes {
        message = message.message(5, &attribute.message(name));
    }
    message
}

/// `TensorProto` of floats.
pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> Message {
    tensor(name, FLOAT, &sizes(shape), &to_bytes(values))
}

/// `TensorProto` of integers: a vector, or a single number without an axis.
pub(super) fn integers(name: &str, shape: &[usize], values: &[i64]) -> Message {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    tensor(name, INT64, &sizes(shape), &bytes)
}

fn tensor(name: &str, element: i64, shape: &[i64], bytes: &[u8]) -> Message {
    Message::default()
        .ints(1, shape)
        .int(2, element)
        .text(8, name)
        .bytes(9, bytes)
}

/// `ValueInfoProto`: an input or output of the model; samples come first, as many as there are.
pub(super) fn value(name: &str, element: i64, shape: &[usize]) -> Message {
    let mut axes = Message::default().message(1, &Message::default().text(2, "samples"));
    for &size in &sizes(shape) {
        axes = axes.message(1, &Message::default().int(1, size));
    }
    let tensor = Message::default().int(1, element).message(2, &axes);
    let kind = Message::default().message(1, &tensor);
    Message::default().text(1, name).message(2, &kind)
}

/// Sizes of axes as the format has them.
pub(super) fn sizes(shape: &[usize]) -> Vec<i64> {
    let size = |&size: &usize| i64::try_from(size).expect("sizes of a model are bounded");
    shape.iter().map(size).collect()
}

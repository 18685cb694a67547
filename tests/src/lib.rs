//! Test beds that are too large for one crate: the simulation of a whole network under a seed, and what the
//! tests with real servers and workers share.

pub mod idx;
pub mod reference;
pub mod sim;

/// Data and model of the shipped perceptron, for run files that train it in their own ways.
pub const MNIST_PERCEPTRON: &str = r#"[data]
format = "idx"
path = "mnist"
shuffle_window = 8192
[model]
input = [28, 28, 1]
layers = [
    { kind = "flatten" },
    { kind = "dense", units = 128 },
    { kind = "relu" },
    { kind = "dense", units = 10 },
]
loss = "softmax_cross_entropy"
"#;

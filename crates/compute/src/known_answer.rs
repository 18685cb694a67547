//! Digests of fixed gradients: the same bits natively and in every browser, or something is wrong.
//!
//! A few small networks on made-up data go through the whole engine and through the fixed-point sums: dense
//! layers with odd sizes and with large ones, convolutions with pooling, and a transformer.
//! One hash covers every bit of it. It is for the start of a worker, so it takes milliseconds;
//! [`bits`](crate::bits) is for tests that may take longer.

use tabswarm_model::ArithmeticClass;
use tabswarm_model::graph::{Activation, Padding};
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec, PoolSpec};

use crate::bits::Case;
use crate::cpu::gemm::Path;
use crate::error::ComputeError;
use crate::probe;

/// The seed of all parameters and inputs.
const SEED: u64 = 0;

/// What [`digest`] must return for a class.
pub fn expected(class: ArithmeticClass) -> [u8; 32] {
    match class {
        ArithmeticClass::Portable => PORTABLE,
        ArithmeticClass::Fused => FUSED,
    }
}

/// The digest of the fixed gradients on the fastest path of `class`.
///
/// # Errors
/// [`ComputeError::ClassUnavailable`] where no path gives the class's bits.
pub fn digest(class: ArithmeticClass) -> Result<[u8; 32], ComputeError> {
    let path = probe::fastest_path(class).ok_or(ComputeError::ClassUnavailable { class })?;
    digest_of_path(path)
}

/// The digest of the fixed gradients on a given path.
///
/// # Errors
/// [`ComputeError::ClassUnavailable`] where `path` does not run here.
pub fn digest_of_path(path: Path) -> Result<[u8; 32], ComputeError> {
    let mut hasher = blake3::Hasher::new();
    for (model, samples) in networks() {
        hasher.update(&Case::new(&model, samples, SEED).digest(path)?);
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Every kind of kernel, each network with its number of samples.
fn networks() -> [(ModelSpec, usize); 4] {
    let perceptron = |inputs, hidden, classes| {
        let layers = vec![
            LayerSpec::dense(hidden),
            LayerSpec::RELU,
            LayerSpec::dense(classes),
        ];
        network(&[inputs], layers)
    };
    [
        (perceptron(17, 13, 5), 7),
        (perceptron(300, 70, 10), 16),
        (images(), 5),
        (sequences(), 3),
    ]
}

fn network(input: &[usize], layers: Vec<LayerSpec>) -> ModelSpec {
    ModelSpec {
        input: input.to_vec(),
        layers,
        loss: LossSpec::SoftmaxCrossEntropy,
    }
}

/// Convolutions that start at the image, that follow another one, and that have groups; both kinds of pooling.
fn images() -> ModelSpec {
    let convolution = |channels, stride, groups| LayerSpec::Conv2d {
        channels,
        kernel: [3, 3],
        stride: [stride, 1],
        padding: Padding::Same,
        groups,
        bias: true,
    };
    let pool = |size, stride| PoolSpec {
        size: [size, size],
        stride: [stride, stride],
    };
    let layers = vec![
        convolution(18, 1, 1),
        LayerSpec::MaxPool(pool(2, 2)),
        LayerSpec::RELU,
        convolution(20, 2, 2),
        LayerSpec::Activation(Activation::Tanh),
        LayerSpec::AvgPool(pool(2, 1)),
        LayerSpec::Flatten,
        LayerSpec::Dropout { rate: 0.25 },
        LayerSpec::dense(7),
    ];
    network(&[12, 11, 3], layers)
}

/// A transformer's block, with scores by the embedding's own table.
fn sequences() -> ModelSpec {
    let norm = || LayerSpec::LayerNorm { epsilon: 1e-5 };
    let attention = |causal| LayerSpec::Residual {
        layers: vec![norm(), LayerSpec::Attention { heads: 3, causal }],
    };
    let network_of_each = LayerSpec::Residual {
        layers: vec![
            norm(),
            LayerSpec::dense(45),
            LayerSpec::Activation(Activation::Gelu),
            LayerSpec::dense(27),
            LayerSpec::Activation(Activation::Sigmoid),
        ],
    };
    let layers = vec![
        LayerSpec::Embedding {
            vocabulary: 29,
            width: 27,
        },
        LayerSpec::PositionalEmbedding,
        attention(true),
        network_of_each,
        attention(false),
        norm(),
        LayerSpec::TiedDense { bias: true },
    ];
    network(&[21], layers)
}

const PORTABLE: [u8; 32] = [
    0xf3, 0xe7, 0xba, 0x75, 0xa2, 0x45, 0x4f, 0xfd, 0x07, 0xc0, 0x5c, 0xed, 0x7b, 0x4c, 0x8e, 0xbc,
    0x54, 0xa5, 0x90, 0x1f, 0xf4, 0xc7, 0x38, 0xf8, 0x47, 0xf0, 0x6e, 0x47, 0x5a, 0x99, 0x57, 0x80,
];
const FUSED: [u8; 32] = [
    0xfd, 0x68, 0x5e, 0x6e, 0x66, 0xd8, 0x63, 0xa0, 0xb7, 0xaa, 0xc8, 0x41, 0xa1, 0x65, 0x75, 0x91,
    0xeb, 0x9b, 0xac, 0x50, 0xb6, 0xb0, 0xa3, 0x49, 0x4a, 0x05, 0x5e, 0x67, 0xda, 0xc2, 0xb9, 0xd0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_path_gives_the_digest_of_its_class() {
        for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
            let digest = digest_of_path(path).unwrap();
            assert_eq!(hex(digest), hex(expected(path.class())), "{path:?}");
        }
    }

    #[test]
    fn every_kind_of_operation_is_in_it() {
        let names = |case: &Case| -> Vec<&'static str> {
            let steps = case.graph.forward.iter().chain(&case.graph.backward);
            steps.map(|step| step.op.name()).collect()
        };
        let known: Vec<&str> = networks()
            .iter()
            .flat_map(|(model, samples)| names(&Case::new(model, *samples, SEED)))
            .collect();
        for seed in 0..200 {
            for name in names(&Case::random(seed)) {
                assert!(known.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn the_classes_differ() {
        assert_ne!(PORTABLE, FUSED);
    }

    fn hex(digest: [u8; 32]) -> String {
        digest.map(|byte| format!("{byte:02x}")).concat()
    }
}

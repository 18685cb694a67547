//! Digests of fixed gradients: the same bits natively and in every browser, or something is wrong.
//!
//! Two small networks on made-up data go through the whole engine, once with odd sizes and once with the
//! shape of the reference network, and through the fixed-point sums. One hash covers every bit of it.

use std::sync::Arc;

use tabswarm_model::fixed_point::fitting_exponent;
use tabswarm_model::run_file::{LayerSpec, LossSpec, ModelSpec};
use tabswarm_model::{ArithmeticClass, Graph, graph};

use crate::accumulator::LeaseAccumulator;
use crate::batch::Batch;
use crate::cpu::gemm::Path;
use crate::cpu::magnitude::largest_magnitude;
use crate::engine::Engine;
use crate::error::ComputeError;
use crate::probe;

/// Inputs, hidden units, classes and samples of each network.
const NETWORKS: [(usize, usize, u16, usize); 2] = [(17, 13, 5, 7), (784, 128, 10, 32)];

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
    for (inputs, hidden, classes, samples) in NETWORKS {
        let graph = Arc::new(network(inputs, hidden, usize::from(classes)));
        let mut values = Sequence(0);
        let params: Vec<f32> = (0..graph.layout.len())
            .map(|_| values.next_f32() * 0.125)
            .collect();
        let batch_inputs: Vec<f32> = (0..samples * inputs).map(|_| values.next_f32()).collect();
        let labels: Vec<u16> = (0..samples).map(|_| values.next_u16() % classes).collect();

        let mut engine = Engine::with_path(Arc::clone(&graph), path, samples)?;
        engine.set_params(&params)?;
        let batch = Batch {
            inputs: &batch_inputs,
            labels: &labels,
        };
        let stats = engine.gradient(batch)?;
        let gradient = engine.gradient_buffer();
        hasher.update(&stats.samples.to_le_bytes());
        hasher.update(&stats.loss_q20.to_le_bytes());
        hasher.update(&stats.correct.to_le_bytes());
        for value in gradient {
            hasher.update(&value.to_bits().to_le_bytes());
        }
        for sum in fixed_point_sums(&graph, gradient) {
            hasher.update(&sum.to_le_bytes());
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// The gradient added twice, with the largest exponents that fit.
fn fixed_point_sums(graph: &Graph, gradient: &[f32]) -> Vec<i32> {
    let exponents: Vec<i8> = graph
        .layout
        .tensors()
        .iter()
        .map(|tensor| largest_magnitude(&gradient[tensor.range()]))
        .map(|largest| fitting_exponent(largest.expect("the engine gives finite gradients only")))
        .collect();
    let mut accumulator = LeaseAccumulator::new(&graph.layout);
    for _ in 0..2 {
        accumulator
            .add(gradient, &exponents)
            .expect("the exponents were chosen to fit");
    }
    accumulator.sums().to_vec()
}

fn network(inputs: usize, hidden: usize, classes: usize) -> Graph {
    graph::build(&ModelSpec {
        input: vec![inputs],
        layers: vec![
            LayerSpec::dense(hidden),
            LayerSpec::RELU,
            LayerSpec::dense(classes),
        ],
        loss: LossSpec::SoftmaxCrossEntropy,
    })
}

/// A `SplitMix64` sequence: numbers that look random and need no library to stay as they are.
struct Sequence(u64);

impl Sequence {
    fn next_u16(&mut self) -> u16 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., low, high] = (z ^ (z >> 31)).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// A multiple of 2^-15 in [-1, 1).
    fn next_f32(&mut self) -> f32 {
        (f32::from(self.next_u16()) - 32_768.0) / 32_768.0
    }
}

const PORTABLE: [u8; 32] = [
    0x40, 0x64, 0x96, 0xbd, 0xc3, 0xfb, 0x77, 0x79, 0xb2, 0x1e, 0xd5, 0x43, 0x32, 0xa0, 0xa2, 0x7b,
    0x07, 0xb4, 0x84, 0xb4, 0x45, 0x35, 0x78, 0xc4, 0xed, 0xae, 0x45, 0x9c, 0xc1, 0xeb, 0x17, 0x8b,
];
const FUSED: [u8; 32] = [
    0x99, 0x9d, 0x8b, 0xaa, 0x5f, 0x7a, 0xe1, 0x03, 0xd3, 0xf5, 0x83, 0x37, 0xea, 0xb2, 0x85, 0xa8,
    0xae, 0x21, 0x3b, 0xd1, 0xa1, 0x48, 0x8d, 0x01, 0x50, 0x36, 0x57, 0x3a, 0x7f, 0xcc, 0xd8, 0x31,
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
    fn the_classes_differ() {
        assert_ne!(PORTABLE, FUSED);
    }

    fn hex(digest: [u8; 32]) -> String {
        digest.map(|byte| format!("{byte:02x}")).concat()
    }
}

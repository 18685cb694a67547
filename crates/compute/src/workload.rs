//! Made-up samples and parameters with the shapes of a graph, to measure how fast an engine is.

use tabswarm_model::graph::Graph;
use tabswarm_model::init::initial_params;
use tabswarm_model::noise::NoiseKey;

use crate::batch::Batch;

/// The seed of the parameters; speed does not depend on it.
const SEED: u64 = 1;
/// A prime: inputs follow no pattern that a cache or a branch predictor could learn.
const STRIDE: usize = 7_919;

/// One micro-batch and the parameters to compute it with.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Flat, in layout order, as a run begins with them.
    pub params: Vec<f32>,
    inputs: Vec<f32>,
    labels: Vec<u16>,
}

impl Workload {
    /// A micro-batch of `samples` samples.
    pub fn new(graph: &Graph, samples: usize) -> Self {
        let inputs = 0..samples * graph.input_features();
        let inputs = match graph.vocabulary {
            Some(vocabulary) => inputs
                .map(|idx| (idx * STRIDE % vocabulary) as f32)
                .collect(),
            // Like bytes of an image.
            None => inputs
                .map(|idx| (idx * STRIDE % 256) as f32 / 255.0)
                .collect(),
        };
        let classes = u16::try_from(graph.classes).unwrap_or(u16::MAX);
        let labels = samples * graph.label_rows();
        Self {
            params: initial_params(&graph.layout, SEED),
            inputs,
            labels: (0..classes).cycle().take(labels).collect(),
        }
    }

    /// The micro-batch.
    pub fn batch(&self) -> Batch<'_> {
        let noise = NoiseKey {
            seed: SEED,
            version: 0,
            micro_batch: 0,
        };
        Batch {
            noise: Some(noise),
            ..Batch::labeled(&self.inputs, &self.labels)
        }
    }
}

//! Whether a lane has room for the model.

use super::Check;
use crate::graph::{LayerInfo, build};
use crate::run_file::{MAX_LANE_BYTES, ModelSpec};

impl Check {
    /// Checks the memory of a lane; the model's shapes must fit.
    pub(super) fn memory(&mut self, model: &ModelSpec, micro_batch: u32) {
        let graph = build(model);
        let total = |samples| graph.memory(samples).total();
        let needed = total(micro_batch as usize);
        if needed <= MAX_LANE_BYTES {
            return;
        }
        let problem = |samples: u32| {
            let needed = megabytes(total(samples as usize));
            let limit = megabytes(MAX_LANE_BYTES);
            format!(
                "micro-batches of {samples} take about {needed} MB in each lane, more than {limit} MB"
            )
        };
        if total(1) > MAX_LANE_BYTES {
            let size = |layer: &&LayerInfo| {
                let values: usize = layer.output_shape.iter().product();
                layer.parameters.saturating_mul(5).saturating_add(values)
            };
            let largest = graph.layers.iter().max_by_key(size);
            let place = largest.map_or("layers", |layer| layer.path.as_str());
            let remedy =
                "not even one sample fits: use smaller or fewer layers, this is the largest";
            self.require(false, &format!("model.{place}"), problem(1), remedy);
            return;
        }
        let (mut fits, mut exceeds) = (1, micro_batch);
        while exceeds - fits > 1 {
            let middle = fits.midpoint(exceeds);
            if total(middle as usize) <= MAX_LANE_BYTES {
                fits = middle;
            } else {
                exceeds = middle;
            }
        }
        let remedy = format!("write at most {fits}, or use smaller layers");
        self.require(false, "train.micro_batch", problem(micro_batch), &remedy);
    }
}

fn megabytes(bytes: usize) -> usize {
    bytes.div_ceil(1_000_000)
}

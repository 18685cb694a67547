//! The inner steps of a shard: what a worker does between two rounds of a local run.
//!
//! Douillard et al., "`DiLoCo`: distributed low-communication training of language models", 2023. Each shard
//! begins at the round's parameters with an optimizer in its first state, so that what it gives follows from
//! the round and the shard alone, whoever does it.

use std::sync::Arc;

use crate::master::Diverged;
use crate::optim::{Optimizer, clip_global_norm};
use crate::rounding::narrow;
use crate::run_file::Run;

/// Parameters on their way through the inner steps of a shard.
#[derive(Debug)]
pub struct InnerSteps {
    start: Arc<[f32]>,
    params: Vec<f32>,
    optimizer: Optimizer,
    learning_rate: f32,
    clip_norm: Option<f32>,
    /// Sum over the micro-batches of the step in progress.
    gradient: Vec<f32>,
    done: u32,
}

impl InnerSteps {
    /// The beginning of a shard.
    pub fn new(run: &Run, start: Arc<[f32]>) -> Self {
        Self {
            params: start.to_vec(),
            optimizer: Optimizer::new(run.optimizer, start.len()),
            learning_rate: run.optimizer.learning_rate,
            clip_norm: run.clip_norm,
            gradient: vec![0.0; start.len()],
            start,
            done: 0,
        }
    }

    /// The parameters of the next step.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Steps done.
    pub fn done(&self) -> u32 {
        self.done
    }

    /// Adds the gradient of the sum of a micro-batch's losses, in the order of micro-batches.
    pub fn add(&mut self, gradient: &[f32]) {
        debug_assert_eq!(gradient.len(), self.gradient.len(), "one model");
        for (sum, &value) in self.gradient.iter_mut().zip(gradient) {
            *sum += value;
        }
    }

    /// Takes a step with the mean gradient of `samples` samples; `rate_factor` is the schedule's.
    ///
    /// # Errors
    /// [`Diverged`]; the shard can't go on.
    pub fn step(&mut self, samples: u32, rate_factor: f64) -> Result<(), Diverged> {
        let scale = narrow(1.0 / f64::from(samples.max(1)));
        self.gradient.iter_mut().for_each(|g| *g *= scale);
        if let Some(max_norm) = self.clip_norm {
            clip_global_norm(&mut self.gradient, max_norm);
        }
        let learning_rate = narrow(f64::from(self.learning_rate) * rate_factor);
        self.optimizer
            .step(&mut self.params, &self.gradient, learning_rate);
        self.gradient.fill(0.0);
        self.done += 1;
        match self.params.iter().position(|p| !p.is_finite()) {
            Some(parameter_idx) => Err(Diverged { parameter_idx }),
            None => Ok(()),
        }
    }

    /// What the shard moved, as a gradient: a step against it goes where the shard went.
    pub fn moved(&self) -> Vec<f32> {
        let pairs = self.start.iter().zip(&self.params);
        pairs.map(|(start, now)| start - now).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run::from_toml(
            r#"
name = "inner"
seed = 1
data = { format = "idx", path = "d" }
model = { input = [2], layers = [{ kind = "dense", units = 2 }], loss = "softmax_cross_entropy" }
train = { epochs = 1, micro_batch = 2, global_batch = 8 }
optimizer = { kind = "sgd", learning_rate = 0.5 }
sync = { mode = "local", inner_steps = 2, shards = 1 }
"#,
        )
        .unwrap()
    }

    #[test]
    fn a_shard_moves_by_its_steps() {
        let mut inner = InnerSteps::new(&run(), vec![1.0; 6].into());
        inner.add(&[2.0; 6]);
        inner.add(&[6.0; 6]);
        inner.step(4, 1.0).unwrap();
        assert_eq!(inner.params(), [0.0; 6]);
        inner.add(&[-4.0; 6]);
        inner.step(4, 0.5).unwrap();
        assert_eq!(inner.params(), [0.25; 6]);
        assert_eq!((inner.done(), inner.moved()), (2, vec![0.75; 6]));
    }

    #[test]
    fn a_shard_that_diverges_says_so() {
        let mut inner = InnerSteps::new(&run(), vec![1.0; 6].into());
        inner.add(&[f32::MAX; 6]);
        inner.add(&[f32::MAX; 6]);
        assert!(inner.step(1, 1.0).is_err());
    }
}

//! What lanes compute with.

use std::fmt;
use std::sync::Arc;

use tabswarm_compute::{ArithmeticClass, Batch, BatchStats, ComputeError, Engine};
use tabswarm_model::{Graph, Run};

/// Makes engines. Every lane asks for its own, on its own thread, which the engine never leaves.
pub trait Backend: fmt::Debug + Send + Sync {
    /// An engine for batches of up to `max_samples` samples.
    ///
    /// # Errors
    /// Where this machine can't give the bits of the class.
    fn engine(
        &self,
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Box<dyn GradientEngine>, ComputeError>;

    /// An engine for the micro-batches of a run.
    ///
    /// # Errors
    /// As [`Self::engine`].
    fn engine_of_run(
        &self,
        graph: &Arc<Graph>,
        run: &Run,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        self.engine(Arc::clone(graph), run.class, run.micro_batch as usize)
    }
}

/// Computes gradients. What it does when it panics does not matter: it is thrown away then.
pub trait GradientEngine: fmt::Debug {
    /// Takes over a version of the parameters, flat in layout order.
    ///
    /// # Errors
    /// As [`Engine::set_params`].
    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError>;

    /// Computes a batch; the gradient of the sum of its losses is then in [`Self::gradient_buffer`].
    ///
    /// # Errors
    /// As [`Engine::gradient`].
    fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError>;

    /// What the last successful [`Self::gradient`] left: flat, in layout order.
    fn gradient_buffer(&self) -> &[f32];

    /// Whether [`Self::add`] works now: gradients are added up where they are computed.
    fn adds_up(&self) -> bool {
        false
    }

    /// Computes a batch and keeps its gradient. After an error nothing is kept, and [`Self::adds_up`] may say no.
    ///
    /// # Errors
    /// Where the batch can't be computed this way.
    fn add(&mut self, _batch: Batch<'_>) -> Result<(), String> {
        Err("this engine does not add up".to_owned())
    }

    /// Adds what is kept to `sums`, and keeps nothing.
    ///
    /// # Errors
    /// Where it can't be had; nothing is added then.
    fn finish(&mut self, _sums: &mut [f32]) -> Result<BatchStats, NoSums> {
        Err("this engine does not add up".to_owned().into())
    }

    /// What the loss is multiplied with before it is differentiated, where that makes a difference.
    fn set_loss_scale(&mut self, _scale: f32) {}
}

/// Why gradients were not added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSums {
    /// They would be with a smaller scale of the loss.
    ScaleTooLarge,
    /// They can't be.
    Failed(String),
}

impl From<String> for NoSums {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// The engine of `tabswarm-compute`, on one core.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu;

impl Backend for Cpu {
    fn engine(
        &self,
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        Ok(Box::new(Engine::new(graph, class, max_samples)?))
    }
}

impl GradientEngine for Engine {
    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        Self::set_params(self, params)
    }

    fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        Self::gradient(self, batch)
    }

    fn gradient_buffer(&self) -> &[f32] {
        Self::gradient_buffer(self)
    }
}

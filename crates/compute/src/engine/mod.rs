//! One lane: walks the training graph over planned buffers.

mod check;
mod kernel;
mod params;
mod run;
mod sequence;

use std::sync::Arc;

use tabswarm_model::graph::{LossKind, Step};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::{ArithmeticClass, Graph};

use self::kernel::Kernel;
use self::params::Params;
use self::run::Lane;
use crate::batch::{Batch, BatchStats};
use crate::cpu::aligned::AlignedBuffer;
use crate::cpu::arena::Arena;
use crate::cpu::attention::Attention;
use crate::cpu::gemm::{Gemm, Path};
use crate::cpu::loss::{self, Pass};
use crate::cpu::magnitude::largest_magnitude;
use crate::error::ComputeError;
use crate::probe;

/// Computes gradients, losses and predictions of one graph on the calling thread.
///
/// All memory is taken in [`Engine::new`]; nothing is allocated afterwards.
#[derive(Debug)]
pub struct Engine {
    graph: Arc<Graph>,
    path: Path,
    max_samples: usize,
    has_params: bool,
    gemm: Gemm,
    params: Params,
    /// One for each forward operation.
    forward: Vec<Kernel>,
    /// One for each backward operation.
    backward: Vec<Kernel>,
    /// Shared by the operations.
    attentions: Vec<Attention>,
    arena: Arena,
    gradient: AlignedBuffer,
}

impl Engine {
    /// An engine for batches of up to `max_samples`, on the fastest path of `class`.
    ///
    /// # Errors
    /// [`ComputeError::ClassUnavailable`] where the known-answer test finds no path that gives the bits.
    pub fn new(
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Self, ComputeError> {
        let path = probe::fastest_path(class).ok_or(ComputeError::ClassUnavailable { class })?;
        Self::with_path(graph, path, max_samples)
    }

    /// An engine on a given path, for tests and measurements.
    ///
    /// # Errors
    /// [`ComputeError::ClassUnavailable`] where this build and machine cannot run `path`.
    pub fn with_path(
        graph: Arc<Graph>,
        path: Path,
        max_samples: usize,
    ) -> Result<Self, ComputeError> {
        let class = path.class();
        let mut gemm = Gemm::new(path).ok_or(ComputeError::ClassUnavailable { class })?;
        let mut kernels = |steps: &[Step]| -> Vec<Kernel> {
            let kernel = |step: &Step| Kernel::new(&graph, &step.op, &mut gemm);
            steps.iter().map(kernel).collect()
        };
        let (forward, backward) = (kernels(&graph.forward), kernels(&graph.backward));
        Ok(Self {
            path,
            max_samples,
            has_params: false,
            gemm,
            params: Params::new(&graph),
            forward,
            backward,
            attentions: sequence::attentions(&graph),
            arena: Arena::new(&graph, max_samples),
            gradient: AlignedBuffer::new(graph.layout.len()),
            graph,
        })
    }

    /// The arithmetic class whose bits this engine gives.
    pub fn class(&self) -> ArithmeticClass {
        self.path.class()
    }

    /// The graph that this engine runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over a version of the parameters (flat, in layout order).
    ///
    /// # Errors
    /// Wrong length, or a value that is not finite; the engine then keeps what it had.
    pub fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        let graph = &*self.graph;
        if params.len() != graph.layout.len() {
            return Err(ComputeError::ParamsLength {
                got: params.len(),
                expected: graph.layout.len(),
            });
        }
        check::finite(graph, params)?;
        self.params.set(graph, params);
        let forward = graph.forward.iter().zip(&mut self.forward);
        let backward = graph.backward.iter().zip(&mut self.backward);
        for (step, kernel) in forward.chain(backward) {
            kernel.set_params(graph, &step.op, &self.gemm, params);
        }
        self.has_params = true;
        Ok(())
    }

    /// Forward and backward pass. The gradient of the *sum* of the losses is then in
    /// [`Self::gradient_buffer`].
    ///
    /// # Errors
    /// A batch that does not fit, or values that are not finite; see [`ComputeError`].
    pub fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let samples = self.check(&batch)?;
        let noise = batch.noise.filter(|_| self.graph.needs_noise());
        if self.graph.needs_noise() && noise.is_none() {
            return Err(ComputeError::NoiseMissing);
        }
        self.run_forward(batch.inputs, samples, noise);
        let stats = self.loss(&batch, samples, Pass::Backward)?;
        let (mut lane, _, kernels) = self.lane(batch.inputs, samples, noise);
        for (step, kernel) in lane.graph.backward.iter().zip(kernels) {
            lane.run(&step.op, kernel);
        }
        check::finite(&self.graph, &self.gradient)?;
        Ok(stats)
    }

    /// What the last successful [`Self::gradient`] left: flat, in layout order.
    pub fn gradient_buffer(&self) -> &[f32] {
        &self.gradient
    }

    /// Forward pass only, without dropout: loss and correct answers.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub fn evaluate(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let samples = self.check(&batch)?;
        self.run_forward(batch.inputs, samples, None);
        self.loss(&batch, samples, Pass::Forward)
    }

    /// The predictions, (samples, rows, width): probabilities of the classes for the losses on softmax, else
    /// what the last layer gives.
    ///
    /// # Errors
    /// A batch that does not fit; see [`ComputeError`].
    pub fn predict(&mut self, inputs: &[f32], samples: usize) -> Result<&[f32], ComputeError> {
        if !self.has_params {
            return Err(ComputeError::ParamsMissing);
        }
        check::inputs(&self.graph, inputs, samples, self.max_samples)?;
        self.run_forward(inputs, samples, None);
        let loss = self.graph.loss;
        let mut buffers = self.arena.with_batch(inputs, samples);
        let (reads, to) = buffers.split_one(loss.grad);
        let predictions = reads.at(loss.prediction);
        if largest_magnitude(predictions).is_none() {
            let tensor = self.graph.buffers[loss.prediction.0].name.clone();
            return Err(ComputeError::NonFinite { tensor });
        }
        match loss.kind {
            LossKind::MeanSquaredError { .. } => to.copy_from_slice(predictions),
            _ => loss::softmax(self.path, predictions, to, loss.width),
        }
        Ok(self.arena.stored(loss.grad, samples))
    }

    fn check(&self, batch: &Batch<'_>) -> Result<usize, ComputeError> {
        if !self.has_params {
            return Err(ComputeError::ParamsMissing);
        }
        check::batch(&self.graph, batch, self.max_samples)
    }

    /// What operations run on, and the kernels of both passes.
    fn lane<'a>(
        &'a mut self,
        inputs: &'a [f32],
        samples: usize,
        noise: Option<NoiseKey>,
    ) -> (Lane<'a>, &'a mut [Kernel], &'a mut [Kernel]) {
        let lane = Lane {
            graph: &self.graph,
            path: self.path,
            gemm: &mut self.gemm,
            params: &self.params,
            attentions: &mut self.attentions,
            buffers: self.arena.with_batch(inputs, samples),
            gradient: &mut self.gradient,
            noise,
        };
        (lane, &mut self.forward, &mut self.backward)
    }

    fn run_forward(&mut self, inputs: &[f32], samples: usize, noise: Option<NoiseKey>) {
        let (mut lane, kernels, _) = self.lane(inputs, samples, noise);
        for (step, kernel) in lane.graph.forward.iter().zip(kernels) {
            lane.run(&step.op, kernel);
        }
    }

    fn loss(
        &mut self,
        batch: &Batch<'_>,
        samples: usize,
        pass: Pass,
    ) -> Result<BatchStats, ComputeError> {
        let loss = self.graph.loss;
        let mut buffers = self.arena.with_batch(batch.inputs, samples);
        let (reads, grad) = buffers.split_one(loss.grad);
        loss::run(
            self.path,
            &loss,
            pass,
            reads.at(loss.prediction),
            batch.targets,
            grad,
        )
    }
}

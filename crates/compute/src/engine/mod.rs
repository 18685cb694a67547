//! One lane: walks the training graph over planned buffers.

pub(crate) mod check;
mod kernel;
mod observer;
mod params;
mod run;
mod sequence;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use tabswarm_model::graph::{LossKind, Step};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::{ArithmeticClass, Graph};

use self::kernel::Kernel;
pub use self::observer::{Observer, Stage};
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
    /// Samples that go through the graph together.
    at_once: usize,
    has_params: bool,
    gemm: Gemm,
    params: Params,
    /// One for each forward operation.
    forward: Vec<Kernel>,
    /// One for each backward operation.
    backward: Vec<Kernel>,
    /// Shared by the operations.
    attentions: Vec<Attention>,
    /// For `at_once` samples.
    arena: Arena,
    /// (`max_samples`, rows, width).
    predictions: AlignedBuffer,
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
        let at_once = graph.samples_at_once(max_samples);
        Self::with_groups(graph, path, max_samples, at_once)
    }

    /// An engine in which up to `at_once` samples go through the graph together.
    fn with_groups(
        graph: Arc<Graph>,
        path: Path,
        max_samples: usize,
        at_once: usize,
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
            at_once,
            arena: Arena::new(&graph, at_once),
            predictions: AlignedBuffer::new(max_samples * graph.features(graph.loss.prediction)),
            gradient: AlignedBuffer::new(graph.layout.len()),
            graph,
        })
    }

    /// The arithmetic class whose bits this engine gives.
    pub fn class(&self) -> ArithmeticClass {
        self.path.class()
    }

    /// The inner loops that this engine runs.
    pub fn path(&self) -> Path {
        self.path
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
        self.gradient_observed(batch, &mut ())
    }

    /// [`Self::gradient`] with somebody who is told of every stage.
    ///
    /// # Errors
    /// As [`Self::gradient`].
    pub fn gradient_observed(
        &mut self,
        batch: Batch<'_>,
        observer: &mut impl Observer,
    ) -> Result<BatchStats, ComputeError> {
        let samples = self.check(&batch)?;
        let noise = batch.noise.filter(|_| self.graph.needs_noise());
        if self.graph.needs_noise() && noise.is_none() {
            return Err(ComputeError::NoiseMissing);
        }
        observer.finished(Stage::CheckBatch);
        let mut stats = BatchStats::default();
        for part in self.parts(samples) {
            let inputs = &batch.inputs[self.inputs_of(&part)];
            self.run_forward(inputs, &part, noise, observer);
            stats = self.loss(&batch, &part, Pass::Backward, stats)?;
            observer.finished(Stage::Loss);
            let (mut lane, _, kernels) = self.lane(inputs, &part, noise);
            for (idx, (step, kernel)) in lane.graph.backward.iter().zip(kernels).enumerate() {
                lane.run(&step.op, kernel);
                observer.finished(Stage::Backward(idx));
            }
        }
        check::finite(&self.graph, &self.gradient)?;
        observer.finished(Stage::CheckGradient);
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
        let mut stats = BatchStats::default();
        for part in self.parts(samples) {
            self.run_forward(&batch.inputs[self.inputs_of(&part)], &part, None, &mut ());
            stats = self.loss(&batch, &part, Pass::Forward, stats)?;
        }
        Ok(stats)
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
        let features = self.graph.features(self.graph.loss.prediction);
        for part in self.parts(samples) {
            let inputs = &inputs[self.inputs_of(&part)];
            self.run_forward(inputs, &part, None, &mut ());
            let loss = &self.graph.loss;
            let mut buffers = self.arena.with_batch(inputs, part.len());
            let (reads, _) = buffers.split([None, None]);
            let predictions = reads.at(loss.prediction);
            if largest_magnitude(predictions).is_none() {
                let tensor = self.graph.buffers[loss.prediction.0].name.clone();
                return Err(ComputeError::NonFinite { tensor });
            }
            let to = &mut self.predictions[part.start * features..part.end * features];
            match loss.kind {
                LossKind::MeanSquaredError { .. } => to.copy_from_slice(predictions),
                _ => loss::softmax(self.path, predictions, to, loss.width),
            }
        }
        Ok(&self.predictions[..samples * features])
    }

    /// The samples of a batch in the groups that go through the graph together.
    fn parts(&self, samples: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let at_once = self.at_once;
        let firsts = (0..samples).step_by(at_once);
        firsts.map(move |first| first..samples.min(first + at_once))
    }

    /// Where the inputs of some samples are.
    fn inputs_of(&self, part: &Range<usize>) -> Range<usize> {
        let features = self.graph.input_features();
        part.start * features..part.end * features
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
        part: &Range<usize>,
        noise: Option<NoiseKey>,
    ) -> (Lane<'a>, &'a mut [Kernel], &'a mut [Kernel]) {
        let lane = Lane {
            graph: &self.graph,
            path: self.path,
            gemm: &mut self.gemm,
            params: &self.params,
            attentions: &mut self.attentions,
            buffers: self.arena.with_batch(inputs, part.len()),
            gradient: &mut self.gradient,
            first_sample: part.start,
            noise,
        };
        (lane, &mut self.forward, &mut self.backward)
    }

    fn run_forward(
        &mut self,
        inputs: &[f32],
        part: &Range<usize>,
        noise: Option<NoiseKey>,
        observer: &mut impl Observer,
    ) {
        let (mut lane, kernels, _) = self.lane(inputs, part, noise);
        for (idx, (step, kernel)) in lane.graph.forward.iter().zip(kernels).enumerate() {
            lane.run(&step.op, kernel);
            observer.finished(Stage::Forward(idx));
        }
    }

    /// Adds the losses of a part of the batch to `before`.
    fn loss(
        &mut self,
        batch: &Batch<'_>,
        part: &Range<usize>,
        pass: Pass,
        before: BatchStats,
    ) -> Result<BatchStats, ComputeError> {
        let loss = self.graph.loss;
        let targets = batch.targets.part(&loss, part);
        let inputs = &batch.inputs[self.inputs_of(part)];
        let mut buffers = self.arena.with_batch(inputs, part.len());
        let (reads, grad) = buffers.split_one(loss.grad);
        let prediction = reads.at(loss.prediction);
        loss::run(self.path, &loss, pass, prediction, targets, (grad, before))
    }
}

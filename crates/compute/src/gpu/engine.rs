//! The training graph of a model on a GPU: gradients of a lease are added up on the device and read back once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tabswarm_model::noise::NoiseKey;
use tabswarm_model::run_file::Precision;
use tabswarm_model::{ArithmeticClass, Graph};

use super::agreement::Agreement;
use super::device::GpuDevice;
use super::error::GpuError;
#[cfg(test)]
use super::faults::Fault;
use super::known_answer;
use super::program::{Memory, Program};
use super::recording::places::Slot;
use super::recording::{COUNTS, MAX_TURNS, OVERFLOWS, Recording, TURN_WORDS};
use super::simulation::as_values;
use super::twins::{UNWRITTEN, bounded, checksum, halves};
use crate::batch::{Batch, BatchStats, Targets};
use crate::engine::{Engine, check};
use crate::error::ComputeError;

/// One micro-batch in so many is computed again on the CPU.
const CANARY_EVERY: u64 = 50;
/// What a canary must reach, a little wider than tests ask of good gradients: near its end a run's are small
/// differences of large numbers.
const CANARY_COSINE: f64 = 0.9999;
const CANARY_DIFFERENCE: f64 = 1e-3;
/// The same in half precision. Good gradients reach 0.999, but where predictions are nearly right what is left is as
/// small as their rounding; a device that is broken is far from either.
const HALF_CANARY_COSINE: f64 = 0.95;
const HALF_CANARY_DIFFERENCE: f64 = 0.35;
/// Losses are counted in units of 2^-20 nats.
const LOSS_UNITS_PER_NAT: f64 = 1_048_576.0;

/// The programs for a number of samples.
#[derive(Debug)]
struct Programs {
    gradient: Program,
    accumulate: Program,
}

impl Programs {
    /// Once each kernel has shown that it is right.
    async fn new(
        device: &GpuDevice,
        memory: &Memory,
        recording: &Recording,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let variants = known_answer::variants(recording.all());
        device.test_kernels(&variants, precision).await?;
        Ok(Self {
            gradient: Program::new(device, memory, &recording.gradient).await?,
            accumulate: Program::new(device, memory, &recording.accumulate).await?,
        })
    }
}

/// Computes gradients of one graph on a GPU.
///
/// Kernels are compared with their twins in [`Self::new`]. From then on a lease's sums have a checksum, values that
/// no kernel wrote are counted, and the first micro-batch and every fiftieth after it are computed again on the
/// CPU. Whatever is wrong is an error before anything is handed out; the engine is of no use after most.
#[derive(Debug)]
pub struct GpuEngine {
    device: Arc<GpuDevice>,
    graph: Arc<Graph>,
    max_samples: usize,
    precision: Precision,
    /// What the loss is multiplied with.
    scale: f32,
    memory: Memory,
    /// By number of samples.
    programs: BTreeMap<usize, Programs>,
    seal: Program,
    staging: wgpu::Buffer,
    canary: Engine,
    params: Vec<f32>,
    /// Samples of the lease so far, and its micro-batches.
    samples: u32,
    turns: usize,
    nonce: u32,
    /// Micro-batches since the beginning.
    computed: u64,
    gradient: Vec<f32>,
    #[cfg(test)]
    pub(super) fault: Option<Fault>,
    #[cfg(test)]
    pub(super) earlier: Vec<f32>,
}

impl GpuEngine {
    /// An engine for micro-batches of up to `max_samples`, once every kernel has shown that it is right.
    ///
    /// # Errors
    /// Where the model does not fit the device, a kernel can't be made or is wrong, or the device fails.
    pub async fn new(
        device: Arc<GpuDevice>,
        graph: Arc<Graph>,
        max_samples: usize,
        precision: Precision,
    ) -> Result<Self, GpuError> {
        let shape = device.shape().await?;
        let recording = Recording::new(&graph, max_samples, shape, precision);
        let memory = Memory::new(&device, &recording.sizes).await?;
        let programs = Programs::new(&device, &memory, &recording, precision).await?;
        let seal = Program::new(&device, &memory, &recording.seal).await?;
        let returned = RETURNED.iter().map(|slot| recording.sizes[slot]).sum();
        let staging = device.staging(returned).await?;
        let class = ArithmeticClass::Fused;
        let canary = Engine::new(Arc::clone(&graph), class, max_samples)
            .or_else(|_| Engine::new(Arc::clone(&graph), ArithmeticClass::Portable, max_samples))?;
        let unwritten = vec![f32::from_bits(UNWRITTEN); graph.layout.len()];
        memory.write(&device, Slot::Gradient, &unwritten);
        let mut engine = Self {
            memory,
            programs: BTreeMap::from([(max_samples, programs)]),
            seal,
            staging,
            canary,
            params: Vec::new(),
            samples: 0,
            turns: 0,
            nonce: 0,
            computed: 0,
            gradient: vec![0.0; graph.layout.len()],
            device,
            graph,
            max_samples,
            precision,
            scale: 1.0,
            #[cfg(test)]
            fault: None,
            #[cfg(test)]
            earlier: Vec::new(),
        };
        engine.begin();
        Ok(engine)
    }

    /// The graph that this engine runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over a version of the parameters, flat in layout order.
    ///
    /// # Errors
    /// Wrong length, or a value that is not finite, or too large for half precision where that is what products
    /// see; the engine then keeps what it had.
    pub fn set_params(&mut self, params: &[f32]) -> Result<(), GpuError> {
        let (got, expected) = (params.len(), self.graph.layout.len());
        if got != expected {
            return Err(ComputeError::ParamsLength { got, expected }.into());
        }
        check::finite(&self.graph, params)?;
        if self.precision == Precision::Half {
            if params
                .iter()
                .any(|value| bounded(*value).to_bits() != value.to_bits())
            {
                return Err(GpuError::HalfRange);
            }
            let halves = as_values(&halves(params));
            self.memory.write(&self.device, Slot::HalfParams, &halves);
        }
        self.params.clear();
        self.params.extend_from_slice(params);
        self.memory.write(&self.device, Slot::Params, params);
        self.device.check()
    }

    /// From the next lease on the loss is multiplied with `scale`, a power of two, before it is differentiated, and
    /// its gradient divided by it: where values are in half precision, small ones would be zero. Begins a lease.
    ///
    /// See [`tabswarm_model::loss_scale`].
    pub fn set_scale(&mut self, scale: f32) {
        if scale.to_bits() != self.scale.to_bits() {
            self.scale = scale;
            self.begin();
        }
    }

    /// Begins a lease, whatever was added before.
    pub fn begin(&mut self) {
        let descriptor = wgpu::CommandEncoderDescriptor::default();
        let mut encoder = self.device.device.create_command_encoder(&descriptor);
        for slot in RETURNED {
            encoder.clear_buffer(self.memory.at(slot).0, 0, None);
        }
        self.device.queue.submit([encoder.finish()]);
        self.samples = 0;
        self.turns = 0;
        self.nonce = self
            .nonce
            .wrapping_mul(0x9e37_79b1)
            .wrapping_add(0x7f4a_7c15);
    }

    /// Whether the lease has room for another micro-batch.
    pub fn has_room(&self) -> bool {
        self.turns < MAX_TURNS
    }

    /// Adds the gradient of a micro-batch to the lease's. It is computed later, unless it is looked at closely.
    ///
    /// # Errors
    /// A batch that does not fit, a device that fails, or a gradient that is wrong.
    pub async fn add(&mut self, batch: Batch<'_>) -> Result<(), GpuError> {
        let samples = self.check(&batch)?;
        let noise = batch.noise.filter(|_| self.graph.needs_noise());
        if self.turns == MAX_TURNS {
            return Err(GpuError::Full { limit: MAX_TURNS });
        }
        self.prepare(samples).await?;
        let (device, memory) = (&*self.device, &self.memory);
        let slot = u32::try_from(self.turns).unwrap_or(u32::MAX);
        let words = turn_words(memory.at(Slot::Turn).1, slot, self.nonce, self.scale, noise);
        memory.write(device, Slot::Input, batch.inputs);
        memory.write(device, Slot::Targets, &values_of_targets(batch.targets));
        memory.write(device, Slot::Turn, bytemuck::cast_slice(&words));
        let programs = &self.programs[&samples];
        #[cfg(test)]
        super::faults::before(self.fault, device, memory, &programs.gradient);
        #[cfg(not(test))]
        programs.gradient.submit(device);
        device.check()?;
        let is_canary = self.computed.is_multiple_of(CANARY_EVERY);
        self.computed += 1;
        if is_canary {
            self.check_canary(batch).await?;
        }
        self.programs[&samples].accumulate.submit(&self.device);
        self.turns += 1;
        self.samples += u32::try_from(samples).unwrap_or(u32::MAX);
        self.device.check()
    }

    /// Ends a lease: its sums, which are added to `sums`, and statistics.
    ///
    /// # Errors
    /// Where what was computed can't be trusted, or does not fit half precision; nothing is added then. Only after
    /// [`GpuError::ScaleTooLarge`] the engine is of use, with a smaller scale.
    pub async fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, GpuError> {
        self.seal.submit(&self.device);
        let from = RETURNED.map(|slot| self.memory.at(slot));
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests break it"))]
        let mut returned = self.device.read(&self.staging, &from).await?;
        #[cfg(test)]
        super::faults::after(self.fault, &mut returned, &mut self.earlier);
        let lengths = from.map(|(_, values)| values);
        let judged = self.judge(&returned, lengths);
        self.begin();
        let stats = judged?;
        for (sum, value) in sums.iter_mut().zip(&returned) {
            *sum += value;
        }
        Ok(stats)
    }

    /// The gradient of the sum of the losses of one micro-batch, which is then in [`Self::gradient_buffer`].
    ///
    /// # Errors
    /// As [`Self::add`] and [`Self::finish`].
    pub async fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, GpuError> {
        self.begin();
        self.add(batch).await?;
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.fill(0.0);
        let stats = self.finish(&mut gradient).await;
        self.gradient = gradient;
        stats
    }

    /// What the last successful [`Self::gradient`] left: flat, in layout order.
    pub fn gradient_buffer(&self) -> &[f32] {
        &self.gradient
    }

    /// Gives the device other parameters than the canary.
    #[cfg(test)]
    pub(super) fn overwrite_params(&self, params: &[f32]) {
        self.memory.write(&self.device, Slot::Params, params);
    }

    fn check(&self, batch: &Batch<'_>) -> Result<usize, ComputeError> {
        if self.params.is_empty() {
            return Err(ComputeError::ParamsMissing);
        }
        let samples = check::batch(&self.graph, batch, self.max_samples)?;
        if self.graph.needs_noise() && batch.noise.is_none() {
            return Err(ComputeError::NoiseMissing);
        }
        Ok(samples)
    }

    /// Makes the programs for so many samples, if they are the first of their number.
    async fn prepare(&mut self, samples: usize) -> Result<(), GpuError> {
        if self.programs.contains_key(&samples) {
            return Ok(());
        }
        // Besides whole micro-batches there is one other size: that of an epoch's last.
        self.programs.retain(|known, _| *known == self.max_samples);
        let shape = self.device.shape().await?;
        let recording = Recording::new(&self.graph, samples, shape, self.precision);
        let (device, precision) = (&*self.device, self.precision);
        let programs = Programs::new(device, &self.memory, &recording, precision).await?;
        self.programs.insert(samples, programs);
        Ok(())
    }

    /// Compares the gradient on the device with the CPU's.
    async fn check_canary(&mut self, batch: Batch<'_>) -> Result<(), GpuError> {
        let from = [Slot::Gradient, Slot::Counts].map(|slot| self.memory.at(slot));
        let mut got = self.device.read(&self.staging, &from).await?;
        let counts = got.split_off(self.params.len());
        if OVERFLOWS.map(|kind| counts[COUNTS * self.turns + kind].to_bits()) != [0; 2] {
            // It is wrong, and the lease will say so.
            return Ok(());
        }
        got.iter_mut().for_each(|value| *value /= self.scale);
        self.canary.set_params(&self.params)?;
        self.canary.gradient(batch)?;
        let agreement = Agreement::of(&got, self.canary.gradient_buffer());
        let (cosine, difference) = match self.precision {
            Precision::Single => (CANARY_COSINE, CANARY_DIFFERENCE),
            Precision::Half => (HALF_CANARY_COSINE, HALF_CANARY_DIFFERENCE),
        };
        if agreement.holds(cosine, difference) {
            return Ok(());
        }
        Err(GpuError::WrongGradient {
            cosine: agreement.cosine.to_string(),
            difference: agreement.difference.to_string(),
        })
    }

    /// Whether what came back is what this lease computed, and all of it.
    fn judge(&self, returned: &[f32], lengths: [usize; 4]) -> Result<BatchStats, GpuError> {
        let [n_sums, n_tallies, n_counts, _] = lengths;
        let sealed = &returned[..n_sums + n_tallies + n_counts];
        let got = returned[sealed.len()].to_bits();
        let expected = checksum(self.nonce, 0, sealed.iter().map(|value| value.to_bits()));
        if got != expected {
            return Err(GpuError::WrongSeal { got, expected });
        }
        let (sums, rest) = sealed.split_at(n_sums);
        let (tallies, counts) = rest.split_at(n_tallies);
        let counts = &counts.as_chunks::<COUNTS>().0[..self.turns];
        let unwritten = counts.iter().map(|count| count[0].to_bits());
        let values = unwritten.fold(0, u32::saturating_add);
        if values > 0 {
            return Err(GpuError::Unwritten { values });
        }
        let [forward, backward] = OVERFLOWS;
        let has_any = |kind: usize| counts.iter().any(|count| count[kind].to_bits() > 0);
        if has_any(forward) {
            return Err(GpuError::HalfRange);
        }
        if has_any(backward) {
            return Err(GpuError::ScaleTooLarge { scale: self.scale });
        }
        check::finite(&self.graph, sums)?;
        let stats = self.stats(tallies)?;
        let is_zero = |count: &[f32; COUNTS]| count[2].to_bits() == 0;
        match counts.iter().position(is_zero) {
            Some(turn) if stats.loss_q20 > 0 => Err(GpuError::AllZero { turn }),
            _ => Ok(stats),
        }
    }

    /// The statistics of the lease.
    fn stats(&self, tallies: &[f32]) -> Result<BatchStats, ComputeError> {
        let (mut nats, mut correct) = (0.0, 0.0);
        for [loss, right] in tallies.as_chunks::<2>().0 {
            nats += f64::from(*loss);
            correct += f64::from(*right);
        }
        let units = nats / self.graph.loss.rows as f64 * LOSS_UNITS_PER_NAT;
        // As on the CPU, a sample's loss counts at most 2^20 nats.
        let most = f64::from(self.samples) * LOSS_UNITS_PER_NAT * LOSS_UNITS_PER_NAT;
        if !units.is_finite() {
            return Err(ComputeError::NonFiniteLoss { sample: 0 });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, and bounded"
        )]
        Ok(BatchStats {
            samples: self.samples,
            loss_q20: units.min(most).round_ties_even() as i64,
            correct: correct as u32,
        })
    }
}

/// What comes back at the end of a lease, in order.
const RETURNED: [Slot; 4] = [Slot::Sums, Slot::Tallies, Slot::Counts, Slot::Seal];

/// What kernels are told of a micro-batch: see [`Slot::Turn`].
pub(super) fn turn_words(
    words: usize,
    slot: u32,
    nonce: u32,
    scale: f32,
    noise: Option<NoiseKey>,
) -> Vec<u32> {
    let mut turn = vec![slot, nonce, scale.to_bits(), (1.0 / scale).to_bits()];
    let sites = (0..).take((words - TURN_WORDS) / 2);
    turn.extend(sites.flat_map(|site| noise.map_or([0; 2], |noise| noise.site(site).0)));
    turn
}

/// Targets as kernels read them.
pub(super) fn values_of_targets(targets: Targets<'_>) -> Vec<f32> {
    match targets {
        Targets::Classes(labels) => labels.iter().map(|label| f32::from(*label)).collect(),
        Targets::Values(values) => values.to_vec(),
    }
}

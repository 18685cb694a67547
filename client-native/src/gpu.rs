//! The GPU as a backend: who gets it, for which runs, and what happens when it fails.
//!
//! One lane of a worker computes on the GPU, the others on the CPU. A run that promises bits has no use for a GPU, whose
//! results differ in the last ones. Whatever goes wrong on the way, the lane goes on with the CPU and no task is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tabswarm_compute::gpu::{
    GpuDevice, GpuEngine, GpuError, Speeds, adapters, block_on, clock, objection,
};
use tabswarm_compute::{ArithmeticClass, Batch, BatchStats, ComputeError, Engine};
use tabswarm_model::{Graph, Run};
use tracing::{info, warn};

use crate::backend::{Backend, Cpu, GradientEngine, NoSums};

/// After a GPU was given up, or not chosen, it is not tried again for so long.
const RETRY_AFTER: Duration = Duration::from_mins(10);

/// What to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BackendWish {
    /// The faster one, measured on the run's own model.
    #[default]
    Auto,
    /// Never the GPU.
    Cpu,
    /// The GPU wherever the run allows it, even a slow one.
    Gpu,
}

impl BackendWish {
    /// Whether a GPU is there for runs that may use one: with `auto`, one that is hardware.
    pub(crate) fn has_gpu(self) -> bool {
        match self {
            Self::Cpu => false,
            Self::Auto => adapters().iter().any(|adapter| !adapter.is_software),
            Self::Gpu => !adapters().is_empty(),
        }
    }

    /// The backend that fulfills the wish.
    pub fn backend(self) -> Arc<dyn Backend> {
        match self {
            Self::Cpu => Arc::new(Cpu),
            Self::Auto | Self::Gpu => Arc::new(Gpu {
                is_wanted: self == Self::Gpu,
                shared: Arc::default(),
            }),
        }
    }
}

/// A GPU for one lane, CPUs for the others.
#[derive(Debug)]
struct Gpu {
    is_wanted: bool,
    shared: Arc<Mutex<Shared>>,
}

/// What the lanes of a worker know of the GPU.
#[derive(Debug, Default)]
struct Shared {
    device: Option<Arc<GpuDevice>>,
    /// When it was given up, if it was.
    given_up_at: Option<Instant>,
    /// Whether a lane has it.
    is_taken: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for Gpu {
    fn engine(
        &self,
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        Cpu.engine(graph, class, max_samples)
    }

    fn engine_of_run(
        &self,
        graph: &Arc<Graph>,
        run: &Run,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        let mut cpu = Engine::new(Arc::clone(graph), run.class, run.micro_batch as usize)?;
        {
            // Whoever comes first tries; the others need not wait for that.
            let mut shared = lock(&self.shared);
            let is_resting = |at: Instant| at.elapsed() < RETRY_AFTER;
            if shared.is_taken || shared.given_up_at.is_some_and(is_resting) {
                return Ok(Box::new(cpu));
            }
            shared.is_taken = true;
        }
        let claim = Claim(Arc::clone(&self.shared));
        if let Some(reason) = objection(run) {
            let backend = "cpu";
            if self.is_wanted {
                warn!(backend, reason, "backend chosen");
            } else {
                info!(backend, reason, "backend chosen");
            }
            return Ok(Box::new(cpu));
        }
        match self.gpu(graph, run, &mut cpu) {
            Ok(gpu) => Ok(Box::new(GpuLane {
                gpu: Some(gpu),
                cpu,
                params: None,
                is_cpu_current: true,
                is_gradient_of_gpu: false,
                claim,
            })),
            Err(reason) => {
                lock(&self.shared).given_up_at = Some(Instant::now());
                info!(backend = "cpu", reason, "backend chosen");
                Ok(Box::new(cpu))
            }
        }
    }
}

impl Gpu {
    /// An engine on the GPU, or why there is none.
    fn gpu(&self, graph: &Arc<Graph>, run: &Run, cpu: &mut Engine) -> Result<GpuEngine, String> {
        let device = lock(&self.shared).device.clone();
        let device = match device {
            Some(device) => device,
            None => Arc::new(block_on(GpuDevice::open(clock)).map_err(|error| error.to_string())?),
        };
        lock(&self.shared).device = Some(Arc::clone(&device));
        let name = device.summary().name.clone();
        if device.summary().is_software && !self.is_wanted {
            return Err(format!("{name} is software: it would use the same cores"));
        }
        let gpu = GpuEngine::new(
            device,
            Arc::clone(graph),
            run.micro_batch as usize,
            run.precision,
        );
        let mut gpu = block_on(gpu).map_err(|error| error.to_string())?;
        let reason = if self.is_wanted {
            format!("{name}, as asked for")
        } else {
            let speeds = block_on(Speeds::measure(cpu, &mut gpu, run, clock));
            let speeds = speeds.map_err(|error| error.to_string())?;
            if !speeds.gpu_wins() {
                return Err(speeds.to_string());
            }
            speeds.to_string()
        };
        info!(backend = "gpu", reason, "backend chosen");
        Ok(gpu)
    }
}

/// That a lane has the GPU; given back when dropped.
#[derive(Debug)]
struct Claim(Arc<Mutex<Shared>>);

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.0).is_taken = false;
    }
}

/// A GPU with a CPU behind it.
#[derive(Debug)]
struct GpuLane {
    /// None once it failed.
    gpu: Option<GpuEngine>,
    cpu: Engine,
    params: Option<Arc<[f32]>>,
    /// Whether the CPU has the parameters; it gets them when it needs them.
    is_cpu_current: bool,
    is_gradient_of_gpu: bool,
    claim: Claim,
}

impl GpuLane {
    /// From now on the CPU computes, in this lane and in all.
    fn give_up(&mut self, error: &GpuError) {
        warn!(reason = %error, "gpu given up, going on with the cpu");
        self.gpu = None;
        let mut shared = lock(&self.claim.0);
        shared.given_up_at = Some(Instant::now());
        shared.device = None;
    }

    /// The CPU with the parameters.
    fn cpu(&mut self) -> Result<&mut Engine, ComputeError> {
        if !self.is_cpu_current
            && let Some(params) = &self.params
        {
            self.cpu.set_params(params)?;
            self.is_cpu_current = true;
        }
        Ok(&mut self.cpu)
    }
}

impl GradientEngine for GpuLane {
    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        self.params = Some(params.into());
        self.is_cpu_current = false;
        if let Some(gpu) = &mut self.gpu {
            match gpu.set_params(params) {
                Ok(()) => return Ok(()),
                Err(GpuError::Compute(error)) => return Err(error),
                Err(error) => self.give_up(&error),
            }
        }
        self.cpu().map(|_| ())
    }

    fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        if let Some(gpu) = &mut self.gpu {
            match block_on(gpu.gradient(batch)) {
                Ok(stats) => {
                    self.is_gradient_of_gpu = true;
                    return Ok(stats);
                }
                Err(error) => self.give_up(&error),
            }
        }
        self.is_gradient_of_gpu = false;
        self.cpu()?.gradient(batch)
    }

    fn gradient_buffer(&self) -> &[f32] {
        match &self.gpu {
            Some(gpu) if self.is_gradient_of_gpu => gpu.gradient_buffer(),
            _ => self.cpu.gradient_buffer(),
        }
    }

    fn adds_up(&self) -> bool {
        self.gpu.is_some()
    }

    fn add(&mut self, batch: Batch<'_>) -> Result<(), String> {
        let gpu = self.gpu.as_mut().ok_or("the GPU was given up")?;
        block_on(gpu.add(batch)).map_err(|error| {
            self.give_up(&error);
            error.to_string()
        })
    }

    fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, NoSums> {
        let gpu = self.gpu.as_mut();
        let gpu = gpu.ok_or_else(|| "the GPU was given up".to_owned())?;
        block_on(gpu.finish(sums)).map_err(|error| match error {
            error if error.asks_for_smaller_scale() => NoSums::ScaleTooLarge,
            error => {
                self.give_up(&error);
                NoSums::Failed(error.to_string())
            }
        })
    }

    fn set_loss_scale(&mut self, scale: f32) {
        if let Some(gpu) = &mut self.gpu {
            gpu.set_scale(scale);
        }
    }
}

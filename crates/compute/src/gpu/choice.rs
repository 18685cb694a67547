//! Whether a GPU is worth using for a run.

use std::fmt;

use tabswarm_model::Run;
use tabswarm_model::run_file::Codec;

use super::engine::GpuEngine;
use super::error::GpuError;
use super::tuning::Clock;
use crate::bits::Case;
use crate::engine::Engine;

/// How long either side is measured.
const MEASURED_S: f64 = 0.5;
/// Micro-batches that a GPU adds up before they are read back, when its speed is measured.
const MEASURED_TURNS: u32 = 4;

/// Why a run can't be computed on a GPU, if it can't.
pub fn objection(run: &Run) -> Option<&'static str> {
    if run.reproducible {
        Some("the run is reproducible, and the last bits of a GPU are its own")
    } else if run.codec == Codec::Exact {
        Some("the run's codec is exact, so that updates are compared bit by bit")
    } else {
        None
    }
}

/// Samples per second of one CPU lane and of the GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speeds {
    /// Of one lane.
    pub cpu: f64,
    /// Of the GPU.
    pub gpu: f64,
}

impl Speeds {
    /// Measures both on a run's model with made-up samples.
    ///
    /// # Errors
    /// Where one of them fails.
    pub async fn measure(
        cpu: &mut Engine,
        gpu: &mut GpuEngine,
        run: &Run,
        clock: Clock,
    ) -> Result<Self, GpuError> {
        let case = Case::of_run(run);
        Ok(Self {
            cpu: cpu_speed(cpu, &case, clock)?,
            gpu: gpu_speed(gpu, &case, clock).await?,
        })
    }

    /// Whether the GPU is the faster one.
    pub fn gpu_wins(self) -> bool {
        self.gpu > self.cpu
    }
}

impl fmt::Display for Speeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, gpu } = self;
        write!(
            f,
            "the GPU computes {gpu:.0} samples/s, a CPU lane {cpu:.0}"
        )
    }
}

/// Samples per second of one CPU lane.
///
/// # Errors
/// Where it can't compute the case.
pub fn cpu_speed(cpu: &mut Engine, case: &Case, clock: Clock) -> Result<f64, GpuError> {
    cpu.set_params(&case.params)?;
    cpu.gradient(case.batch())?;
    let (started, mut samples) = (clock(), 0.0);
    loop {
        samples += f64::from(cpu.gradient(case.batch())?.samples);
        let elapsed = clock() - started;
        if elapsed >= MEASURED_S {
            return Ok(samples / elapsed);
        }
    }
}

/// Samples per second of a GPU.
///
/// # Errors
/// Where it fails.
pub async fn gpu_speed(gpu: &mut GpuEngine, case: &Case, clock: Clock) -> Result<f64, GpuError> {
    gpu.set_params(&case.params)?;
    gpu.gradient(case.batch()).await?;
    let mut sums = vec![0.0; case.graph.layout.len()];
    let (started, mut samples) = (clock(), 0.0);
    loop {
        for _ in 0..MEASURED_TURNS {
            gpu.add(case.batch()).await?;
        }
        samples += f64::from(gpu.finish(&mut sums).await?.samples);
        let elapsed = clock() - started;
        if elapsed >= MEASURED_S {
            return Ok(samples / elapsed);
        }
    }
}

//! `tabswarm-worker probe`: what this machine has to compute with, and what a worker would choose.

use std::fmt::{self, Display};
use std::sync::Arc;

use clap::Args;
use tabswarm_compute::bits::Case;
use tabswarm_compute::gpu::{
    AdapterSummary, GpuDevice, GpuEngine, GpuError, Precision, adapters, block_on, clock,
    cpu_speed, gpu_speed, objection,
};
use tabswarm_compute::{ArithmeticClass, Engine, probe};
use tabswarm_model::Run;

use crate::bench::{BenchError, Work};

/// Options of a probe.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// The model to measure with: mlp, cnn, gpt, or a run file.
    #[arg(long, value_name = "WORK", default_value = "mlp")]
    pub work: Work,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// GPUs, the one that would be used first.
    pub adapters: Vec<AdapterSummary>,
    /// Arithmetic classes whose bits the CPU gives, with samples per second of one lane.
    pub cpu: Vec<(ArithmeticClass, f64)>,
    /// Samples per second of the first GPU, or why there is no figure.
    pub gpu: Result<f64, GpuError>,
    /// The same in half precision.
    pub half_gpu: Result<f64, GpuError>,
    /// Name of the model.
    pub work: String,
    /// Why the run of the model allows no GPU, if it does not.
    pub objection: Option<&'static str>,
}

/// Looks and measures.
///
/// # Errors
/// Where there is no such model.
pub fn probe_machine(args: &ProbeArgs) -> Result<ProbeReport, BenchError> {
    let run = args.work.load()?;
    let case = Case::of_run(&run);
    let cpu = probe::supported_classes().into_iter().filter_map(|class| {
        let engine = Engine::new(Arc::clone(&case.graph), class, case.samples);
        let speed = cpu_speed(&mut engine.ok()?, &case, clock).ok()?;
        Some((class, speed))
    });
    Ok(ProbeReport {
        adapters: adapters(),
        cpu: cpu.collect(),
        gpu: measured(&run, &case, Precision::Single),
        half_gpu: measured(&run, &case, Precision::Half),
        work: args.work.to_string(),
        objection: objection(&run),
    })
}

fn measured(run: &Run, case: &Case, precision: Precision) -> Result<f64, GpuError> {
    let device = Arc::new(block_on(GpuDevice::open(clock))?);
    let graph = Arc::clone(&case.graph);
    let samples = run.micro_batch as usize;
    let mut engine = block_on(GpuEngine::new(device, graph, samples, precision))?;
    block_on(gpu_speed(&mut engine, case, clock))
}

impl ProbeReport {
    /// What a worker with `--backend auto` would compute this model with, and why.
    pub fn choice(&self) -> String {
        let cpu = self.cpu.iter().map(|(_, speed)| *speed).fold(0.0, f64::max);
        match (&self.gpu, self.adapters.first()) {
            (Err(error), _) => format!("cpu: {error}"),
            (_, Some(adapter)) if adapter.is_software => {
                format!(
                    "cpu: {} is software: it would use the same cores",
                    adapter.name
                )
            }
            (Ok(gpu), _) if *gpu > cpu => "gpu: it is faster than a CPU lane".to_owned(),
            _ => "cpu: a lane is faster than the GPU".to_owned(),
        }
    }
}

impl Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.adapters.is_empty() {
            writeln!(f, "no GPU")?;
        }
        for (idx, adapter) in self.adapters.iter().enumerate() {
            let kind = if adapter.is_software {
                "software"
            } else {
                "hardware"
            };
            let has = |feature| if feature { "yes" } else { "no" };
            writeln!(
                f,
                "gpu {idx}: {} ({kind}, {})",
                adapter.name, adapter.interface
            )?;
            writeln!(f, "  driver           {}", adapter.driver.trim())?;
            writeln!(f, "  half precision   {}", has(adapter.has_f16))?;
            writeln!(f, "  subgroups        {}", has(adapter.has_subgroups))?;
            writeln!(
                f,
                "  largest buffer   {} MiB",
                adapter.max_binding_bytes >> 20
            )?;
            writeln!(
                f,
                "  workgroup memory {} KiB",
                adapter.max_workgroup_bytes >> 10
            )?;
            writeln!(f, "  workgroup size   {}", adapter.max_invocations)?;
        }
        writeln!(f, "\n{}, samples/s:", self.work)?;
        for (class, speed) in &self.cpu {
            writeln!(f, "  cpu, one lane, {:<9}{speed:>10.0}", class.as_str())?;
        }
        for (name, speed) in [("gpu 0", &self.gpu), ("gpu 0, half", &self.half_gpu)] {
            match speed {
                Ok(speed) => writeln!(f, "  {name:<23}{speed:>10.0}")?,
                Err(error) => writeln!(f, "  {name}: {error}")?,
            }
        }
        writeln!(f, "\nchoice for such a model: {}", self.choice())?;
        if let Some(objection) = self.objection {
            writeln!(f, "this run computes on the CPU: {objection}")?;
        }
        Ok(())
    }
}

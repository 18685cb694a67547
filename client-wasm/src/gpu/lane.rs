//! When a lane has a GPU, and what it does with it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::futures::spawn_local;
use tabswarm_compute::gpu::{GpuDevice, GpuEngine, GpuError, Precision, Speeds, objection};
use tabswarm_compute::task::noise_keys;
use tabswarm_compute::{Batch, BatchStats, Engine};
use tabswarm_model::run_file::Mode;
use tabswarm_model::{Graph, Run, loss_scale};

use super::patience::{self, ANSWER_S, SETUP_S};
use super::{open, seconds};
use crate::lane::{BackendChoice, TaskSamples};

/// After a GPU was given up it is not tried again for so long.
const RETRY_AFTER_S: f64 = 600.0;

/// The GPU of a lane.
#[derive(Debug)]
pub(super) struct Gpu {
    /// Whether it is used even where the CPU is faster.
    is_forced: bool,
    device: Rc<RefCell<Option<Arc<GpuDevice>>>>,
    run: Option<(Arc<Graph>, Run)>,
    stage: Stage,
    /// When it was given up.
    given_up_s: Option<f64>,
    sums: Vec<f32>,
}

/// A slot that is filled when an engine is ready, or can't be.
type Made = Rc<RefCell<Option<Result<GpuEngine, GpuError>>>>;

#[derive(Debug)]
enum Stage {
    /// Not for this run.
    Off,
    /// Its kernels are made and tested, while the CPU computes.
    Preparing(Made),
    Ready(Box<GpuEngine>),
}

impl Gpu {
    pub(super) fn new(is_forced: bool) -> Self {
        Self {
            is_forced,
            device: Rc::default(),
            run: None,
            stage: Stage::Off,
            given_up_s: None,
            sums: Vec::new(),
        }
    }

    /// Begins to make ready for a run that the lane has loaded; where the GPU is used in any case, until it is. What is
    /// known then is returned.
    pub(super) async fn load(&mut self, run_json: &str) -> Option<BackendChoice> {
        self.stage = Stage::Off;
        self.run = None;
        let run = Run::from_json(run_json).ok()?;
        if let Some(reason) = objection(&run) {
            return Some(cpu(reason));
        }
        if matches!(run.mode, Mode::Local(_)) {
            return Some(cpu("the run's inner steps are computed by the processor"));
        }
        if self
            .given_up_s
            .is_some_and(|at| seconds() - at < RETRY_AFTER_S)
        {
            return Some(cpu("the GPU failed a short while ago"));
        }
        let graph = Arc::new(run.graph());
        let made = Made::default();
        let (slot, device) = (Rc::clone(&made), Rc::clone(&self.device));
        let (is_forced, size) = (self.is_forced, (run.micro_batch as usize, run.precision));
        let shared = Arc::clone(&graph);
        let preparation = async move {
            let engine = prepare(&device, shared, size, is_forced).await;
            *slot.borrow_mut() = Some(engine);
        };
        self.run = Some((graph, run));
        self.stage = Stage::Preparing(made);
        if is_forced {
            preparation.await;
            return self.settle(&[]).await;
        }
        spawn_local(preparation);
        None
    }

    /// Takes the engine over once it is made, if it is worth it; what was chosen.
    pub(super) async fn settle(&mut self, params: &[f32]) -> Option<BackendChoice> {
        let Stage::Preparing(made) = &self.stage else {
            return None;
        };
        let made = made.borrow_mut().take()?;
        self.stage = Stage::Off;
        let chosen = match made {
            Ok(engine) => self.choose(engine, params).await,
            Err(error) => Err(error),
        };
        Some(chosen.unwrap_or_else(|error| self.give_up(&error)))
    }

    async fn choose(
        &mut self,
        mut engine: GpuEngine,
        params: &[f32],
    ) -> Result<BackendChoice, GpuError> {
        let name = self
            .device
            .borrow()
            .as_ref()
            .map(|device| device.summary().name.clone());
        let name = name.unwrap_or_default();
        let mut reason = format!("{name}, as asked for");
        if let (false, Some((graph, run))) = (self.is_forced, &self.run) {
            let mut lane = Engine::new(Arc::clone(graph), run.class, run.micro_batch as usize)?;
            let measured = Speeds::measure(&mut lane, &mut engine, run, seconds);
            let speeds = patience::within(ANSWER_S, measured).await?;
            if !speeds.gpu_wins() {
                return Ok(cpu(&speeds.to_string()));
            }
            reason = format!("{name}: {speeds}");
        }
        if !params.is_empty() {
            engine.set_params(params)?;
        }
        self.stage = Stage::Ready(Box::new(engine));
        Ok(BackendChoice {
            is_gpu: true,
            reason,
        })
    }

    /// Takes over parameters; what is chosen where the GPU fails.
    pub(super) fn set_params(&mut self, params: &[f32]) -> Option<BackendChoice> {
        let Stage::Ready(engine) = &mut self.stage else {
            return None;
        };
        match engine.set_params(params) {
            // The lane's own engine says the same of parameters that are of no use.
            Ok(()) | Err(GpuError::Compute(_)) => None,
            Err(error) => Some(self.give_up(&error)),
        }
    }

    /// The sums of a task, with the loss scaled as its exponents say.
    pub(super) async fn compute(
        &mut self,
        samples: TaskSamples<'_>,
        exponents: &[i8],
    ) -> Result<(&[f32], BatchStats), Undone> {
        let (Stage::Ready(engine), Some((graph, run))) = (&mut self.stage, &self.run) else {
            return Err(Undone::ForCpu(None));
        };
        let (scale, exponent) = loss_scale::of_lease(exponents);
        engine.set_scale(scale);
        self.sums.clear();
        self.sums.resize(graph.layout.len(), 0.0);
        match sums_of(engine, (graph, run), samples, &mut self.sums).await {
            Ok(Some(stats)) => Ok((&self.sums, stats)),
            // The lane's own engine says what is wrong.
            Ok(None) => Err(Undone::ForCpu(None)),
            Err(error) if error.asks_for_smaller_scale() => Err(Undone::Overflow(exponent - 1)),
            Err(error) => Err(Undone::ForCpu(Some(self.give_up(&error)))),
        }
    }

    /// From now on the CPU computes.
    fn give_up(&mut self, error: &GpuError) -> BackendChoice {
        self.stage = Stage::Off;
        *self.device.borrow_mut() = None;
        self.given_up_s = Some(seconds());
        cpu(&error.to_string())
    }
}

/// Why a task was not done.
#[derive(Debug)]
pub(super) enum Undone {
    /// The CPU has to do it, with the choice if that is new.
    ForCpu(Option<BackendChoice>),
    /// A gradient is too large with the scale of the loss; with this exponent it may fit.
    Overflow(i8),
}

fn cpu(reason: &str) -> BackendChoice {
    BackendChoice {
        is_gpu: false,
        reason: reason.to_owned(),
    }
}

/// An engine whose kernels have given the known answers.
async fn prepare(
    known: &RefCell<Option<Arc<GpuDevice>>>,
    graph: Arc<Graph>,
    (micro_batch, precision): (usize, Precision),
    is_forced: bool,
) -> Result<GpuEngine, GpuError> {
    let device = known.borrow().clone();
    let device = match device {
        Some(device) => device,
        None => open().await?,
    };
    *known.borrow_mut() = Some(Arc::clone(&device));
    if device.summary().is_software && !is_forced {
        let reason = "it is software: the processor itself is faster".to_owned();
        return Err(GpuError::NoAdapter { reason });
    }
    patience::within(
        SETUP_S,
        GpuEngine::new(device, graph, micro_batch, precision),
    )
    .await
}

/// Adds up the gradients of a task on the device; nothing where it has too few samples.
async fn sums_of(
    engine: &mut GpuEngine,
    (graph, run): (&Graph, &Run),
    mut samples: TaskSamples<'_>,
    sums: &mut [f32],
) -> Result<Option<BatchStats>, GpuError> {
    engine.begin();
    let mut stats = BatchStats::default();
    let mut is_open = false;
    let (sizes, parts) = (samples.sizes, samples.parts);
    for (&size, noise) in sizes.iter().zip(noise_keys(run.seed, parts)) {
        let Some(batch) = samples.take(size as usize, graph) else {
            return Ok(None);
        };
        let batch = Batch {
            noise: Some(noise),
            ..batch
        };
        if !engine.has_room() {
            stats += patience::within(ANSWER_S, engine.finish(sums)).await?;
        }
        patience::within(ANSWER_S, engine.add(batch)).await?;
        is_open = true;
    }
    if is_open {
        stats += patience::within(ANSWER_S, engine.finish(sums)).await?;
    }
    Ok(Some(stats))
}

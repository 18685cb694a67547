//! A lane: one thread with one engine, which computes one task at a time.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

use tabswarm_client_core::{Task, TaskFault, TaskResult};
use tabswarm_compute::{Batch, BatchStats, Sums, TaskTotals};
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::samples::MicroBatch;
use tabswarm_protocol::ParamVersion;
use tokio::sync::mpsc;

use crate::backend::{Backend, GradientEngine};
use crate::load::LoadedRun;

/// Parameters of one version.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    pub(crate) version: ParamVersion,
    pub(crate) values: Arc<[f32]>,
}

/// A task with everything that it needs.
#[derive(Debug)]
pub(crate) struct LaneTask {
    pub(crate) task: Task,
    pub(crate) load: Arc<LoadedRun>,
    pub(crate) params: Params,
    /// Zero; they come back with the report.
    pub(crate) sums: Sums,
}

/// A task's result and its sums, which count only if the result says so.
#[derive(Debug)]
pub(crate) struct LaneReport {
    pub(crate) result: TaskResult,
    pub(crate) load: Arc<LoadedRun>,
    /// None where the lane panicked.
    pub(crate) sums: Option<Sums>,
}

/// The driver's end of a lane. The thread ends when it is dropped and the task under way is done.
#[derive(Debug)]
pub(crate) struct Lane {
    tasks: SyncSender<LaneTask>,
}

impl Lane {
    /// Starts the thread.
    pub(crate) fn spawn(
        lane_idx: u16,
        backend: Arc<dyn Backend>,
        reports: mpsc::Sender<LaneReport>,
    ) -> io::Result<Self> {
        // The session gives a lane one task at a time.
        let (tasks, inbox) = sync_channel(1);
        let name = format!("lane-{lane_idx}");
        thread::Builder::new()
            .name(name)
            .spawn(move || work(lane_idx, backend, &inbox, &reports))?;
        Ok(Self { tasks })
    }

    /// Hands over a task; the lane answers with a report. A lane that can't take it gives it back.
    pub(crate) fn compute(&self, task: LaneTask) -> Result<(), Box<LaneTask>> {
        let sent = self.tasks.try_send(task);
        sent.map_err(|error| match error {
            TrySendError::Full(task) | TrySendError::Disconnected(task) => Box::new(task),
        })
    }
}

fn work(
    lane_idx: u16,
    backend: Arc<dyn Backend>,
    inbox: &Receiver<LaneTask>,
    reports: &mpsc::Sender<LaneReport>,
) {
    let mut bench = Workbench {
        backend,
        batch: MicroBatch::default(),
        machine: None,
    };
    while let Ok(task) = inbox.recv() {
        let report = bench.report(lane_idx, task);
        if reports.blocking_send(report).is_err() {
            return;
        }
    }
}

/// What a lane keeps from task to task.
#[derive(Debug)]
struct Workbench {
    backend: Arc<dyn Backend>,
    batch: MicroBatch,
    machine: Option<Machine>,
}

/// An engine and what it is set up for.
#[derive(Debug)]
struct Machine {
    engine: Box<dyn GradientEngine>,
    load: Arc<LoadedRun>,
    params: Option<Params>,
}

impl Workbench {
    fn report(&mut self, lane_idx: u16, work: LaneTask) -> LaneReport {
        let started = Instant::now();
        let LaneTask {
            task,
            load,
            params,
            mut sums,
        } = work;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            self.run(&task, &load, &params, &mut sums)
        }));
        let (sums, computed) = match caught {
            Ok(computed) => (Some(sums), computed),
            Err(panic) => {
                // The engine may be in any state; to be rid of it must not end the thread without a report.
                let machine = self.machine.take();
                catch_unwind(AssertUnwindSafe(|| drop(machine))).ok();
                (None, Err(engine_fault(panic_message(panic.as_ref()))))
            }
        };
        let (stats, outcome) = match computed {
            Ok(stats) => (stats, Ok(())),
            Err(fault) => (BatchStats::default(), Err(fault)),
        };
        let result = TaskResult {
            lane: lane_idx,
            lease_id: task.lease_id,
            range: task.range,
            samples: stats.samples,
            loss_q20: stats.loss_q20,
            correct: stats.correct,
            elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            outcome,
        };
        LaneReport { result, load, sums }
    }

    fn run(
        &mut self,
        task: &Task,
        load: &Arc<LoadedRun>,
        params: &Params,
        sums: &mut Sums,
    ) -> Result<BatchStats, TaskFault> {
        let Self {
            backend,
            batch,
            machine,
        } = self;
        let engine = prepared(&**backend, machine, load, params)?;
        let step = load.plan.step(task.version.0);
        let mut totals = TaskTotals::default();
        for micro_batch_idx in task.range.first..task.range.first + task.range.count {
            if !load.store().gather(step, micro_batch_idx, batch) {
                return Err(engine_fault(format!(
                    "samples of micro-batch {micro_batch_idx} are missing"
                )));
            }
            let noise = NoiseKey {
                seed: load.run.seed,
                version: task.version.0,
                micro_batch: micro_batch_idx,
            };
            let samples = Batch {
                noise: Some(noise),
                ..Batch::of(batch)
            };
            let stats = engine
                .gradient(samples)
                .map_err(|error| engine_fault(error.to_string()))?;
            let gradient = (stats, engine.gradient_buffer());
            totals
                .add(sums, gradient, &task.exponents)
                .map_err(|error| engine_fault(error.to_string()))?;
        }
        totals.finish().map_err(|fits| TaskFault::Overflow { fits })
    }
}

/// The engine for a run with the parameters of a version.
fn prepared<'a>(
    backend: &dyn Backend,
    machine: &'a mut Option<Machine>,
    load: &Arc<LoadedRun>,
    params: &Params,
) -> Result<&'a mut dyn GradientEngine, TaskFault> {
    let fault = |error: tabswarm_compute::ComputeError| engine_fault(error.to_string());
    if machine
        .as_ref()
        .is_none_or(|machine| !Arc::ptr_eq(&machine.load, load))
    {
        let max_samples = load.run.micro_batch as usize;
        let engine = backend.engine(Arc::clone(&load.graph), load.run.class, max_samples);
        *machine = Some(Machine {
            engine: engine.map_err(fault)?,
            load: Arc::clone(load),
            params: None,
        });
    }
    let machine = machine.as_mut().expect("made above");
    // The same tensor, not just the same version: after a rollback a version may come again with other values.
    let has_params = machine
        .params
        .as_ref()
        .is_some_and(|known| Arc::ptr_eq(&known.values, &params.values));
    if !has_params {
        machine.params = None;
        machine.engine.set_params(&params.values).map_err(fault)?;
        machine.params = Some(params.clone());
    }
    Ok(&mut *machine.engine)
}

fn engine_fault(message: String) -> TaskFault {
    TaskFault::Engine { message }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the lane panicked: {}", text.unwrap_or("no message"))
}

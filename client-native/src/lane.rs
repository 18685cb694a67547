//! A lane: one thread with one engine, which computes one task at a time.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Instant;

use tabswarm_client_core::{Task, TaskFault, TaskResult};
use tabswarm_compute::task::{
    InnerWork, OpenShard, SummingEngine, TaskEngine, TaskError, TaskPart, add_gradients,
    do_inner_steps, sum_gradients,
};
use tabswarm_compute::{Batch, BatchStats, Sums};
use tabswarm_model::batches::StepShape;
use tabswarm_model::loss_scale;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::parts::Part;
use tabswarm_model::samples::MicroBatch;
use tabswarm_protocol::ParamVersion;
use tokio::sync::mpsc;
use tracing::warn;

use crate::backend::{Backend, GradientEngine, NoSums};
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
    /// What the task's pieces are.
    pub(crate) parts: Vec<Part>,
    /// Where they are inner steps of a shard.
    pub(crate) inner: Option<InnerWork>,
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
    /// Whether the sums are a part of the lease's: before a shard's last inner step there is none.
    pub(crate) is_part: bool,
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
        shard: OpenShard::default(),
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
    shard: OpenShard,
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
            parts,
            inner,
            load,
            params,
            mut sums,
        } = work;
        let is_part = inner.as_ref().is_none_or(|inner| inner.is_last);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let work = (parts.as_slice(), inner.as_ref());
            self.run(&task, work, &load, &params, &mut sums)
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
        LaneReport {
            result,
            load,
            sums,
            is_part,
        }
    }

    fn run(
        &mut self,
        task: &Task,
        (parts, inner): (&[Part], Option<&InnerWork>),
        load: &Arc<LoadedRun>,
        params: &Params,
        sums: &mut Sums,
    ) -> Result<BatchStats, TaskFault> {
        let machine = prepared(&*self.backend, &mut self.machine, load)?;
        if inner.is_none() {
            machine.use_params(params)?;
        }
        let micro_batches = || {
            parts.iter().flat_map(|part| {
                let of_part = part.first..part.first + part.count;
                of_part.map(|micro_batch| (part.step, micro_batch))
            })
        };
        let mut engine = Feeding {
            engine: &mut *machine.engine,
            load,
            batch: &mut self.batch,
            micro_batches: micro_batches(),
        };
        let parts: Vec<TaskPart> = parts
            .iter()
            .map(|part| TaskPart {
                batch: part.batch,
                first: part.first,
                count: part.count,
            })
            .collect();
        let (run, exponents) = (&load.run, &task.exponents);
        if let (None, true, Sums::F32(values)) = (inner, engine.engine.adds_up(), &mut *sums) {
            let (scale, exponent) = loss_scale::of_lease(exponents);
            engine.engine.set_loss_scale(scale);
            match sum_gradients(&mut engine, run.seed, &parts, values) {
                Ok(stats) => return Ok(stats),
                Err(NoSums::ScaleTooLarge) => {
                    let fits = vec![exponent - 1];
                    return Err(TaskFault::Overflow { fits });
                }
                // As if nothing had been: if the CPU can't do it either, it says so.
                Err(NoSums::Failed(reason)) => {
                    warn!(reason, "task goes on without adding up on the device");
                }
            }
            sums.reset();
            engine.micro_batches = micro_batches();
        }
        let done = match inner {
            None => add_gradients(&mut engine, run.seed, &parts, exponents, sums),
            Some(inner) => {
                let start = (run, &params.values);
                let work = (parts.as_slice(), inner);
                let done =
                    do_inner_steps(&mut engine, start, work, &mut self.shard, exponents, sums);
                machine.params = None;
                done
            }
        };
        done.map_err(|error| match error {
            TaskError::Overflow(fits) => TaskFault::Overflow { fits },
            TaskError::Diverged(_) => TaskFault::Diverged,
            other => engine_fault(other.to_string()),
        })
    }
}

/// An engine that gathers the samples of each micro-batch when it is the next one.
struct Feeding<'a, M> {
    engine: &'a mut dyn GradientEngine,
    load: &'a LoadedRun,
    batch: &'a mut MicroBatch,
    micro_batches: M,
}

impl<M: Iterator<Item = (StepShape, u32)>> TaskEngine for Feeding<'_, M> {
    type Error = String;

    fn set_params(&mut self, params: &[f32]) -> Result<(), String> {
        let taken = self.engine.set_params(params);
        taken.map_err(|error| error.to_string())
    }

    fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, String> {
        self.gather(noise)?;
        let computed = self.engine.gradient(gathered(self.batch, noise));
        computed.map_err(|error| error.to_string())
    }

    fn gradient_buffer(&self) -> &[f32] {
        self.engine.gradient_buffer()
    }
}

impl<M: Iterator<Item = (StepShape, u32)>> SummingEngine for Feeding<'_, M> {
    type Error = NoSums;

    fn add_next(&mut self, noise: NoiseKey) -> Result<(), NoSums> {
        self.gather(noise)?;
        Ok(self.engine.add(gathered(self.batch, noise))?)
    }

    fn finish(&mut self, sums: &mut [f32]) -> Result<BatchStats, NoSums> {
        self.engine.finish(sums)
    }
}

impl<M: Iterator<Item = (StepShape, u32)>> Feeding<'_, M> {
    /// Gathers the next micro-batch, whose noise this is.
    fn gather(&mut self, noise: NoiseKey) -> Result<(), String> {
        let missing = || format!("samples of micro-batch {} are missing", noise.micro_batch);
        let (step, micro_batch) = self.micro_batches.next().ok_or_else(missing)?;
        if self.load.store().gather(step, micro_batch, self.batch) {
            Ok(())
        } else {
            Err(missing())
        }
    }
}

fn gathered(samples: &MicroBatch, noise: NoiseKey) -> Batch<'_> {
    Batch {
        noise: Some(noise),
        ..Batch::of(samples)
    }
}

/// The engine for a run.
fn prepared<'a>(
    backend: &dyn Backend,
    machine: &'a mut Option<Machine>,
    load: &Arc<LoadedRun>,
) -> Result<&'a mut Machine, TaskFault> {
    if machine
        .as_ref()
        .is_none_or(|machine| !Arc::ptr_eq(&machine.load, load))
    {
        // Before another engine is made: there may be one GPU for all lanes.
        *machine = None;
        let engine = backend.engine_of_run(&load.graph, &load.run);
        *machine = Some(Machine {
            engine: engine.map_err(|error| engine_fault(error.to_string()))?,
            load: Arc::clone(load),
            params: None,
        });
    }
    Ok(machine.as_mut().expect("made above"))
}

impl Machine {
    /// Gives the engine parameters, unless it has them.
    fn use_params(&mut self, params: &Params) -> Result<(), TaskFault> {
        // The same tensor, not just the same version: after a rollback a version may come again with other values.
        let known = self.params.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(&known.values, &params.values)) {
            return Ok(());
        }
        self.params = None;
        let taken = self.engine.set_params(&params.values);
        taken.map_err(|error| engine_fault(error.to_string()))?;
        self.params = Some(params.clone());
        Ok(())
    }
}

fn engine_fault(message: String) -> TaskFault {
    TaskFault::Engine { message }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the lane panicked: {}", text.unwrap_or("no message"))
}

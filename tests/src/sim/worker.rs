//! A simulated worker: the real session, a driver on virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tabswarm_client_core::limits::MAX_UNANSWERED;
use tabswarm_client_core::{Config, Effect, Input, Session, Task, TaskFault, TaskResult};
use tabswarm_compute::sums::{add_exact, add_f32};
use tabswarm_compute::task::{
    InnerWork, OpenShard, TaskEngine, TaskError, TaskPart, add_gradients, do_inner_steps,
};
use tabswarm_compute::{Batch, BatchStats, ComputeError, Engine, Sums};
use tabswarm_coordinator::ConnectionId;
use tabswarm_model::Run;
use tabswarm_model::batches::StepShape;
use tabswarm_model::digest::Digest;
use tabswarm_model::noise::NoiseKey;
use tabswarm_model::parts::{Leased, Part, pieces};
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::Precision;
use tabswarm_model::samples::MicroBatch;
use tabswarm_protocol::client::{Class, MicroBatchRange, Update, WorkerKind};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, ParamVersion, ServerMessage, Timestamp, codec, encode_frames,
};

use super::chance::Chance;
use super::fixture::Job;

/// The largest exponent of the loss's scale with which the job fits half precision, more or less.
const FITTING_EXPONENT: i8 = 10;

/// What a worker wants of the world around it.
#[derive(Debug)]
pub(super) enum Output {
    Connect,
    Close,
    Send(Vec<u8>),
    /// Give this input back after so many ms.
    Later(u64, Input),
}

/// One worker process or tab.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) session: Session,
    pub(super) connection: Option<ConnectionId>,
    /// Time per micro-batch in ms.
    speed_ms: u64,
    lanes: u16,
    decoder: Decoder,
    /// The run as it was assigned, and its plan.
    loaded: Option<Arc<(Run, RoundPlan)>>,
    params: BTreeMap<ParamVersion, Vec<f32>>,
    sums: BTreeMap<LeaseId, Added>,
    /// The shard that each lane is at.
    shards: BTreeMap<u16, OpenShard>,
    unanswered: BTreeMap<LeaseId, Vec<u8>>,
}

impl Worker {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let lanes = u16::try_from(chance.between(1, 3)).expect("at most 3");
        let config = Config {
            kind: WorkerKind::Native,
            software: "simulated".into(),
            run: None,
            join_token: None,
            lanes,
            classes: vec![Class::Portable],
            memory_mib: 4_096,
            gpu: false,
            duty_percent: if chance.one_in(4) { 30 } else { 100 },
            seed: chance.number(),
        };
        Self {
            session: Session::new(config),
            connection: None,
            // A spread of 20 between the fastest and the slowest.
            speed_ms: chance.between(2, 40),
            lanes,
            decoder: Decoder::new(1 << 20),
            loaded: None,
            params: BTreeMap::new(),
            sums: BTreeMap::new(),
            shards: BTreeMap::new(),
            unanswered: BTreeMap::new(),
        }
    }

    pub(super) fn handle(
        &mut self,
        now: u64,
        input: Input,
        tools: &mut Tools<'_>,
        outputs: &mut Vec<Output>,
    ) {
        let mut effects = Vec::new();
        self.session.handle(Timestamp(now), input, &mut effects);
        for effect in effects {
            self.carry_out(effect, tools, outputs);
        }
    }

    /// Bytes arrived; gives the messages in them.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<ServerMessage>, String> {
        let mut raw = Vec::new();
        self.decoder
            .push(bytes, &mut raw)
            .map_err(|error| error.to_string())?;
        let mut messages = Vec::new();
        for message in raw {
            let control: ServerMessage = message.control().map_err(|error| error.to_string())?;
            if let ServerMessage::Params(header) = &control {
                let values = codec::f32::decode(&message.tensor, message.tensor.len() / 4)
                    .map_err(|error| error.to_string())?;
                if Digest::of(&message.tensor).0 != header.digest {
                    return Err("parameters with another digest".into());
                }
                self.params.insert(header.version, values);
            }
            messages.push(control);
        }
        Ok(messages)
    }

    /// A new connection begins with a new stream.
    pub(super) fn connected(&mut self, connection: ConnectionId) {
        self.connection = Some(connection);
        self.decoder = Decoder::new(1 << 20);
    }

    fn carry_out(&mut self, effect: Effect, tools: &mut Tools<'_>, outputs: &mut Vec<Output>) {
        let chance = &mut *tools.chance;
        match effect {
            Effect::Connect => outputs.push(Output::Connect),
            Effect::CloseSocket => outputs.push(Output::Close),
            Effect::Send(message) => outputs.push(Output::Send(frames(&message, &[]))),
            Effect::LoadRun(assignment) => {
                let run_id = assignment.run_id;
                let run = Run::from_json(&assignment.run_json).expect("the server sends a run");
                let plan = RoundPlan::new(&run, tools.job.samples());
                self.loaded = Some(Arc::new((run, plan)));
                outputs.push(Output::Later(
                    chance.between(1, 50),
                    Input::RunLoaded { run_id },
                ));
            }
            Effect::UseParams { .. } => {}
            Effect::ForgetParams { version, .. } => {
                self.params.remove(&version);
            }
            Effect::PrepareData { lease_id, .. } => {
                let input = if tools.faults && chance.one_in(300) {
                    let message = "simulated".into();
                    Input::DataFailed { lease_id, message }
                } else {
                    Input::DataReady { lease_id }
                };
                outputs.push(Output::Later(chance.between(0, 20), input));
            }
            Effect::Compute { lane, task } => self.compute(lane, &task, tools, outputs),
            Effect::RestartLane { lane } | Effect::RetireLane { lane, .. } => {
                self.shards.remove(&lane);
            }
            Effect::SendUpdate(update) => self.send_update(update, outputs),
            Effect::ResendUpdate { lease_id } => {
                let bytes = self
                    .unanswered
                    .get(&lease_id)
                    .expect("kept until it is answered");
                outputs.push(Output::Send(bytes.clone()));
            }
            Effect::ForgetUpdate { lease_id } => {
                self.unanswered.remove(&lease_id);
            }
            Effect::DropLease { lease_id } => {
                self.sums.remove(&lease_id);
            }
        }
    }

    fn send_update(&mut self, mut update: Update, outputs: &mut Vec<Output>) {
        let lease_id = update.lease_id;
        let sums = self.sums.remove(&lease_id).expect("something is done");
        let tensor = match sums {
            Added::Exact(sums) => codec::exact::encode(&sums),
            Added::F32(sums) => codec::f32::encode(&sums),
        };
        update.digest = Digest::of(&tensor).0;
        let bytes = frames(&ClientMessage::Update(update), &tensor);
        outputs.push(Output::Send(bytes.clone()));
        self.unanswered.insert(lease_id, bytes);
        assert!(
            self.unanswered.len() <= MAX_UNANSWERED,
            "unanswered updates are bounded"
        );
    }

    fn compute(
        &mut self,
        lane: u16,
        task: &Task,
        tools: &mut Tools<'_>,
        outputs: &mut Vec<Output>,
    ) {
        assert!(lane < self.lanes, "only the lanes there are");
        let mut result = TaskResult {
            lane,
            lease_id: task.lease_id,
            range: task.range,
            samples: 0,
            loss_q20: 0,
            correct: 0,
            elapsed_us: 0,
            outcome: Ok(()),
        };
        let loaded = self.loaded.as_ref().expect("runs come before leases");
        let loaded = Arc::clone(loaded);
        let parts = parts(&loaded.1, task);
        let micro_batches: u32 = parts.iter().map(|part| part.count).sum();
        let mean_ms = self.speed_ms * u64::from(micro_batches);
        let hiccup = if tools.chance.one_in(200) { 3_000 } else { 0 };
        let elapsed_ms = tools.chance.between(mean_ms / 2, mean_ms * 2) + hiccup;
        result.elapsed_us = elapsed_ms * 1_000;
        if tools.faults && tools.chance.one_in(400) {
            let message = "simulated".into();
            result.outcome = Err(TaskFault::Engine { message });
        } else {
            let params = self
                .params
                .get(&task.version)
                .expect("parameters come before leases");
            let shard = self.shards.entry(lane).or_default();
            match tools.compute(&loaded, params, (task, &parts), shard) {
                Ok((stats, sums)) => {
                    result.samples = stats.samples;
                    result.loss_q20 = stats.loss_q20;
                    result.correct = stats.correct;
                    self.add(task.lease_id, sums);
                }
                Err(fault) => result.outcome = Err(fault),
            }
        }
        outputs.push(Output::Later(elapsed_ms, Input::TaskDone(result)));
    }

    fn add(&mut self, lease_id: LeaseId, sums: Added) {
        match (self.sums.get_mut(&lease_id), sums) {
            (Some(Added::Exact(totals)), Added::Exact(sums)) => add_exact(totals, &sums),
            (Some(Added::F32(totals)), Added::F32(sums)) => add_f32(totals, &sums),
            (None, sums) => {
                self.sums.insert(lease_id, sums);
            }
            (Some(_), _) => unreachable!("a lease is of one run with one codec"),
        }
    }
}

/// The sums of a lease.
#[derive(Debug)]
enum Added {
    Exact(Vec<i32>),
    F32(Vec<f32>),
}

/// What all workers share in the simulation.
#[derive(Debug)]
pub(super) struct Tools<'a> {
    pub(super) chance: &'a mut Chance,
    pub(super) job: &'a mut Job,
    pub(super) engine: &'a mut Engine,
    pub(super) faults: bool,
}

/// The samples of a task.
fn parts(plan: &RoundPlan, task: &Task) -> Vec<Part> {
    let inner_steps = task.kind.inner_steps();
    let leased = Leased {
        version: task.version.0,
        batch: task.batch,
        first: task.first,
        count: match inner_steps {
            Some(_) => 1,
            // That of the lease is not known any more; the task's is a part of it.
            None => task.range.first + task.range.count - task.first,
        },
        inner_steps,
    };
    let lease = plan.leased(leased);
    let lease = lease.expect("the coordinator leases what there is");
    let MicroBatchRange { first, count } = task.range;
    pieces(&lease, inner_steps.is_some(), first, count)
}

impl Tools<'_> {
    /// Whether half precision, which this engine has not, would be too small: it always is with scales that are too
    /// large for the job, and now and then with others.
    fn overflows(&mut self, exponents: &[i8]) -> bool {
        let exponent = exponents[0];
        exponent > FITTING_EXPONENT || exponent > 0 && self.faults && self.chance.one_in(100)
    }

    fn compute(
        &mut self,
        (run, plan): &(Run, RoundPlan),
        params: &[f32],
        (task, parts): (&Task, &[Part]),
        shard: &mut OpenShard,
    ) -> Result<(BatchStats, Added), TaskFault> {
        if run.precision == Precision::Half && self.overflows(&task.exponents) {
            let fits = vec![task.exponents[0] - 1];
            return Err(TaskFault::Overflow { fits });
        }
        let mut sums = Sums::new(run.codec, &self.job.layout);
        let micro_batches = parts.iter().flat_map(|part| {
            let of_part = part.first..part.first + part.count;
            of_part.map(|micro_batch| (part.step, micro_batch))
        });
        let mut engine = Feeding {
            micro_batches: micro_batches.collect(),
            engine: &mut *self.engine,
            job: &mut *self.job,
        };
        let task_parts: Vec<TaskPart> = parts
            .iter()
            .map(|part| TaskPart {
                batch: part.batch,
                first: part.first,
                count: part.count,
            })
            .collect();
        let exponents = &task.exponents;
        let MicroBatchRange { first, count } = task.range;
        let done = match task.kind.inner_steps() {
            None => {
                engine.set_params(params).expect("the model's length");
                add_gradients(&mut engine, run.seed, &task_parts, exponents, &mut sums)
            }
            Some(inner_steps) => {
                let version = task.version.0;
                let work = InnerWork {
                    lease_id: task.lease_id.0,
                    first,
                    is_last: first + count == inner_steps,
                    rate_factors: plan.inner_rate_factors(&run.schedule, version, first, count),
                };
                do_inner_steps(
                    &mut engine,
                    (run, &params.into()),
                    (&task_parts, &work),
                    shard,
                    exponents,
                    &mut sums,
                )
            }
        };
        match (done, sums) {
            (Ok(stats), Sums::Exact(sums)) => Ok((stats, Added::Exact(sums.sums().to_vec()))),
            (Ok(stats), Sums::F32(sums)) => Ok((stats, Added::F32(sums))),
            (Err(TaskError::Overflow(fits)), _) => Err(TaskFault::Overflow { fits }),
            (Err(TaskError::Diverged(_)), _) => Err(TaskFault::Diverged),
            (Err(error), _) => panic!("{error}"),
        }
    }
}

/// An engine that gathers the samples of each micro-batch when it is the next one.
struct Feeding<'a> {
    engine: &'a mut Engine,
    job: &'a mut Job,
    micro_batches: VecDeque<(StepShape, u32)>,
}

impl TaskEngine for Feeding<'_> {
    type Error = ComputeError;

    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        self.engine.set_params(params)
    }

    fn next_gradient(&mut self, noise: NoiseKey) -> Result<BatchStats, ComputeError> {
        let next = self.micro_batches.pop_front();
        let (step, micro_batch) = next.expect("the task's micro-batches");
        let mut batch = MicroBatch::default();
        self.job.gather(step, micro_batch, &mut batch);
        self.engine.gradient(Batch {
            noise: Some(noise),
            ..Batch::of(&batch)
        })
    }

    fn gradient_buffer(&self) -> &[f32] {
        self.engine.gradient_buffer()
    }
}

fn frames(message: &ClientMessage, tensor: &[u8]) -> Vec<u8> {
    encode_frames(message, tensor).concat()
}

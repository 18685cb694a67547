//! A simulated worker: the real session, a driver on virtual time.

use std::collections::BTreeMap;

use tabswarm_client_core::limits::MAX_UNANSWERED;
use tabswarm_client_core::{Config, Effect, Input, Session, Task, TaskFault, TaskResult};
use tabswarm_compute::{AccumulateError, Batch, Engine, LeaseAccumulator};
use tabswarm_coordinator::ConnectionId;
use tabswarm_model::digest::Digest;
use tabswarm_model::samples::MicroBatch;
use tabswarm_protocol::client::{Class, Update, WorkerKind};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, ParamVersion, ServerMessage, Timestamp, codec, encode_frames,
};

use super::chance::Chance;
use super::fixture::Job;

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
    params: BTreeMap<ParamVersion, Vec<f32>>,
    sums: BTreeMap<LeaseId, Vec<i32>>,
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
            params: BTreeMap::new(),
            sums: BTreeMap::new(),
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
                outputs.push(Output::Later(
                    chance.between(1, 50),
                    Input::RunLoaded { run_id },
                ));
            }
            Effect::UseParams { version, .. } => self.params.retain(|known, _| *known >= version),
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
            Effect::RestartLane { .. } | Effect::RetireLane { .. } => {}
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
        let tensor = codec::exact::encode(&sums);
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
        let mean_ms = self.speed_ms * u64::from(task.range.count);
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
            match tools.gradient(params, task, &mut result) {
                Ok(sums) => self.add(task.lease_id, &sums),
                Err(fault) => result.outcome = Err(fault),
            }
        }
        outputs.push(Output::Later(elapsed_ms, Input::TaskDone(result)));
    }

    fn add(&mut self, lease_id: LeaseId, sums: &[i32]) {
        let total = self
            .sums
            .entry(lease_id)
            .or_insert_with(|| vec![0; sums.len()]);
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
}

/// What all workers share in the simulation.
#[derive(Debug)]
pub(super) struct Tools<'a> {
    pub(super) chance: &'a mut Chance,
    pub(super) job: &'a mut Job,
    pub(super) engine: &'a mut Engine,
    pub(super) faults: bool,
}

impl Tools<'_> {
    fn gradient(
        &mut self,
        params: &[f32],
        task: &Task,
        result: &mut TaskResult,
    ) -> Result<Vec<i32>, TaskFault> {
        self.engine.set_params(params).expect("the model's length");
        let step = self.job.plan.step(task.version.0);
        let mut sums = LeaseAccumulator::new(&self.job.layout);
        let mut batch = MicroBatch::default();
        for idx in task.range.first..task.range.first + task.range.count {
            self.job.gather(step, idx, &mut batch);
            let stats = self
                .engine
                .gradient(Batch::of(&batch))
                .expect("finite gradients");
            result.samples += stats.samples;
            result.loss_q20 += stats.loss_q20;
            result.correct += stats.correct;
            match sums.add(self.engine.gradient_buffer(), &task.exponents) {
                Ok(()) => {}
                Err(AccumulateError::Overflow { fits }) => {
                    return Err(TaskFault::Overflow { fits });
                }
                Err(error) => panic!("{error}"),
            }
        }
        Ok(sums.sums().to_vec())
    }
}

fn frames(message: &ClientMessage, tensor: &[u8]) -> Vec<u8> {
    encode_frames(message, tensor).concat()
}

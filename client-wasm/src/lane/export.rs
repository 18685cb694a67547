//! The lane as JavaScript sees it.

use js_sys::Float32Array;
#[cfg(feature = "gpu")]
use tabswarm_compute::BatchStats;
use tabswarm_compute::Sums;
use wasm_bindgen::prelude::*;
use web_sys::DedicatedWorkerGlobalScope;

use super::compute::{Computer, Fault, TaskSamples};
use crate::browser::wire::{self, Buffers, Envelope, LaneWork, ToLane};
use crate::browser::{Clock, worker_scope};

/// The engine of one lane worker: answers the driver's messages.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Lane {
    scope: DedicatedWorkerGlobalScope,
    clock: Clock,
    computer: Option<Computer>,
    /// Kept from message to message, so that none allocates.
    params: Vec<f32>,
    inputs: Vec<f32>,
    labels: Vec<u16>,
    soft_targets: Vec<f32>,
    buffers: Buffers,
    /// Time spent on parameters since the last task: it counts as the next one's.
    params_us: f64,
}

#[wasm_bindgen]
impl Lane {
    /// A lane without a run.
    ///
    /// # Errors
    /// Outside of a dedicated worker.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsError> {
        let scope =
            worker_scope().ok_or_else(|| JsError::new("a lane lives in a dedicated worker"))?;
        Ok(Self {
            clock: Clock::new(&scope).ok_or_else(|| JsError::new("this browser has no clock"))?,
            scope,
            computer: None,
            params: Vec::new(),
            inputs: Vec::new(),
            labels: Vec::new(),
            soft_targets: Vec::new(),
            buffers: Buffers::default(),
            params_us: 0.0,
        })
    }

    /// Takes one message of the driver.
    ///
    /// # Errors
    /// Where the answer can't be sent.
    pub fn handle(&mut self, message: &JsValue) -> Result<(), JsValue> {
        let started_us = self.clock.now_us();
        match wire::read_to_lane(message) {
            Some(ToLane::Load(run_json)) => {
                let answer = self.load(&run_json);
                self.post(&answer)
            }
            Some(ToLane::Params(values)) => {
                self.take_params(&values);
                Ok(())
            }
            Some(ToLane::Work(work)) => {
                self.keep(&work);
                self.compute(&work, started_us)
            }
            None => self.post(&wire::failed("The driver sent something unreadable.")),
        }
    }
}

impl Lane {
    /// Sends the driver something.
    pub(crate) fn post(&self, envelope: &Envelope) -> Result<(), JsValue> {
        self.scope
            .post_message_with_transfer(&envelope.message, &envelope.transfer)
    }

    /// Takes parameters for all later tasks.
    pub(crate) fn take_params(&mut self, values: &Float32Array) {
        let started_us = self.clock.now_us();
        self.params.resize(values.length() as usize, 0.0);
        values.copy_to(&mut self.params);
        self.buffers.keep(values.buffer());
        if let Some(computer) = &mut self.computer {
            computer.set_params(&self.params);
        }
        self.params_us += self.clock.now_us() - started_us;
    }

    /// Keeps the samples of a task.
    pub(crate) fn keep(&mut self, work: &LaneWork) {
        self.inputs.resize(work.inputs.length() as usize, 0.0);
        work.inputs.copy_to(&mut self.inputs);
        self.buffers.keep(work.inputs.buffer());
        self.labels.resize(work.labels.length() as usize, 0);
        work.labels.copy_to(&mut self.labels);
        let soft_targets = &work.soft_targets;
        self.soft_targets
            .resize(soft_targets.length() as usize, 0.0);
        soft_targets.copy_to(&mut self.soft_targets);
    }

    /// Computes the task whose samples are kept and which began at `started_us`, and answers.
    pub(crate) fn compute(&mut self, work: &LaneWork, started_us: f64) -> Result<(), JsValue> {
        let started_us = started_us - std::mem::take(&mut self.params_us);
        let samples = samples(&self.inputs, &self.labels, &self.soft_targets, work);
        let (clock, buffers) = (&self.clock, &self.buffers);
        let answer = match &mut self.computer {
            Some(computer) => answer(
                computer,
                samples,
                &work.exponents,
                started_us,
                clock,
                buffers,
            ),
            None => wire::failed("The lane has no run."),
        };
        self.post(&answer)
    }

    /// Makes ready for a run: the answer says whether it did.
    pub(crate) fn load(&mut self, run_json: &str) -> Envelope {
        self.computer = None;
        match Computer::new(run_json) {
            Ok(computer) => {
                self.computer = Some(computer);
                wire::ready()
            }
            Err(message) => wire::failed(&message),
        }
    }
}

/// What a lane with a GPU needs of the one that it has for everything else.
#[cfg(feature = "gpu")]
impl Lane {
    /// The parameters given last.
    pub(crate) fn params(&self) -> &[f32] {
        &self.params
    }

    /// The task whose samples are kept.
    pub(crate) fn samples<'a>(&'a self, work: &'a LaneWork) -> TaskSamples<'a> {
        samples(&self.inputs, &self.labels, &self.soft_targets, work)
    }

    /// Answers a task that began at `started_us` with sums that were computed elsewhere.
    pub(crate) fn post_sums(
        &mut self,
        sums: &[f32],
        tally: BatchStats,
        started_us: f64,
    ) -> Result<(), JsValue> {
        let params_us = std::mem::take(&mut self.params_us);
        let elapsed_us = self.clock.now_us() - started_us + params_us;
        self.post(&wire::done_plain(sums, tally, elapsed_us, &self.buffers))
    }

    /// Now.
    pub(crate) fn now_us(&self) -> f64 {
        self.clock.now_us()
    }
}

fn samples<'a>(
    inputs: &'a [f32],
    labels: &'a [u16],
    soft_targets: &'a [f32],
    work: &'a LaneWork,
) -> TaskSamples<'a> {
    TaskSamples {
        inputs,
        labels,
        soft_targets,
        sizes: &work.sizes,
        parts: &work.parts,
        inner: work.inner.as_ref(),
    }
}

/// Computes a task that began at `started_us`.
fn answer(
    computer: &mut Computer,
    samples: TaskSamples<'_>,
    exponents: &[i8],
    started_us: f64,
    clock: &Clock,
    buffers: &Buffers,
) -> Envelope {
    let has_sums = samples.inner.is_none_or(|inner| inner.is_last);
    match computer.compute(samples, exponents) {
        Ok(tally) => {
            let elapsed_us = clock.now_us() - started_us;
            match computer.sums() {
                // Before a shard's last inner step there are none.
                _ if !has_sums => wire::done_plain(&[], tally, elapsed_us, buffers),
                Sums::Exact(sums) => wire::done_exact(sums.sums(), tally, elapsed_us, buffers),
                Sums::F32(sums) => wire::done_plain(sums, tally, elapsed_us, buffers),
            }
        }
        Err(Fault::Overflow(fits)) => wire::overflow(&fits),
        Err(Fault::Diverged) => wire::diverged(),
        Err(Fault::Failed(message)) => wire::failed(&message),
    }
}

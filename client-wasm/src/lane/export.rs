//! The lane as JavaScript sees it.

use tabswarm_compute::Sums;
use wasm_bindgen::prelude::*;
use web_sys::DedicatedWorkerGlobalScope;

use super::compute::{Computer, Fault, TaskSamples};
use crate::browser::wire::{self, Buffers, Envelope, ToLane};
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
        let answer = match wire::read_to_lane(message) {
            Some(ToLane::Load(run_json)) => self.load(&run_json),
            Some(ToLane::Params(values)) => {
                self.params.resize(values.length() as usize, 0.0);
                values.copy_to(&mut self.params);
                self.buffers.keep(values.buffer());
                if let Some(computer) = &mut self.computer {
                    computer.set_params(&self.params);
                }
                self.params_us += self.clock.now_us() - started_us;
                return Ok(());
            }
            Some(ToLane::Work {
                inputs,
                labels,
                sizes,
                exponents,
                parts,
                inner,
                soft_targets,
            }) => {
                self.inputs.resize(inputs.length() as usize, 0.0);
                inputs.copy_to(&mut self.inputs);
                self.buffers.keep(inputs.buffer());
                self.labels.resize(labels.length() as usize, 0);
                labels.copy_to(&mut self.labels);
                self.soft_targets
                    .resize(soft_targets.length() as usize, 0.0);
                soft_targets.copy_to(&mut self.soft_targets);
                let samples = TaskSamples {
                    inputs: &self.inputs,
                    labels: &self.labels,
                    soft_targets: &self.soft_targets,
                    sizes: &sizes.to_vec(),
                    parts: &parts,
                    inner: inner.as_ref(),
                };
                let params_us = std::mem::take(&mut self.params_us);
                let started_us = started_us - params_us;
                match &mut self.computer {
                    Some(computer) => answer(
                        computer,
                        samples,
                        &exponents.to_vec(),
                        started_us,
                        &self.clock,
                        &self.buffers,
                    ),
                    None => wire::failed("The lane has no run."),
                }
            }
            None => wire::failed("The driver sent something unreadable."),
        };
        self.scope
            .post_message_with_transfer(&answer.message, &answer.transfer)
    }

    fn load(&mut self, run_json: &str) -> Envelope {
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
        Err(Fault::Failed(message)) => wire::failed(&message),
    }
}

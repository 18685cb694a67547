//! The lane with a GPU as JavaScript sees it.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use js_sys::futures::future_to_promise;
use wasm_bindgen::prelude::*;

use super::lane::{Gpu, Undone};
use crate::browser::wire::{self, LaneWork, ToLane};
use crate::lane::{BackendChoice, Lane};

/// A lane that computes on the GPU where it can: answers the driver's messages, one after the other.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GpuLane {
    /// Taken away while a message is answered.
    state: Rc<RefCell<Option<State>>>,
}

#[derive(Debug)]
struct State {
    /// For everything else.
    lane: Lane,
    gpu: Gpu,
}

#[wasm_bindgen]
impl GpuLane {
    /// A lane without a run. With `is_forced` the GPU is used even where the processor is faster.
    ///
    /// # Errors
    /// Outside of a dedicated worker.
    #[wasm_bindgen(constructor)]
    pub fn new(is_forced: bool) -> Result<Self, JsError> {
        let state = State {
            lane: Lane::new()?,
            gpu: Gpu::new(is_forced),
        };
        Ok(Self {
            state: Rc::new(RefCell::new(Some(state))),
        })
    }

    /// Takes one message of the driver; the next one may come when the promise is kept.
    pub fn handle(&self, message: JsValue) -> Promise {
        let slot = Rc::clone(&self.state);
        future_to_promise(async move {
            let busy = || JsError::new("the lane is still busy with the message before");
            let taken = slot.borrow_mut().take();
            let mut state = taken.ok_or_else(busy)?;
            let handled = state.handle(&message).await;
            *slot.borrow_mut() = Some(state);
            handled.map(|()| JsValue::UNDEFINED)
        })
    }
}

impl State {
    async fn handle(&mut self, message: &JsValue) -> Result<(), JsValue> {
        match wire::read_to_lane(message) {
            Some(ToLane::Load(run_json)) => {
                let answer = self.lane.load(&run_json);
                let known = self.gpu.load(&run_json).await;
                self.tell(known)?;
                self.lane.post(&answer)
            }
            Some(ToLane::Params(values)) => {
                self.lane.take_params(&values);
                let choice = self.gpu.set_params(self.lane.params());
                self.tell(choice)
            }
            Some(ToLane::Work(work)) => self.work(&work).await,
            None => self.lane.handle(message),
        }
    }

    async fn work(&mut self, work: &LaneWork) -> Result<(), JsValue> {
        self.lane.keep(work);
        let choice = self.gpu.settle(self.lane.params()).await;
        self.tell(choice)?;
        let started_us = self.lane.now_us();
        let samples = self.lane.samples(work);
        match self.gpu.compute(samples, &work.exponents).await {
            Ok((sums, tally)) => self.lane.post_sums(sums, tally, started_us),
            Err(Undone::ForCpu(choice)) => {
                self.tell(choice)?;
                self.lane.compute(work, started_us)
            }
            Err(Undone::Overflow(fits)) => self.lane.post(&wire::overflow(&[fits])),
        }
    }

    fn tell(&self, choice: Option<BackendChoice>) -> Result<(), JsValue> {
        choice.map_or(Ok(()), |choice| self.lane.post(&wire::backend(&choice)))
    }
}

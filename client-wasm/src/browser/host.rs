//! The browser as the driver's host.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Function;
use js_sys::futures::spawn_local;
use tabswarm_protocol::Timestamp;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, Worker};

use super::fetch::fetch;
use super::lane_worker::LaneWorker;
use super::mailbox::Mailbox;
use super::socket::Socket;
use super::{Clock, DriverSlot, wire};
use crate::driver::{Event, GpuWish, Host, Job, LaneId, Work};

/// What the script around the driver does for it.
#[derive(Debug, Clone)]
pub(crate) struct Callbacks {
    /// Makes a lane's `Worker`, which may have the GPU: `off`, `auto` or `always`.
    pub(crate) create_lane: Function,
    /// Takes a status as JSON.
    pub(crate) post_status: Function,
}

/// The driver's worker and what it may reach.
#[derive(Debug)]
pub(crate) struct Browser {
    mailbox: Mailbox,
    scope: DedicatedWorkerGlobalScope,
    clock: Clock,
    callbacks: Callbacks,
    socket: Option<Socket>,
    lanes: Vec<Option<LaneWorker>>,
    timer: Timer,
}

impl Browser {
    /// The host of the driver that will be at `slot`.
    pub(crate) fn new(
        slot: &DriverSlot,
        scope: DedicatedWorkerGlobalScope,
        clock: Clock,
        callbacks: Callbacks,
    ) -> Self {
        let mailbox = Mailbox::new(slot);
        Self {
            timer: Timer::new(scope.clone(), mailbox.clone()),
            mailbox,
            scope,
            clock,
            callbacks,
            socket: None,
            lanes: Vec::new(),
        }
    }

    fn lane(&self, idx: u16) -> Option<&LaneWorker> {
        self.lanes.get(usize::from(idx)).and_then(Option::as_ref)
    }
}

impl Host for Browser {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn connect(&mut self, connection: u32, url: &str) -> Result<(), String> {
        self.socket = None;
        self.socket = Some(Socket::open(connection, url, &self.mailbox)?);
        Ok(())
    }

    fn disconnect(&mut self) {
        self.socket = None;
    }

    fn send(&mut self, frame: &[u8]) {
        if let Some(socket) = &self.socket {
            socket.send(frame);
        }
    }

    fn start_lane(&mut self, lane: LaneId, gpu: GpuWish) -> Result<(), String> {
        let refused =
            |_: JsValue| "This browser does not let the page begin another worker.".to_owned();
        let worker = self
            .callbacks
            .create_lane
            .call1(&JsValue::UNDEFINED, &gpu.as_str().into())
            .map_err(refused)?;
        let worker: Worker = worker.dyn_into().map_err(refused)?;
        let at = usize::from(lane.idx);
        if self.lanes.len() <= at {
            self.lanes.resize_with(at + 1, || None);
        }
        self.lanes[at] = Some(LaneWorker::new(worker, lane, &self.mailbox));
        Ok(())
    }

    fn stop_lane(&mut self, idx: u16) {
        if let Some(lane) = self.lanes.get_mut(usize::from(idx)) {
            *lane = None;
        }
    }

    fn load_lane(&mut self, idx: u16, run_json: &str) {
        if let Some(lane) = self.lane(idx) {
            lane.post(&wire::load(run_json));
        }
    }

    fn give_params(&mut self, idx: u16, params: &[u8]) {
        if let Some(lane) = self.lane(idx) {
            lane.post(&wire::params(params, lane.buffers()));
        }
    }

    fn give_work(&mut self, idx: u16, work: Work<'_>) {
        if let Some(lane) = self.lane(idx) {
            lane.post(&wire::work(work, lane.buffers()));
        }
    }

    fn fetch(&mut self, job: Job, url: String) {
        let (scope, mailbox) = (self.scope.clone(), self.mailbox.clone());
        spawn_local(async move {
            let outcome = fetch(scope, job, url).await;
            mailbox.deliver(Event::Fetched { job, outcome });
        });
    }

    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.timer.set(at, self.now());
    }

    fn post_status(&mut self, json: &str) {
        let told = self
            .callbacks
            .post_status
            .call1(&JsValue::UNDEFINED, &json.into());
        told.expect("the script only hands the status on");
    }
}

/// One timer of the worker.
#[derive(Debug)]
struct Timer {
    scope: DedicatedWorkerGlobalScope,
    on_ring: Closure<dyn FnMut()>,
    /// Its handle, and when it rings.
    armed: Rc<Cell<Option<(i32, Timestamp)>>>,
}

impl Timer {
    fn new(scope: DedicatedWorkerGlobalScope, mailbox: Mailbox) -> Self {
        let armed = Rc::new(Cell::new(None));
        let rung = Rc::clone(&armed);
        let on_ring = Closure::new(move || {
            rung.set(None);
            mailbox.deliver(Event::Timer);
        });
        Self {
            scope,
            on_ring,
            armed,
        }
    }

    /// Deadlines mostly move into the future, message by message: a timer that rings too early costs less
    /// than a new one for each.
    fn set(&self, at: Option<Timestamp>, now: Timestamp) {
        if let Some((handle, rings_at)) = self.armed.get() {
            if at.is_some_and(|at| rings_at <= at) {
                return;
            }
            self.scope.clear_timeout_with_handle(handle);
            self.armed.set(None);
        }
        let Some(at) = at else {
            return;
        };
        let wait_ms = i32::try_from(at.since_ms(now)).unwrap_or(i32::MAX);
        let callback = self.on_ring.as_ref().unchecked_ref();
        let handle = self
            .scope
            .set_timeout_with_callback_and_timeout_and_arguments_0(callback, wait_ms)
            .expect("every worker has timers");
        self.armed.set(Some((handle, now + at.since_ms(now))));
    }
}

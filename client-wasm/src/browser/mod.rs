//! The browser's side of the driver: socket, lane workers, HTTP with the Cache API, timer, clock.
//!
//! Glue only: what to do is decided in `driver`, which knows nothing of this module.

mod fetch;
mod host;
mod lane_worker;
mod mailbox;
mod socket;
pub(crate) mod wire;

use tabswarm_protocol::Timestamp;
use wasm_bindgen::JsCast as _;
use web_sys::{DedicatedWorkerGlobalScope, Performance};

pub(crate) use host::{Browser, Callbacks};
pub(crate) use mailbox::DriverSlot;

/// The worker that this code runs in; none outside of a dedicated worker.
pub(crate) fn worker_scope() -> Option<DedicatedWorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

/// Time since the worker began.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Performance);

impl Clock {
    /// The worker's clock.
    pub(crate) fn new(scope: &DedicatedWorkerGlobalScope) -> Option<Self> {
        scope.performance().map(Self)
    }

    /// In microseconds.
    pub(crate) fn now_us(&self) -> f64 {
        self.0.now() * 1_000.0
    }

    /// In whole milliseconds.
    pub(crate) fn now(&self) -> Timestamp {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds since the start"
        )]
        Timestamp(self.0.now() as u64)
    }
}

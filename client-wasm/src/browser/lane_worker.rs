//! The worker of one lane, from outside.

use std::rc::Rc;

use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, Event as JsEvent, MessageEvent, Worker};

use super::mailbox::Mailbox;
use super::wire::{self, Buffers, Envelope};
use crate::driver::{Event, LaneId};
use crate::lane::Report;

/// A lane's worker; ended at once when dropped.
#[derive(Debug)]
pub(super) struct LaneWorker {
    worker: Worker,
    buffers: Rc<Buffers>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsEvent)>,
}

impl LaneWorker {
    /// Listens to a new worker.
    pub(super) fn new(worker: Worker, lane: LaneId, mailbox: &Mailbox) -> Self {
        let buffers = Rc::new(Buffers::default());
        let (address, returned) = (mailbox.clone(), Rc::clone(&buffers));
        let on_message = Closure::new(move |event: MessageEvent| {
            let report = wire::read_report(&event.data(), &returned);
            address.deliver(Event::Lane { lane, report });
        });
        let address = mailbox.clone();
        let on_error = Closure::new(move |event: JsEvent| {
            event.prevent_default();
            let report = Report::Crashed {
                message: cause(&event),
            };
            address.deliver(Event::Lane { lane, report });
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Self {
            worker,
            buffers,
            _on_message: on_message,
            _on_error: on_error,
        }
    }

    /// Buffers for large messages.
    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(super) fn post(&self, envelope: &Envelope) {
        self.worker
            .post_message_with_transfer(&envelope.message, &envelope.transfer)
            .expect("arrays, numbers, texts and fresh buffers can be sent");
    }
}

thread_local! {
    /// Takes note of nothing.
    static SILENCE: Closure<dyn Fn(JsEvent)> = Closure::new(|event: JsEvent| event.prevent_default());
}

impl Drop for LaneWorker {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        // Errors that are under way still come: a lane that crashed fails on every message that it had. Without
        // a handler they would count as the driver's own, and end it.
        SILENCE.with(|silence| {
            let silence = silence.as_ref().unchecked_ref();
            self.worker.set_onerror(Some(silence));
        });
        self.worker.terminate();
    }
}

/// A worker whose files could not be loaded gives an event without message.
fn cause(event: &JsEvent) -> String {
    let message = event.dyn_ref::<ErrorEvent>().map(ErrorEvent::message);
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("A lane crashed: {message}."),
        None => "A lane could not be loaded. Reload the page if this goes on.".to_owned(),
    }
}

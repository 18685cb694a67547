//! The driver as JavaScript sees it.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, JSON, Reflect};
use tabswarm_model::ArithmeticClass;
use tabswarm_model::digest::Digest;
use wasm_bindgen::prelude::*;

use crate::browser::{Browser, Callbacks, Clock, DriverSlot, worker_scope};
use crate::driver::{self, Command, Event, Start};
use crate::known_answer;

/// The session of a driver worker.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Driver {
    slot: DriverSlot,
    callbacks: Callbacks,
    classes: Vec<ArithmeticClass>,
}

#[wasm_bindgen]
impl Driver {
    /// A driver that waits for the page's start.
    ///
    /// `create_lane(gpu)` returns a new lane `Worker`, which may have the GPU (`off`, `auto` or `always`); `post_status(json)` takes a status for the page.
    ///
    /// # Errors
    /// Where this browser computes something else than it should.
    #[wasm_bindgen(constructor)]
    pub fn new(create_lane: Function, post_status: Function) -> Result<Self, JsError> {
        let classes = known_answer::passed();
        if classes.is_empty() {
            return Err(JsError::new(
                "This browser failed the known-answer test: its results would spoil the run. \
                 Another browser or a newer version may do better.",
            ));
        }
        Ok(Self {
            slot: Rc::new(RefCell::new(None)),
            callbacks: Callbacks {
                create_lane,
                post_status,
            },
            classes,
        })
    }

    /// Takes one message of the page.
    ///
    /// # Errors
    /// Where it is none.
    pub fn handle(&self, message: &JsValue) -> Result<(), JsValue> {
        let json = JSON::stringify(message)?;
        let command = Command::from_json(&String::from(json));
        let command = command.map_err(|error| {
            JsError::new(&format!("the page sent a message that is none: {error}"))
        })?;
        if let Some(driver) = self.slot.borrow_mut().as_mut() {
            driver.handle(Event::Command(command));
            return Ok(());
        }
        let Command::Start {
            server,
            run,
            settings,
        } = command
        else {
            // Before the start there is nothing to change.
            return Ok(());
        };
        let start = Start {
            server,
            run,
            settings,
            classes: self.classes.clone(),
            memory_mib: memory_mib(),
            seed: js_sys::Math::random().to_bits(),
        };
        let begun = driver::Driver::new(self.host()?, start);
        *self.slot.borrow_mut() = Some(begun);
        Ok(())
    }

    /// The worker's secret in hexadecimal form, for requests to its server from this worker; none while the
    /// server does not know it. The page's thread has no use for it.
    pub fn token(&self) -> Option<String> {
        let token = self.slot.borrow().as_ref()?.token()?;
        Some(Digest(token.0).to_string())
    }

    fn host(&self) -> Result<Browser, JsError> {
        let scope =
            worker_scope().ok_or_else(|| JsError::new("a driver lives in a dedicated worker"))?;
        let clock = Clock::new(&scope).ok_or_else(|| JsError::new("this browser has no clock"))?;
        Ok(Browser::new(
            &self.slot,
            scope,
            clock,
            self.callbacks.clone(),
        ))
    }
}

/// What `navigator.deviceMemory` says, in MiB: a rough number, or 0 where the browser keeps it to itself.
fn memory_mib() -> u32 {
    let property = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).ok();
    let gib = property(&js_sys::global(), "navigator")
        .and_then(|navigator| property(&navigator, "deviceMemory"))
        .and_then(|gib| gib.as_f64())
        .unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; not a number becomes 0"
    )]
    let mib = (gib * 1024.0) as u32;
    mib
}

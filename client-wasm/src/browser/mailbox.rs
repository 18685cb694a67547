//! How the browser's events reach the driver.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::Browser;
use crate::driver::{Driver, Event};

/// The driver's place: empty until the page says start.
pub(crate) type DriverSlot = Rc<RefCell<Option<Driver<Browser>>>>;

/// A driver's address for callbacks, which may outlive it.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox(Weak<RefCell<Option<Driver<Browser>>>>);

impl Mailbox {
    /// The address of a driver.
    pub(crate) fn new(slot: &DriverSlot) -> Self {
        Self(Rc::downgrade(slot))
    }

    /// Hands over an event. The browser calls back between tasks only, so the driver is never busy.
    pub(crate) fn deliver(&self, event: Event) {
        if let Some(slot) = self.0.upgrade()
            && let Some(driver) = slot.borrow_mut().as_mut()
        {
            driver.handle(event);
        }
    }
}

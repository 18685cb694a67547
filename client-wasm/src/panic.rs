//! Panics as messages: without this a browser only says "unreachable executed".

use std::cell::RefCell;
use std::panic;

use js_sys::Function;
use wasm_bindgen::prelude::*;

thread_local! {
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Makes panics call `on_panic(message)` before they end the module. Each worker calls this first.
#[wasm_bindgen]
pub fn on_panic(on_panic: Function) {
    ON_PANIC.set(Some(on_panic));
    panic::set_hook(Box::new(|info| {
        let message = info.to_string();
        ON_PANIC.with_borrow(|on_panic| {
            if let Some(on_panic) = on_panic {
                // The module is ending: if the script fails as well, nobody is left to tell.
                on_panic.call1(&JsValue::UNDEFINED, &message.into()).ok();
            }
        });
    }));
}

//! The WebSocket of one connection.

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::mailbox::Mailbox;
use crate::driver::Event;

/// A socket; closed and silent when dropped.
#[derive(Debug)]
pub(super) struct Socket {
    inner: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Begins to connect.
    ///
    /// # Errors
    /// Where the browser refuses the address.
    pub(super) fn open(connection: u32, url: &str, mailbox: &Mailbox) -> Result<Self, String> {
        let refused = |_: JsValue| format!("This browser does not open connections to {url}.");
        let socket = WebSocket::new(url).map_err(refused)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let address = mailbox.clone();
        let on_open = Closure::new(move || address.deliver(Event::SocketOpened { connection }));
        let address = mailbox.clone();
        let on_message = Closure::new(move |event: MessageEvent| {
            let bytes = content(&event.data());
            address.deliver(Event::SocketBytes { connection, bytes });
        });
        let address = mailbox.clone();
        let on_close = Closure::new(move |event: CloseEvent| {
            let reason = event.reason();
            address.deliver(Event::SocketClosed { connection, reason });
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self {
            inner: socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_close: on_close,
        })
    }

    pub(super) fn send(&self, frame: &[u8]) {
        // It fails only while connecting, when there is nothing to say yet; a closing socket drops it in
        // silence, and the driver hears of the closing.
        self.inner.send_with_u8_array(frame).ok();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onclose(None);
        // It fails for impossible close codes only, and none is given.
        self.inner.close().ok();
    }
}

/// A message's bytes. No server of ours sends text: the decoder says so.
fn content(data: &JsValue) -> Vec<u8> {
    match data.dyn_ref::<ArrayBuffer>() {
        Some(buffer) => Uint8Array::new(buffer).to_vec(),
        None => data.as_string().unwrap_or_default().into_bytes(),
    }
}

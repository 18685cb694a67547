//! The socket as the driver sees it: bytes become messages, and only those of the present connection count.

use tabswarm_client_core::Input;
use tabswarm_protocol::limits::MAX_TENSOR_BYTES;
use tabswarm_protocol::server::RefusalCode;
use tabswarm_protocol::{Decoder, FrameError, RawMessage, ServerMessage, encode_frames};

use super::Driver;
use super::host::Host;
use super::params::ParamsKey;

/// State of the socket.
#[derive(Debug)]
pub(super) struct Link {
    /// Number of the present connection, or of the last one.
    connection: u32,
    is_open: bool,
    pub(super) decoder: Decoder,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            connection: 0,
            is_open: false,
            decoder: Decoder::new(MAX_TENSOR_BYTES),
        }
    }
}

impl Link {
    /// Begins another connection: events of earlier ones no longer count.
    fn begin(&mut self) -> u32 {
        *self = Self {
            connection: self.connection.wrapping_add(1),
            ..Self::default()
        };
        self.connection
    }
}

impl<H: Host> Driver<H> {
    pub(super) fn connect(&mut self) {
        self.rhythm.hurry();
        let connection = self.link.begin();
        let url = socket_url(&self.server);
        if let Err(reason) = self.host.connect(connection, &url) {
            self.inputs.push_back(Input::SocketClosed { reason });
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.rhythm.hurry();
        self.host.disconnect();
        self.link.begin();
    }

    pub(super) fn send(&mut self, message: &tabswarm_protocol::ClientMessage) {
        for frame in encode_frames(message, &[]) {
            self.send_frame(&frame);
        }
    }

    pub(super) fn send_frame(&mut self, frame: &[u8]) {
        self.bytes_up += frame.len() as u64;
        self.host.send(frame);
    }

    pub(super) fn socket_opened(&mut self, connection: u32) {
        if connection == self.link.connection {
            self.rhythm.hurry();
            self.link.is_open = true;
            self.feed(Input::SocketOpened);
        }
    }

    pub(super) fn socket_closed(&mut self, connection: u32, reason: &str) {
        if connection != self.link.connection {
            return;
        }
        self.rhythm.hurry();
        let reason = match (reason, self.link.is_open) {
            ("", true) => "The connection to the server was lost.".to_owned(),
            ("", false) => "The server can't be reached.".to_owned(),
            (reason, _) => format!("The server closed the connection: {reason}"),
        };
        self.link.begin();
        self.feed(Input::SocketClosed { reason });
    }

    pub(super) fn socket_bytes(&mut self, connection: u32, bytes: &[u8]) {
        if connection != self.link.connection {
            return;
        }
        self.bytes_down += bytes.len() as u64;
        let mut messages = Vec::new();
        let fault = self.link.decoder.push(bytes, &mut messages).err();
        for message in messages {
            // A message may have ended this connection.
            if connection != self.link.connection {
                return;
            }
            if let Err(reason) = self.message(message) {
                self.drop_link(reason);
            }
        }
        match fault {
            Some(FrameError::Version { expected, got }) => self.refuse_version(expected, got),
            Some(fault) => {
                self.drop_link(format!("The server sent something unreadable: {fault}."));
            }
            None => {}
        }
    }

    /// Hands a message to the session; parameters are checked and kept before.
    fn message(&mut self, raw: RawMessage) -> Result<(), String> {
        let message: ServerMessage = raw
            .control()
            .map_err(|fault| format!("The server sent something unreadable: {fault}."))?;
        match &message {
            ServerMessage::Params(header) => {
                let run = self
                    .run
                    .as_ref()
                    .ok_or("The server sent parameters before a run.")?;
                run.check_params(header, &raw.tensor)?;
                let in_use: Vec<ParamsKey> = self.leases.iter().map(|lease| lease.params).collect();
                self.params
                    .keep((header.run_id, header.version), raw.tensor, &in_use);
            }
            ServerMessage::Lease(_)
            | ServerMessage::Receipt { .. }
            | ServerMessage::Ping { .. } => {}
            _ => self.rhythm.hurry(),
        }
        self.feed(Input::Message(message));
        Ok(())
    }

    /// Ends the connection because the server did something impossible.
    fn drop_link(&mut self, reason: String) {
        self.disconnect();
        self.feed(Input::SocketClosed { reason });
    }

    fn refuse_version(&mut self, expected: u16, got: u16) {
        self.feed(Input::Message(ServerMessage::Refused {
            code: RefusalCode::VersionMismatch,
            message: format!(
                "The server speaks protocol version {got} and this page speaks version {expected}. \
                 Reload the page to get its newest version."
            ),
        }));
    }
}

/// The socket's address on a server.
fn socket_url(server: &str) -> String {
    // http becomes ws, and https becomes wss.
    format!("{}/ws", server.replacen("http", "ws", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_as_secure_as_the_page() {
        assert_eq!(
            socket_url("http://127.0.0.1:8080"),
            "ws://127.0.0.1:8080/ws"
        );
        assert_eq!(socket_url("https://http.example"), "wss://http.example/ws");
    }
}

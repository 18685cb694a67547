//! One worker's socket: a task that owns it, reads it at its pace and writes what the coordinator's thread
//! queued.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::{CloseFrame, Message as WsMessage, WebSocket, close_code};
use bytes::Bytes;
use tabswarm_coordinator::ConnectionId;
use tabswarm_protocol::client::Hello;
use tabswarm_protocol::server::RefusalCode;
use tabswarm_protocol::{
    ClientMessage, Decoder, PROTOCOL_VERSION, RawMessage, ServerMessage, Token, encode_frames,
    stamp,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use tracing::{Instrument as _, debug, debug_span, error};

use super::inbound::{self, Refusal};
use super::pace::Pace;
use crate::actor::{EdgeRun, Message, Outbound, Outbox, TooSlow, Traffic};
use crate::app::App;
use crate::auth::random_bytes;
use crate::limits::{FAREWELL_TIMEOUT, HELLO_TIMEOUT, OUTBOX_MESSAGES};

/// Close codes below 4000 belong to the protocol itself; these tell the reason in a browser's log.
const CLOSE_VERSION_MISMATCH: u16 = 4_001;
const CLOSE_TOO_SLOW: u16 = 4_002;

/// Why a socket ends.
#[derive(Debug)]
enum End {
    /// The peer closed it, or it broke.
    Gone(String),
    /// The coordinator's thread wants it closed; the reason was sent.
    Closed,
    /// It is told why.
    Refused(Refusal),
}

/// Serves a socket until it ends.
pub(super) async fn serve(socket: WebSocket, app: &Arc<App>, connection: ConnectionId) {
    let _alive = app.alive.clone();
    let span = debug_span!("socket", connection = connection.0);
    async {
        let mut socket = Socket {
            stream: socket,
            app,
            connection,
            decoder: Decoder::for_server(0),
            waiting: Vec::new(),
            edge: None,
            traffic: None,
        };
        let Ok(_permit) = app.sockets.try_acquire() else {
            let message = "The server has as many workers as it takes; try again later.".to_owned();
            socket
                .farewell(&End::Refused(Refusal {
                    code: RefusalCode::Full,
                    message,
                }))
                .await;
            return;
        };
        let end = socket.run().await;
        match &end {
            End::Gone(problem) => debug!(problem, "socket gone"),
            End::Closed => debug!("socket closed"),
            End::Refused(refusal) => {
                debug!(code = ?refusal.code, refusal.message, "socket refused");
            }
        }
        socket.farewell(&end).await;
    }
    .instrument(span)
    .await;
}

struct Socket<'a> {
    stream: WebSocket,
    app: &'a App,
    connection: ConnectionId,
    decoder: Decoder,
    /// Decoded and not yet handled.
    waiting: Vec<RawMessage>,
    /// How updates are decoded, once the worker has a run.
    edge: Option<EdgeRun>,
    /// Where the bytes of that run are counted.
    traffic: Option<Arc<Traffic>>,
}

impl Socket<'_> {
    async fn run(&mut self) -> End {
        let hello = match timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(end)) => return end,
            Err(_elapsed) => {
                let message = "The worker did not introduce itself in time.".to_owned();
                return End::Refused(Refusal {
                    code: RefusalCode::TimedOut,
                    message,
                });
            }
        };
        let fresh_token = match random_bytes() {
            Ok(bytes) => Token(bytes),
            Err(error) => {
                error!(%error, "worker turned away");
                return End::Gone(error.to_string());
            }
        };
        let (queue, outbound) = mpsc::channel(OUTBOX_MESSAGES);
        let (cut, is_cut) = oneshot::channel();
        let (connection, outbox) = (self.connection, Outbox { queue, cut });
        let greeting = Message::Hello {
            connection,
            hello,
            fresh_token,
            outbox,
        };
        if self.app.actor.send(greeting).await.is_err() {
            return End::Closed;
        }
        let end = self.exchange(outbound, Cut(Some(is_cut))).await;
        // The thread is gone only when everything is.
        self.app
            .actor
            .send(Message::Disconnected { connection })
            .await
            .ok();
        end
    }

    /// The first message, which must be a hello.
    async fn hello(&mut self) -> Result<Hello, End> {
        while self.waiting.is_empty() {
            let message = self.stream.recv().await;
            self.decode(message)?;
        }
        let raw = self.waiting.remove(0);
        let read = ClientMessage::read(&raw, self.decoder.version());
        match read.map_err(|error| End::Refused(error.into()))? {
            ClientMessage::Hello(hello) => Ok(hello),
            _ => Err(End::Refused(Refusal::protocol_error(
                "the first message is no hello",
            ))),
        }
    }

    /// Reads and writes until something ends it.
    async fn exchange(&mut self, mut outbound: mpsc::Receiver<Outbound>, mut cut: Cut) -> End {
        let mut pace = Pace::new(Instant::now());
        let mut resume_at = None;
        loop {
            if let Err(end) = self.forward().await {
                return end;
            }
            tokio::select! {
                queued = outbound.recv() => {
                    let Some(queued) = queued else { return cut.or_closed() };
                    let written = tokio::select! {
                        written = self.write(queued) => written,
                        end = cut.wait() => Err(end),
                    };
                    if let Err(end) = written {
                        return end;
                    }
                }
                message = self.stream.recv(), if resume_at.is_none() => {
                    match self.decode(message) {
                        Ok(bytes) => resume_at = pace.charge(Instant::now(), bytes),
                        Err(end) => return end,
                    }
                }
                () = sleep_until(resume_at.unwrap_or_else(Instant::now).into()), if resume_at.is_some() => {
                    resume_at = None;
                }
            }
        }
    }

    /// Takes what the socket gave; returns the number of bytes.
    fn decode(&mut self, message: Option<Result<WsMessage, axum::Error>>) -> Result<usize, End> {
        let bytes = match message {
            Some(Ok(WsMessage::Binary(bytes))) => bytes,
            Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => return Ok(0),
            Some(Ok(WsMessage::Text(_))) => {
                return Err(End::Refused(Refusal::protocol_error("a text message")));
            }
            Some(Ok(WsMessage::Close(_))) | None => {
                return Err(End::Gone("closed by the worker".to_owned()));
            }
            Some(Err(error)) => return Err(broken(&error)),
        };
        self.app.metrics.received_bytes.add(bytes.len() as u64);
        if let Some(traffic) = &self.traffic {
            traffic.received_bytes.add(bytes.len() as u64);
        }
        self.decoder
            .push(&bytes, &mut self.waiting)
            .map_err(|error| End::Refused(error.into()))?;
        Ok(bytes.len())
    }

    /// Passes decoded messages on.
    async fn forward(&mut self) -> Result<(), End> {
        let version = self.decoder.version();
        for raw in self.waiting.drain(..) {
            let message = inbound::interpret(self.connection, raw, version, self.edge)
                .await
                .map_err(End::Refused)?;
            self.app
                .actor
                .send(message)
                .await
                .map_err(|_gone| End::Closed)?;
        }
        Ok(())
    }

    async fn write(&mut self, outbound: Outbound) -> Result<(), End> {
        match outbound {
            Outbound::Message(message) => self.send(&message).await,
            Outbound::Assign {
                message,
                edge,
                traffic,
            } => {
                self.edge = Some(edge);
                self.traffic = Some(traffic);
                self.decoder.set_max_tensor_bytes(edge.max_update_bytes());
                self.send(&message).await
            }
            Outbound::Frames(frames) => {
                for frame in frames.iter() {
                    self.send_bytes(frame.clone()).await?;
                }
                Ok(())
            }
            Outbound::Close => Err(End::Closed),
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), End> {
        let frames = if self.decoder.version() == PROTOCOL_VERSION {
            encode_frames(message, &[])
        } else {
            encode_frames(&message.clone().for_older(), &[])
        };
        for frame in frames {
            self.send_bytes(frame.into()).await?;
        }
        Ok(())
    }

    /// A frame as the peer expects it.
    fn stamped(&self, frame: Bytes) -> Bytes {
        match self.decoder.version() {
            PROTOCOL_VERSION => frame,
            older => stamp(&frame, older).into(),
        }
    }

    async fn send_bytes(&mut self, bytes: Bytes) -> Result<(), End> {
        self.app.metrics.sent_bytes.add(bytes.len() as u64);
        if let Some(traffic) = &self.traffic {
            traffic.sent_bytes.add(bytes.len() as u64);
        }
        let bytes = self.stamped(bytes);
        match timeout(
            self.app.config.write_timeout,
            self.stream.send(WsMessage::Binary(bytes)),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Gone(error.to_string())),
            Err(_elapsed) => Err(too_slow()),
        }
    }

    /// Tells the worker why, if it is still there to hear it, and closes.
    async fn farewell(&mut self, end: &End) {
        let (code, refusal) = match end {
            End::Gone(_) => return,
            End::Closed => (close_code::NORMAL, None),
            End::Refused(refusal) => (close_code_of(refusal.code), Some(refusal)),
        };
        let words = async {
            if let Some(Refusal { code, message }) = refusal {
                let refused = ServerMessage::Refused {
                    code: *code,
                    message: message.clone(),
                };
                for frame in encode_frames(&refused, &[]) {
                    let frame = self.stamped(frame.into());
                    self.stream.send(WsMessage::Binary(frame)).await?;
                }
            }
            let frame = CloseFrame {
                code,
                reason: "".into(),
            };
            self.stream.send(WsMessage::Close(Some(frame))).await?;
            // The peer's own close: without waiting for it, the system may discard what was sent.
            while let Some(Ok(_)) = self.stream.recv().await {}
            Ok::<_, axum::Error>(())
        };
        match timeout(FAREWELL_TIMEOUT, words).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the worker could not be told"),
            Err(_elapsed) => debug!("the worker did not take the last message"),
        }
    }
}

/// Tells that the coordinator's thread cut the socket; empty once its other end is dropped.
struct Cut(Option<oneshot::Receiver<TooSlow>>);

impl Cut {
    /// Returns when the socket is cut, never if it is not.
    async fn wait(&mut self) -> End {
        if let Some(receiver) = &mut self.0 {
            let received = receiver.await;
            self.0 = None;
            if let Ok(TooSlow) = received {
                return too_slow();
            }
        }
        std::future::pending().await
    }

    /// Why the queue's other end was dropped: by a cut, or because the server goes down.
    fn or_closed(&mut self) -> End {
        match self.0.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(TooSlow)) => too_slow(),
            _ => End::Closed,
        }
    }
}

fn too_slow() -> End {
    let message =
        "The worker took its messages too slowly. It can come back when its connection is better.";
    End::Refused(Refusal {
        code: RefusalCode::TooSlow,
        message: message.to_owned(),
    })
}

/// A message beyond the limits is the worker's fault, all else the network's.
fn broken(error: &axum::Error) -> End {
    let text = error.to_string();
    if text.contains("too long") || text.contains("capacity") {
        return End::Refused(Refusal::protocol_error(text));
    }
    End::Gone(text)
}

fn close_code_of(code: RefusalCode) -> u16 {
    match code {
        RefusalCode::VersionMismatch => CLOSE_VERSION_MISMATCH,
        RefusalCode::TooSlow => CLOSE_TOO_SLOW,
        RefusalCode::Full => close_code::AGAIN,
        RefusalCode::ProtocolError => close_code::PROTOCOL,
        _ => close_code::POLICY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_socket_that_is_not_cut_waits_however_often_it_is_asked() {
        let (sender, receiver) = oneshot::channel();
        let mut cut = Cut(Some(receiver));
        drop(sender);
        for _ in 0..3 {
            assert!(timeout(Duration::ZERO, cut.wait()).await.is_err());
        }
        assert!(matches!(cut.or_closed(), End::Closed));
    }

    #[tokio::test]
    async fn a_cut_is_told_by_either_way() {
        for asks_first in [false, true] {
            let (sender, receiver) = oneshot::channel();
            let mut cut = Cut(Some(receiver));
            sender.send(TooSlow).unwrap();
            let end = if asks_first {
                cut.wait().await
            } else {
                cut.or_closed()
            };
            assert!(matches!(
                end,
                End::Refused(Refusal {
                    code: RefusalCode::TooSlow,
                    ..
                })
            ));
        }
    }
}

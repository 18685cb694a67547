//! The WebSocket: opening it with clear complaints, and moving bytes both ways at once.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::address::ServerAddress;
use crate::limits::{
    CLOSE_TIMEOUT, CONNECT_TIMEOUT, MAX_SOCKET_MESSAGE_BYTES, OUTBOX_FRAMES, SOCKET_READ_BYTES,
};

/// What comes out of a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// Part of the server's byte stream.
    Bytes(Bytes),
    /// It is over; a sentence says why.
    Closed(String),
}

/// An open WebSocket with a queue of frames to send.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    outbox: VecDeque<Bytes>,
    is_flushed: bool,
    /// Why nothing can be sent any more; what the server said before it closed is still read.
    broken: Option<String>,
}

impl Socket {
    /// Opens a connection to the server; the error is a sentence for the owner.
    pub(crate) async fn open(server: &ServerAddress) -> Result<Self, String> {
        match timeout(CONNECT_TIMEOUT, Self::open_patiently(server)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(format!("{server} does not answer.")),
        }
    }

    async fn open_patiently(server: &ServerAddress) -> Result<Self, String> {
        let tcp = TcpStream::connect((server.host(), server.port()))
            .await
            .map_err(|error| format!("Cannot reach {server}: {error}."))?;
        // Leases take milliseconds: nothing may wait for the next packet.
        tcp.set_nodelay(true)
            .map_err(|error| format!("Cannot set up the connection: {error}."))?;
        let mut request = server
            .socket_url()
            .into_client_request()
            .map_err(|error| format!("{server} is not usable as a WebSocket address: {error}."))?;
        request.headers_mut().insert(
            http::header::USER_AGENT,
            http::HeaderValue::from_static(crate::SOFTWARE),
        );
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BYTES)
            .max_message_size(Some(MAX_SOCKET_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_SOCKET_MESSAGE_BYTES));
        let connector = if server.is_secure() {
            Connector::Rustls(tls()?)
        } else {
            Connector::Plain
        };
        let opened =
            client_async_tls_with_config(request, tcp, Some(config), Some(connector)).await;
        let (stream, _response) = opened.map_err(|error| explain_handshake(server, &error))?;
        Ok(Self {
            stream,
            outbox: VecDeque::new(),
            is_flushed: true,
            broken: None,
        })
    }

    /// Queues frames; [`Self::next`] sends them.
    pub(crate) fn send(&mut self, frames: impl IntoIterator<Item = Bytes>) {
        self.outbox.extend(frames);
        if self.outbox.len() > OUTBOX_FRAMES {
            self.outbox.clear();
            self.broken
                .get_or_insert_with(|| "The server has stopped reading.".to_owned());
        }
    }

    /// Sends what is queued and gives what arrives. Can be dropped and called again at any time.
    pub(crate) async fn next(&mut self) -> SocketEvent {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            self.broken = Some(explain_loss(&error));
        }
        loop {
            let event = match self.stream.poll_next_unpin(cx) {
                Poll::Pending => match self.broken.take() {
                    Some(reason) => SocketEvent::Closed(reason),
                    None => return Poll::Pending,
                },
                Poll::Ready(None) => {
                    SocketEvent::Closed("The server closed the connection.".to_owned())
                }
                Poll::Ready(Some(Err(error))) => SocketEvent::Closed(explain_loss(&error)),
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => SocketEvent::Bytes(bytes),
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    let detail = frame.map_or_else(String::new, |frame| format!(" ({frame})"));
                    SocketEvent::Closed(format!("The server closed the connection{detail}."))
                }
                Poll::Ready(Some(Ok(Message::Text(_)))) => SocketEvent::Closed(
                    "The server sent text: it is no Tabswarm server.".to_owned(),
                ),
                // The library answers pings itself.
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {
                    continue;
                }
            };
            return Poll::Ready(event);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.outbox.is_empty() {
            ready!(self.stream.poll_ready_unpin(cx))?;
            if let Some(frame) = self.outbox.pop_front() {
                self.is_flushed = false;
                self.stream.start_send_unpin(Message::Binary(frame))?;
            }
        }
        if !self.is_flushed {
            ready!(self.stream.poll_flush_unpin(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued, says goodbye and closes, within a short time.
    pub(crate) async fn close(mut self) {
        let polite = async {
            poll_fn(|cx| self.poll_send(cx)).await?;
            self.stream.close(None).await
        };
        // There is nobody left to tell about a failure.
        timeout(CLOSE_TIMEOUT, polite).await.ok();
    }
}

fn tls() -> Result<Arc<ClientConfig>, String> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not available: {error}."))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn explain_handshake(server: &ServerAddress, error: &Error) -> String {
    match error {
        Error::Http(response) => format!(
            "{server} answered with HTTP status {}: is it a Tabswarm server, and is the path right?",
            response.status()
        ),
        Error::Tls(error) => format!("No secure connection to {server}: {error}."),
        error => format!("{server} does not speak the WebSocket protocol: {error}."),
    }
}

fn explain_loss(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => {
            "The server closed the connection.".to_owned()
        }
        Error::Capacity(error) => format!("The server sent too much at once: {error}."),
        error => format!("The connection was lost: {error}."),
    }
}

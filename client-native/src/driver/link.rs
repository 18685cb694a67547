//! The connection in its three states.

use tokio::task::{JoinError, JoinHandle};

use crate::address::ServerAddress;
use crate::socket::{Socket, SocketEvent};

/// The connection to the server.
#[derive(Debug)]
pub(super) enum Link {
    Closed,
    Opening(JoinHandle<Result<Socket, String>>),
    Open(Box<Socket>),
    /// Sending its last words; nothing that comes from it counts.
    Closing(JoinHandle<()>),
}

/// What the connection does.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Opened(Box<Socket>),
    Socket(SocketEvent),
}

impl Link {
    /// Begins to open a connection; an older one is given up.
    pub(super) fn open(&mut self, server: ServerAddress) {
        self.close();
        let opening = tokio::spawn(async move { Socket::open(&server).await });
        *self = Self::Opening(opening);
    }

    /// Begins to close the connection.
    pub(super) fn close(&mut self) {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Closed => Self::Closed,
            Self::Opening(opening) => {
                opening.abort();
                Self::Closed
            }
            Self::Open(socket) => Self::Closing(tokio::spawn(socket.close())),
            closing @ Self::Closing(_) => closing,
        };
    }

    /// Waits until a closing connection has said its last words, which takes a bounded time.
    pub(super) async fn close_politely(&mut self) {
        self.close();
        if let Self::Closing(closing) = self {
            rethrow(closing.await);
        }
        *self = Self::Closed;
    }

    /// The open socket, if there is one.
    pub(super) fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Open(socket) => Some(socket),
            Self::Closed | Self::Opening(_) | Self::Closing(_) => None,
        }
    }

    /// Waits for the connection to do something. Can be dropped and called again at any time.
    pub(super) async fn next(&mut self) -> LinkEvent {
        match self {
            Self::Closed | Self::Closing(_) => std::future::pending().await,
            Self::Open(socket) => LinkEvent::Socket(socket.next().await),
            Self::Opening(opening) => {
                let opened = rethrow(opening.await);
                *self = Self::Closed;
                match opened {
                    Some(Ok(socket)) => LinkEvent::Opened(Box::new(socket)),
                    Some(Err(reason)) => LinkEvent::Socket(SocketEvent::Closed(reason)),
                    None => std::future::pending().await,
                }
            }
        }
    }
}

/// The result of a task; its panic goes on here, its cancellation is none.
pub(super) fn rethrow<T>(joined: Result<T, JoinError>) -> Option<T> {
    match joined {
        Ok(result) => Some(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => None,
        },
    }
}

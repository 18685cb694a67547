//! The queues from the coordinator's thread to the sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tabswarm_coordinator::ConnectionId;
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::ServerMessage;
use tabswarm_protocol::codec::exact;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Counter;

/// What a socket needs to know of its worker's run to decode updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EdgeRun {
    /// How updates are encoded.
    pub(crate) codec: Codec,
    /// Number of parameters.
    pub(crate) parameters: usize,
}

impl EdgeRun {
    /// Largest tensor part of an update.
    pub(crate) fn max_update_bytes(self) -> usize {
        match self.codec {
            Codec::Exact => exact::max_bytes(self.parameters),
            Codec::F32 => self.parameters.saturating_mul(4),
        }
    }
}

/// Bytes of the messages of a run's workers, since it is hosted.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// From workers.
    pub(crate) received_bytes: Counter,
    /// To workers.
    pub(crate) sent_bytes: Counter,
}

/// Something for a socket to do.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// Send a message without tensor.
    Message(ServerMessage),
    /// Send a run assignment; later updates are of this run.
    Assign {
        /// The message.
        message: ServerMessage,
        /// How to decode the updates.
        edge: EdgeRun,
        /// Where its bytes are counted from now on.
        traffic: Arc<Traffic>,
    },
    /// Send frames that many sockets share.
    Frames(Arc<[Bytes]>),
    /// Close after what was sent.
    Close,
}

/// The coordinator's end of a socket's queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Bounded: a full one means that the worker reads too slowly.
    pub(crate) queue: mpsc::Sender<Outbound>,
    /// Cuts the socket even while a write hangs.
    pub(crate) cut: oneshot::Sender<TooSlow>,
}

/// The worker did not take its messages fast enough.
#[derive(Debug)]
pub(crate) struct TooSlow;

/// What became of something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is queued, or the socket is gone already and will say so.
    Done,
    /// The queue was full; the socket is cut.
    TooSlow,
}

/// All open sockets.
#[derive(Debug, Default)]
pub(crate) struct Outboxes(BTreeMap<ConnectionId, Outbox>);

impl Outboxes {
    /// A socket whose worker introduced itself.
    pub(crate) fn add(&mut self, connection: ConnectionId, outbox: Outbox) {
        self.0.insert(connection, outbox);
    }

    /// A socket is gone.
    pub(crate) fn remove(&mut self, connection: ConnectionId) {
        self.0.remove(&connection);
    }

    /// Queues something.
    pub(crate) fn deliver(&mut self, connection: ConnectionId, outbound: Outbound) -> Delivery {
        let Some(outbox) = self.0.get(&connection) else {
            return Delivery::Done;
        };
        match outbox.queue.try_send(outbound) {
            Ok(()) | Err(TrySendError::Closed(_)) => Delivery::Done,
            Err(TrySendError::Full(_)) => {
                if let Some(outbox) = self.0.remove(&connection) {
                    // It fails where the socket ended by itself just now.
                    drop(outbox.cut.send(TooSlow));
                }
                Delivery::TooSlow
            }
        }
    }

    /// Lets a socket end after what was queued.
    pub(crate) fn close(&mut self, connection: ConnectionId) -> Delivery {
        let delivery = self.deliver(connection, Outbound::Close);
        self.0.remove(&connection);
        delivery
    }

    /// Lets all sockets end.
    pub(crate) fn close_all(&mut self) {
        let all: Vec<ConnectionId> = self.0.keys().copied().collect();
        for connection in all {
            self.close(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(capacity: usize) -> (Outbox, mpsc::Receiver<Outbound>, oneshot::Receiver<TooSlow>) {
        let (queue, messages) = mpsc::channel(capacity);
        let (cut, is_cut) = oneshot::channel();
        (Outbox { queue, cut }, messages, is_cut)
    }

    #[test]
    fn a_full_queue_cuts_the_socket_once() {
        let mut outboxes = Outboxes::default();
        let (outbox, _messages, mut is_cut) = socket(2);
        let connection = ConnectionId(1);
        outboxes.add(connection, outbox);
        let ping = |nonce| Outbound::Message(ServerMessage::Ping { nonce });
        assert_eq!(outboxes.deliver(connection, ping(1)), Delivery::Done);
        assert_eq!(outboxes.deliver(connection, ping(2)), Delivery::Done);
        assert_eq!(outboxes.deliver(connection, ping(3)), Delivery::TooSlow);
        assert_eq!(outboxes.deliver(connection, ping(4)), Delivery::Done);
        assert!(is_cut.try_recv().is_ok());
    }

    #[test]
    fn closing_comes_after_what_was_queued() {
        let mut outboxes = Outboxes::default();
        let (outbox, mut messages, _is_cut) = socket(4);
        outboxes.add(ConnectionId(1), outbox);
        outboxes.deliver(
            ConnectionId(1),
            Outbound::Message(ServerMessage::Ping { nonce: 1 }),
        );
        outboxes.close_all();
        assert!(matches!(messages.try_recv(), Ok(Outbound::Message(_))));
        assert!(matches!(messages.try_recv(), Ok(Outbound::Close)));
        assert!(messages.try_recv().is_err());
    }

    #[test]
    fn the_tensor_limit_follows_from_the_codec() {
        let edge = |codec| EdgeRun {
            codec,
            parameters: 1_000,
        };
        assert_eq!(edge(Codec::F32).max_update_bytes(), 4_000);
        assert_eq!(edge(Codec::Exact).max_update_bytes(), 4_004);
    }
}

//! Connections: ordered and reliable until they break, as WebSockets are; then everything under way is lost.

use std::collections::BTreeMap;

use tabswarm_coordinator::ConnectionId;

use super::chance::Chance;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToWorker,
}

/// One connection between a worker and the server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) worker: usize,
    /// Nothing is delivered before it: messages keep their order.
    busy_until: [u64; 2],
    /// Nothing is delivered while a partition lasts.
    partition_until: u64,
}

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) open: BTreeMap<ConnectionId, Connection>,
    next_id: u64,
}

impl Network {
    pub(super) fn open(&mut self, worker: usize) -> ConnectionId {
        self.next_id += 1;
        let id = ConnectionId(self.next_id);
        self.open.insert(
            id,
            Connection {
                worker,
                busy_until: [0; 2],
                partition_until: 0,
            },
        );
        id
    }

    /// When a message sent now arrives; none where the connection is broken.
    pub(super) fn arrival(
        &mut self,
        now: u64,
        id: ConnectionId,
        direction: Direction,
        chance: &mut Chance,
    ) -> Option<u64> {
        let connection = self.open.get_mut(&id)?;
        // Mostly a few milliseconds, sometimes a hiccup.
        let latency = if chance.one_in(20) {
            chance.between(50, 700)
        } else {
            chance.between(1, 15)
        };
        let lane = match direction {
            Direction::ToServer => 0,
            Direction::ToWorker => 1,
        };
        let arrival = (now + latency)
            .max(connection.busy_until[lane])
            .max(connection.partition_until);
        connection.busy_until[lane] = arrival;
        Some(arrival)
    }

    /// Nothing passes on a connection for a while.
    pub(super) fn partition(&mut self, id: ConnectionId, until: u64) {
        if let Some(connection) = self.open.get_mut(&id) {
            connection.partition_until = connection.partition_until.max(until);
        }
    }

    /// The connection of a worker.
    pub(super) fn of_worker(&self, worker: usize) -> Option<ConnectionId> {
        let mut open = self.open.iter();
        open.find(|(_, connection)| connection.worker == worker)
            .map(|(id, _)| *id)
    }
}

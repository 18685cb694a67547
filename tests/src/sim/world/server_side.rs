//! The server's side of the world: its inputs, its outputs, its disk.

use tabswarm_coordinator::{Input as ServerInput, RunCommand};

use super::{Happening, World};
use crate::sim::network::Direction;
use crate::sim::server::{self, Server, Stored};

impl World {
    pub(super) fn tell_server(&mut self, input: ServerInput) {
        if let Some(server) = &mut self.server {
            let mut outputs = Vec::new();
            server.handle(self.now, input, &mut outputs);
            self.after_server(outputs);
        }
    }

    pub(super) fn after_server(&mut self, outputs: Vec<server::Output>) {
        for output in outputs {
            match output {
                server::Output::Send(id, bytes) => self.send(id, Direction::ToWorker, bytes),
                server::Output::Close(id) => {
                    self.close(id, Direction::ToWorker);
                    self.disconnect_server(id);
                }
                server::Output::WriteSnapshot(stored) => {
                    let after = self.now + self.chance.between(1, 400);
                    self.at(after, Happening::SnapshotWritten(self.server_epoch, stored));
                }
                server::Output::Event(event) => self.watch.event(self.now, &event),
            }
        }
        let deadline = self
            .server
            .as_ref()
            .and_then(|server| server.coordinator.next_deadline());
        if let Some(deadline) = deadline {
            let at = deadline.0.max(self.now + 1);
            if self.server_tick_at.is_none_or(|known| at < known) {
                self.server_tick_at = Some(at);
                self.at(at, Happening::ServerTick(self.server_epoch));
            }
        }
    }

    pub(super) fn start_server(&mut self) {
        self.server_epoch += 1;
        self.server_tick_at = None;
        let version = self
            .stored
            .as_ref()
            .map_or(0, |stored| stored.state.version.0);
        self.watch.server_starts(self.now, version);
        let mut outputs = Vec::new();
        let stored = self.stored.as_ref();
        let server = Server::start(self.now, self.server_epoch, &self.job, stored, &mut outputs);
        self.server = Some(server);
        self.after_server(outputs);
        // An operator looks after a server that came back with its run paused.
        self.at(self.now + 6_000, Happening::Operator(RunCommand::Start));
    }

    pub(super) fn snapshot_written(&mut self, epoch: u32, stored: Box<Stored>) {
        if epoch != self.server_epoch || self.server.is_none() {
            return;
        }
        let version = stored.state.version;
        let durable = !(self.scenario.faults && self.chance.one_in(8));
        if durable {
            self.watch.snapshot(&stored.state);
            self.stored = Some(*stored);
        }
        let mut outputs = Vec::new();
        if let Some(server) = &mut self.server {
            server.snapshot_ended(self.now, version, durable, &mut outputs);
        }
        self.after_server(outputs);
    }
}

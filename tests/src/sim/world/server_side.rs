//! The server's side of the world: its inputs and its outputs.

use tabswarm_coordinator::{Event, Input as ServerInput, InvariantId, RunCommand, RunPhase};

use super::faults::Death;
use super::{Happening, World};
use crate::sim::ledger::Broken;
use crate::sim::network::Direction;
use crate::sim::server::{self, Server};

impl World {
    pub(super) fn tell_server(&mut self, input: ServerInput) {
        if let Some(server) = &mut self.server {
            let mut outputs = Vec::new();
            server.handle(self.now, input, &mut self.ledger, &mut outputs);
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
                server::Output::WriteSnapshot(snapshot) => {
                    let after = self.now + self.chance.between(1, 400);
                    let happening = Happening::SnapshotWritten(self.server_epoch, snapshot);
                    self.at(after, happening);
                }
                server::Output::WakeLog => {
                    let after = self.now + self.chance.between(0, 5);
                    self.at(after, Happening::LogWrites(self.server_epoch));
                }
                server::Output::Broken(broken) => self.watch.broken(&broken),
                server::Output::Event(event) => {
                    self.watch.event(self.now, &event);
                    self.look_after(&event);
                }
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

    /// An operator starts a run again that paused of itself: hostile workers may have said that it diverges.
    fn look_after(&mut self, event: &Event) {
        if let Event::PhaseChanged {
            phase: RunPhase::Paused,
            reason: Some(_),
            ..
        } = event
        {
            self.watch.fault(self.now, "run paused itself");
            self.at(self.now + 3_000, Happening::Operator(RunCommand::Start));
        }
    }

    pub(super) fn start_server(&mut self) {
        self.server_epoch += 1;
        self.server_tick_at = None;
        let (opened, may_fail) = self.open_storage();
        if self.disk.has_crashed() {
            self.crash_server(Death::Planned);
            return;
        }
        let (storage, found) = match opened {
            Ok(opened) => opened,
            Err(error) if may_fail => {
                // The operator sees that the run is not hosted, and tries again.
                self.watch.note(self.now, || format!("no start: {error}"));
                let after = self.now + self.chance.between(500, 3_000);
                self.at(after, Happening::ServerStarts);
                return;
            }
            Err(error) => {
                let broken = Broken(InvariantId::AckDurable, format!("no start: {error}"));
                self.watch.broken(&broken);
                return;
            }
        };
        self.watch.server_starts(self.now, &found);
        self.use_settings(&found);
        if let Err(broken) = self.ledger.recovered(&found, &self.job) {
            self.watch.broken(&broken);
        }
        let mut outputs = Vec::new();
        let server = Server::start(
            self.now,
            self.server_epoch,
            &self.job,
            (storage, found),
            &mut self.ledger,
            &mut outputs,
        );
        self.server = Some(server);
        self.after_server(outputs);
        // An operator looks after a server that came back with its run paused.
        self.at(self.now + 6_000, Happening::Operator(RunCommand::Start));
    }
}

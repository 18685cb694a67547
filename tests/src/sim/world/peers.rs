//! The honest workers' side of the world: what reaches them, what they want.

use tabswarm_client_core::Input as WorkerInput;
use tabswarm_coordinator::ConnectionId;
use tabswarm_protocol::ServerMessage;
use tabswarm_protocol::server::Verdict;

use super::{Happening, World};
use crate::sim::network::Direction;
use crate::sim::worker::{self, Tools};

impl World {
    pub(super) fn worker_receives(&mut self, seat: usize, id: ConnectionId, bytes: &[u8]) {
        if self.seats[seat].worker.connection != Some(id) {
            return;
        }
        let incarnation = self.seats[seat].incarnation;
        match self.seats[seat].worker.receive(bytes) {
            Ok(messages) => {
                for message in messages {
                    self.watch_credit(seat, &message);
                    self.tell_worker(seat, incarnation, WorkerInput::Message(message));
                }
            }
            Err(error) => self
                .watch
                .fail(format!("a worker can't read the server: {error}")),
        }
    }

    fn watch_credit(&mut self, seat: usize, message: &ServerMessage) {
        match message {
            ServerMessage::Welcome(welcome) => {
                self.watch.welcomed(seat, welcome.credited_samples);
                self.watch.credited(seat, welcome.credited_samples);
            }
            ServerMessage::Credited { samples } => self.watch.credited(seat, *samples),
            ServerMessage::Receipt {
                lease_id,
                verdict: Verdict::Accepted { samples },
            } => self.watch.acknowledged(seat, *lease_id, *samples),
            _ => {}
        }
    }

    pub(super) fn opened(&mut self, seat: usize, incarnation: u32) {
        if self.seats[seat].incarnation != incarnation {
            return;
        }
        let Some(server) = &mut self.server else {
            let reason = "the server went away".into();
            self.tell_worker(seat, incarnation, WorkerInput::SocketClosed { reason });
            return;
        };
        let id = self.network.open(seat);
        server.accept(id);
        self.seats[seat].worker.connected(id);
        self.tell_worker(seat, incarnation, WorkerInput::SocketOpened);
    }

    pub(super) fn tell_worker(&mut self, seat_idx: usize, incarnation: u32, input: WorkerInput) {
        let seat = &mut self.seats[seat_idx];
        if seat.incarnation != incarnation {
            return;
        }
        if matches!(input, WorkerInput::Start) {
            self.watch.begins(seat_idx);
        }
        let mut outputs = Vec::new();
        let mut tools = Tools {
            chance: &mut self.chance,
            job: &mut self.job,
            engine: &mut self.engine,
            faults: self.scenario.faults,
        };
        seat.worker
            .handle(self.now, input, &mut tools, &mut outputs);
        for output in outputs {
            self.after_worker(seat_idx, incarnation, output);
        }
        let seat = &mut self.seats[seat_idx];
        let Some(deadline) = seat.worker.session.next_deadline() else {
            return;
        };
        let at = deadline.0.max(self.now + 1);
        if seat.tick_at.is_none_or(|known| at < known) {
            seat.tick_at = Some(at);
            self.at(at, Happening::WorkerTick(seat_idx, incarnation));
        }
    }

    pub(super) fn after_worker(&mut self, seat: usize, incarnation: u32, output: worker::Output) {
        match output {
            worker::Output::Connect => {
                let after = self.now + self.chance.between(1, 60);
                let refused =
                    self.server.is_none() || (self.scenario.faults && self.chance.one_in(20));
                let happening = if refused {
                    Happening::OpenFailed(seat, incarnation)
                } else {
                    Happening::Opened(seat, incarnation)
                };
                self.at(after, happening);
            }
            worker::Output::Close => {
                if let Some(id) = self.seats[seat].worker.connection.take() {
                    self.close(id, Direction::ToServer);
                }
            }
            worker::Output::Send(bytes) => {
                if let Some(id) = self.seats[seat].worker.connection {
                    self.send(id, Direction::ToServer, bytes);
                }
            }
            worker::Output::Later(after, input) => {
                self.at(
                    self.now + after,
                    Happening::Worker(seat, incarnation, input),
                );
            }
        }
    }
}

//! Misfortune: one fault at a time, of a kind drawn at random.

use tabswarm_client_core::Input as WorkerInput;
use tabswarm_coordinator::{ConnectionId, Input as ServerInput, RunCommand};
use tabswarm_protocol::client::PauseReason;

use super::{Happening, Seat, World};
use crate::sim::network::Direction;

impl World {
    /// Injects a fault and schedules the next one.
    pub(super) fn fault(&mut self) {
        if self.faults_left == 0 {
            return;
        }
        self.faults_left -= 1;
        let after = self.chance.between(20, 900);
        self.at(self.now + after, Happening::Fault);
        let seat = self.chance.below(self.seats.len());
        match self.chance.below(12) {
            0 | 1 => self.kill_worker(seat),
            2 | 3 => self.break_connection(seat),
            4 | 5 => self.partition(seat),
            6 => self.crash_server(),
            7 => self.restart_server(),
            8 | 9 => self.pause_worker(seat),
            10 => self.finish_worker(seat),
            _ => self.pause_run(),
        }
    }

    /// A process is killed, a tab closed: nothing of it is left, another one takes its place.
    fn kill_worker(&mut self, seat_idx: usize) {
        self.watch.fault(self.now, "worker killed");
        self.cut(seat_idx, false);
        self.replace_worker(seat_idx);
    }

    fn replace_worker(&mut self, seat_idx: usize) {
        let incarnation = self.seats[seat_idx].incarnation + 1;
        let mut seat = Seat::new(&mut self.chance);
        seat.incarnation = incarnation;
        self.seats[seat_idx] = seat;
        let after = self.chance.between(0, 3_000);
        self.at(
            self.now + after,
            Happening::Worker(seat_idx, incarnation, WorkerInput::Start),
        );
    }

    fn break_connection(&mut self, seat: usize) {
        self.watch.fault(self.now, "connection broken");
        self.cut(seat, true);
    }

    /// Everything under way is lost; each side notices in its own time.
    fn cut(&mut self, seat: usize, worker_lives: bool) {
        let Some(id) = self.network.of_worker(seat) else {
            return;
        };
        self.network.open.remove(&id);
        let after = self.chance.between(0, 8_000);
        self.at(
            self.now + after,
            Happening::Noticed(id, seat, Direction::ToServer),
        );
        if worker_lives {
            let after = self.chance.between(0, 8_000);
            self.at(
                self.now + after,
                Happening::Noticed(id, seat, Direction::ToWorker),
            );
        }
    }

    fn partition(&mut self, seat: usize) {
        self.watch.fault(self.now, "partition");
        if let Some(id) = self.network.of_worker(seat) {
            let until = self.now + self.chance.between(500, 40_000);
            self.network.partition(id, until);
        }
    }

    /// `kill -9`: memory is gone, snapshots not yet written are gone.
    fn crash_server(&mut self) {
        if self.server.take().is_none() {
            return;
        }
        self.watch.fault(self.now, "server crashed");
        let open: Vec<(ConnectionId, usize)> = self
            .network
            .open
            .iter()
            .map(|(id, connection)| (*id, connection.worker))
            .collect();
        self.network.open.clear();
        for (id, worker) in open {
            let after = self.chance.between(0, 200);
            self.at(
                self.now + after,
                Happening::Noticed(id, worker, Direction::ToWorker),
            );
        }
        let after = self.chance.between(100, 5_000);
        self.at(self.now + after, Happening::ServerStarts);
    }

    /// An orderly restart: workers are told, a snapshot is begun.
    fn restart_server(&mut self) {
        if self.server.is_none() {
            return;
        }
        self.watch.fault(self.now, "server restarted");
        let reconnect_in_ms = 500;
        self.tell_server(ServerInput::Shutdown { reconnect_in_ms });
        self.crash_server();
    }

    fn pause_worker(&mut self, seat: usize) {
        self.watch.fault(self.now, "worker paused");
        let incarnation = self.seats[seat].incarnation;
        self.tell_worker(seat, incarnation, WorkerInput::Pause(PauseReason::Hidden));
        let after = self.chance.between(10, 10_000);
        self.at(
            self.now + after,
            Happening::Worker(seat, incarnation, WorkerInput::Resume),
        );
    }

    /// Its owner has had enough; another volunteer comes.
    fn finish_worker(&mut self, seat: usize) {
        self.watch.fault(self.now, "worker finished");
        let incarnation = self.seats[seat].incarnation;
        self.tell_worker(seat, incarnation, WorkerInput::Finish);
        let after = self.chance.between(11_000, 20_000);
        self.at(
            self.now + after,
            Happening::Worker(seat, incarnation, WorkerInput::Start),
        );
    }

    fn pause_run(&mut self) {
        self.watch.fault(self.now, "run paused");
        self.happen(Happening::Operator(RunCommand::Pause));
        let after = self.chance.between(100, 5_000);
        self.at(self.now + after, Happening::Operator(RunCommand::Start));
    }
}

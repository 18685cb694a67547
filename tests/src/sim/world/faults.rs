//! Misfortune: one fault at a time, of a kind drawn at random.

use tabswarm_client_core::Input as WorkerInput;
use tabswarm_coordinator::{ConnectionId, Input as ServerInput, RunCommand};
use tabswarm_protocol::client::PauseReason;
use tabswarm_store::faults::Fault;

use super::{Happening, Seat, World};
use crate::sim::network::Direction;

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// `kill -9`: everything that was written is there, synced or not.
    Killed,
    /// What was not synced is whole, torn or gone.
    PowerCut,
    /// One of them, in the middle of an operation of the disk.
    Planned,
}

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
        match self.chance.below(20) {
            0 | 1 => self.kill_worker(seat),
            2 | 3 => self.break_connection(seat),
            4 | 5 => self.partition(seat),
            6 => self.crash_server(Death::Killed),
            7 => self.restart_server(),
            11 => self.crash_server(Death::PowerCut),
            12 | 13 => self.plan_death(Fault::PowerCut),
            14 => self.plan_death(Fault::Kill),
            15 => self.fill_disk(),
            16 | 17 => self.plan_errors("syncs fail", Fault::SyncError),
            18 => self.plan_errors("operations of the disk fail", Fault::IoError),
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

    /// Memory is gone, and on the disk is what the kind of death leaves.
    pub(super) fn crash_server(&mut self, death: Death) {
        match death {
            Death::PowerCut => self.disk.power_cut(),
            Death::Killed | Death::Planned => self.disk.restart(),
        }
        // Also of a machine that is down already, or starting.
        self.plan_full_disk();
        let was_starting = death == Death::Planned && self.server.is_none();
        if self.server.take().is_none() && !was_starting {
            return;
        }
        match death {
            Death::Killed => self.watch.fault(self.now, "server killed"),
            Death::PowerCut => self.watch.fault(self.now, "power cut"),
            Death::Planned => self
                .watch
                .fault(self.now, "crash in an operation of the disk"),
        }
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

    /// An orderly restart: workers are told, the log is closed.
    fn restart_server(&mut self) {
        if self.server.is_none() {
            return;
        }
        self.watch.fault(self.now, "server restarted");
        let reconnect_in_ms = 500;
        self.tell_server(ServerInput::Shutdown { reconnect_in_ms });
        if let Some(server) = &mut self.server {
            server.storage.close();
        }
        let death = if self.disk.has_crashed() {
            Death::Planned
        } else {
            Death::Killed
        };
        self.crash_server(death);
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

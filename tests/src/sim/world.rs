//! The world: virtual time, everybody's events in order, misfortune, and the checks.

mod disk_side;
mod faults;
mod peers;
mod server_side;
mod settings;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use tabswarm_client_core::Input as WorkerInput;
use tabswarm_compute::Engine;
use tabswarm_coordinator::{ConnectionId, Input as ServerInput, RunCommand};
use tabswarm_store::Snapshot;
use tabswarm_store::faults::FaultyDisk;

use super::chance::Chance;
use super::fixture::Job;
use super::hostile::Hostile;
use super::ledger::Ledger;
use super::network::{Direction, Network};
use super::server::{self, Server};
use super::storage::{self, Logged};
use super::worker::Worker;
use super::{Failure, Scenario};
use watch::Watch;

pub use watch::Outcome;

/// Virtual time after which a training run counts as stuck: faults end long before.
const PATIENCE_MS: u64 = 4 * 60 * 60 * 1_000;
/// Events after which a simulation counts as stuck.
const PATIENCE_EVENTS: u64 = 3_000_000;

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    Deliver(ConnectionId, Direction, Vec<u8>),
    /// A close travels behind the messages before it.
    CloseArrives(ConnectionId, Direction),
    /// One side notices that the connection is broken.
    Noticed(ConnectionId, usize, Direction),
    Opened(usize, u32),
    OpenFailed(usize, u32),
    Worker(usize, u32, WorkerInput),
    WorkerTick(usize, u32),
    ServerTick(u32),
    /// The log's thread appends what is queued.
    LogWrites(u32),
    /// The log's thread makes it durable.
    LogSyncs(u32),
    /// What the log's thread reported reaches the server.
    LogReports(u32, Logged),
    /// The log's thread had nothing to do for a while.
    LogSeals(u32),
    SnapshotWritten(u32, Box<Snapshot>),
    /// The planned fault of that number is over.
    DiskHeals(u32),
    ServerStarts,
    HostileConnects(usize),
    Fault,
    Operator(RunCommand),
    /// The operator wants other settings, and pauses the run for that.
    ChangeSettings,
}

/// A place in the world for a worker; its occupant may die and be replaced.
#[derive(Debug)]
struct Seat {
    incarnation: u32,
    worker: Worker,
    tick_at: Option<u64>,
}

/// The state of the simulation.
#[derive(Debug)]
pub(super) struct World {
    scenario: Scenario,
    now: u64,
    n_events: u64,
    n_scheduled: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    chance: Chance,
    network: Network,
    job: Job,
    engine: Engine,
    disk: FaultyDisk,
    /// Faults of the disk so far.
    n_disk_faults: u32,
    /// The disk is full until then, whoever starts.
    full_until: u64,
    /// Planned faults are over at this operation of the disk.
    faulty_until: u64,
    ledger: Ledger,
    server: Option<Server>,
    server_epoch: u32,
    server_tick_at: Option<u64>,
    seats: Vec<Seat>,
    hostile: Vec<(Hostile, Option<ConnectionId>)>,
    faults_left: u32,
    watch: Watch,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let mut chance = Chance::new(scenario.seed);
        let job = Job::new(scenario.mode, scenario.step_log);
        let graph = Arc::new(job.run.graph());
        let engine = Engine::new(graph, job.run.class, job.run.micro_batch as usize)
            .expect("every machine has the portable class");
        let seats = (0..scenario.workers)
            .map(|_| Seat::new(&mut chance))
            .collect();
        let hostile = (0..scenario.hostile_workers)
            .map(|_| (Hostile::new(job.layout.len()), None))
            .collect();
        Self {
            watch: Watch::new(job.reference.clone(), scenario.timeline),
            disk: storage::format(scenario.seed),
            n_disk_faults: 0,
            full_until: 0,
            faulty_until: 0,
            ledger: Ledger::new(&job),
            faults_left: if scenario.faults { 40 } else { 0 },
            now: 0,
            n_events: 0,
            n_scheduled: 0,
            queue: BTreeMap::new(),
            network: Network::default(),
            server: None,
            server_epoch: 0,
            server_tick_at: None,
            seats,
            hostile,
            scenario,
            chance,
            job,
            engine,
        }
    }

    pub(super) fn run(mut self) -> Result<Outcome, Box<Failure>> {
        self.at(0, Happening::ServerStarts);
        for seat_idx in 0..self.seats.len() {
            let after = self.chance.between(0, 2_000);
            self.at(after, Happening::Worker(seat_idx, 0, WorkerInput::Start));
        }
        for hostile_idx in 0..self.hostile.len() {
            self.at(self.now + 500, Happening::HostileConnects(hostile_idx));
        }
        self.at(1_000, Happening::Fault);
        for _ in 0..self.scenario.settings_changes {
            let at = self.chance.between(1_000, 20_000);
            self.at(at, Happening::ChangeSettings);
        }
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            self.n_events += 1;
            self.happen(happening);
            if let Some(problem) = self.watch.problem.take() {
                return Err(Box::new(self.failure(problem)));
            }
            if self.is_over() {
                return self.end();
            }
            if self.now > PATIENCE_MS || self.n_events > PATIENCE_EVENTS {
                let version = self.watch.version;
                let problem = format!("the training run is stuck at version {version}");
                return Err(Box::new(self.failure(problem)));
            }
        }
        Err(Box::new(self.failure("nothing is left to happen".into())))
    }

    fn failure(self, problem: String) -> Failure {
        Failure {
            at_ms: self.now,
            problem,
            timeline: self.watch.timeline,
            scenario: self.scenario,
        }
    }

    /// The last version is there whatever happens now.
    fn is_over(&self) -> bool {
        self.ledger.safe_version() == self.job.plan.versions_total()
    }

    /// The last power cut.
    fn end(mut self) -> Result<Outcome, Box<Failure>> {
        match self.final_problem() {
            None => Ok(self.watch.outcome(self.now, self.n_events)),
            Some(problem) => Err(Box::new(self.failure(problem))),
        }
    }

    fn at(&mut self, at: u64, happening: Happening) {
        // What is scheduled first happens first among equals.
        self.n_scheduled += 1;
        self.queue.insert((at, self.n_scheduled), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver(id, direction, bytes) => self.deliver(id, direction, &bytes),
            Happening::CloseArrives(id, direction) => {
                if let Some(connection) = self.network.open.remove(&id) {
                    self.notice(id, connection.worker, direction);
                }
            }
            Happening::Noticed(id, worker, direction) => self.notice(id, worker, direction),
            Happening::Opened(seat, incarnation) => self.opened(seat, incarnation),
            Happening::OpenFailed(seat, incarnation) => {
                let reason = "no answer".into();
                self.tell_worker(seat, incarnation, WorkerInput::SocketClosed { reason });
            }
            Happening::Worker(seat, incarnation, input) => {
                self.tell_worker(seat, incarnation, input);
            }
            Happening::WorkerTick(seat, incarnation) => {
                self.seats[seat].tick_at = None;
                self.tell_worker(seat, incarnation, WorkerInput::Tick);
            }
            Happening::ServerTick(epoch) => {
                if epoch == self.server_epoch {
                    self.server_tick_at = None;
                    self.tell_server(ServerInput::Tick);
                }
            }
            Happening::LogWrites(epoch) => self.log_writes(epoch),
            Happening::LogSyncs(epoch) => self.log_syncs(epoch),
            Happening::LogReports(epoch, logged) => self.log_reports(epoch, logged),
            Happening::LogSeals(epoch) => self.log_seals(epoch),
            Happening::SnapshotWritten(epoch, snapshot) => self.snapshot_written(epoch, &snapshot),
            Happening::DiskHeals(number) => self.disk_heals(number),
            Happening::ServerStarts => self.start_server(),
            Happening::HostileConnects(idx) => self.hostile_connects(idx),
            Happening::Fault => self.fault(),
            Happening::ChangeSettings => self.change_settings(),
            Happening::Operator(command) if self.server.is_none() => {
                self.at(self.now + 1_000, Happening::Operator(command));
            }
            Happening::Operator(command) => {
                self.watch
                    .note(self.now, || format!("operator: {command:?}"));
                let run_id = server::RUN_ID;
                self.tell_server(ServerInput::Command { run_id, command });
            }
        }
    }

    fn deliver(&mut self, id: ConnectionId, direction: Direction, bytes: &[u8]) {
        let Some(worker) = self
            .network
            .open
            .get(&id)
            .map(|connection| connection.worker)
        else {
            return;
        };
        match direction {
            Direction::ToServer => self.server_receives(id, bytes),
            Direction::ToWorker if worker >= self.seats.len() => {
                let hostile_idx = worker - self.seats.len();
                let answers = self.hostile[hostile_idx].0.receive(bytes, &mut self.chance);
                answers
                    .into_iter()
                    .for_each(|answer| self.send(id, Direction::ToServer, answer));
            }
            Direction::ToWorker => self.worker_receives(worker, id, bytes),
        }
    }

    fn server_receives(&mut self, id: ConnectionId, bytes: &[u8]) {
        let fresh_token = self.chance.bytes();
        let Some(server) = &mut self.server else {
            return;
        };
        let mut outputs = Vec::new();
        let ledger = &mut self.ledger;
        let failed = server.receive(self.now, id, bytes, fresh_token, ledger, &mut outputs);
        self.after_server(outputs);
        if failed {
            self.close(id, Direction::ToWorker);
            self.disconnect_server(id);
        }
    }

    /// One side learns that a connection is over.
    fn notice(&mut self, id: ConnectionId, worker: usize, side: Direction) {
        match side {
            Direction::ToServer => self.disconnect_server(id),
            Direction::ToWorker if worker >= self.seats.len() => {
                let idx = worker - self.seats.len();
                if self.hostile[idx]
                    .1
                    .take_if(|current| *current == id)
                    .is_some()
                {
                    let after = self.chance.between(100, 3_000);
                    self.at(self.now + after, Happening::HostileConnects(idx));
                }
            }
            Direction::ToWorker => {
                let seat = &mut self.seats[worker];
                if seat
                    .worker
                    .connection
                    .take_if(|current| *current == id)
                    .is_some()
                {
                    let incarnation = seat.incarnation;
                    let reason = "the connection is lost".into();
                    self.tell_worker(worker, incarnation, WorkerInput::SocketClosed { reason });
                }
            }
        }
    }

    fn disconnect_server(&mut self, id: ConnectionId) {
        if let Some(server) = &mut self.server {
            let mut outputs = Vec::new();
            server.disconnect(self.now, id, &mut self.ledger, &mut outputs);
            self.after_server(outputs);
        }
    }

    fn send(&mut self, id: ConnectionId, direction: Direction, bytes: Vec<u8>) {
        if let Some(arrival) = self
            .network
            .arrival(self.now, id, direction, &mut self.chance)
        {
            self.at(arrival, Happening::Deliver(id, direction, bytes));
        }
    }

    fn close(&mut self, id: ConnectionId, direction: Direction) {
        if let Some(arrival) = self
            .network
            .arrival(self.now, id, direction, &mut self.chance)
        {
            self.at(arrival, Happening::CloseArrives(id, direction));
        }
    }

    fn hostile_connects(&mut self, idx: usize) {
        let Some(server) = &mut self.server else {
            self.at(self.now + 1_000, Happening::HostileConnects(idx));
            return;
        };
        let id = self.network.open(self.seats.len() + idx);
        server.accept(id);
        self.hostile[idx].1 = Some(id);
        let hello = self.hostile[idx].0.connected();
        self.send(id, Direction::ToServer, hello);
    }
}

impl Seat {
    fn new(chance: &mut Chance) -> Self {
        Self {
            incarnation: 0,
            worker: Worker::new(chance),
            tick_at: None,
        }
    }
}

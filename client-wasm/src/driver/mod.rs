//! The driver: feeds the session with what happens and does what it decides.
//!
//! Everything that happens in the worker is one [`Event`]; everything that the driver does to the world goes
//! through a [`Host`]. In between there is no browser, so tests drive it with a host of their own.
//!
//! It owns what the session only names: parameters by version, samples, the sums of leases in progress,
//! and the frames of unanswered updates.

mod command;
mod effects;
mod event;
mod fetches;
mod host;
mod lanes;
mod limits;
mod link;
mod outbox;
mod params;
mod report;
mod run;
mod sums;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tabswarm_client_core::{
    Config, Effect, Input, Session, State, Status, Task, TaskFault, TaskResult,
};
use tabswarm_compute::BatchStats;
use tabswarm_model::ArithmeticClass;
use tabswarm_model::parts::Part;
use tabswarm_model::samples::{MicroBatch, SampleStore};
use tabswarm_protocol::client::{Class, MicroBatchRange, WorkerKind};
use tabswarm_protocol::{LeaseId, Timestamp, Token};

pub(crate) use command::{Command, GpuWish, Settings};
pub(crate) use event::{Event, Fetched};
pub(crate) use fetches::{Job, Target};
pub(crate) use host::{Host, LaneId, Work};
pub(crate) use limits::FETCH_TIMEOUT_MS;

use crate::lane::{self, BackendChoice, Report};
use fetches::Fetches;
use lanes::Lanes;
use limits::CREDIT_WAIT_MS;
use link::Link;
use outbox::Outbox;
use params::{Params, ParamsKey};
use report::{Progress, Rhythm, SessionStatus, Surroundings};
use run::ActiveRun;
use sums::LeaseSums;

/// Name and version that the server is told.
const SOFTWARE: &str = concat!("tabswarm-page ", env!("CARGO_PKG_VERSION"));

/// What a driver begins with.
#[derive(Debug)]
pub(crate) struct Start {
    /// The server's http(s) origin.
    pub(crate) server: String,
    /// The run to work for; any if none.
    pub(crate) run: Option<String>,
    /// What the volunteer allows.
    pub(crate) settings: Settings,
    /// Arithmetic classes that passed the known-answer test.
    pub(crate) classes: Vec<ArithmeticClass>,
    /// Memory of the device in MiB; 0 where the browser does not say.
    pub(crate) memory_mib: u32,
    /// Different for every worker.
    pub(crate) seed: u64,
}

/// A lease in progress.
#[derive(Debug)]
struct OpenLease {
    id: LeaseId,
    params: ParamsKey,
    range: MicroBatchRange,
    /// Its samples.
    parts: Vec<Part>,
    /// Chunks that were missing when it came.
    chunks_missed: usize,
    /// Whether the session knows that its samples are here.
    ready: bool,
    sums: LeaseSums,
}

/// A session with its data and its lanes.
#[derive(Debug)]
pub(crate) struct Driver<H> {
    host: H,
    session: Session,
    server: String,
    wanted_run: Option<String>,
    classes: Vec<ArithmeticClass>,
    started_at: Timestamp,
    inputs: VecDeque<Input>,
    link: Link,
    run: Option<ActiveRun>,
    /// Whether the session waits for the run to be loaded.
    loading_run: bool,
    lanes: Lanes,
    params: Params,
    /// Oldest first.
    leases: Vec<OpenLease>,
    /// Micro-batches and samples of the last update: on show until the next lease comes.
    last_update: Option<(u32, u32)>,
    outbox: Outbox,
    fetches: Fetches,
    /// Kept from task to task.
    batches: Vec<MicroBatch>,
    bytes_up: u64,
    bytes_down: u64,
    /// Whether the page holds because there is no network.
    held_offline: bool,
    /// Of the newest parameters: the session forgets it when it ends, the page goes on showing it.
    version: u64,
    /// When the server said that the run is finished.
    finished_at: Option<Timestamp>,
    /// Whether the session ends because of it.
    run_finished: bool,
    /// What the first lane computes with, where it may have a GPU and has said so.
    backend: Option<BackendChoice>,
    rhythm: Rhythm,
}

impl<H: Host> Driver<H> {
    /// Begins to work.
    pub(crate) fn new(host: H, start: Start) -> Self {
        let wire_class = |class: &ArithmeticClass| match class {
            ArithmeticClass::Portable => Class::Portable,
            ArithmeticClass::Fused => Class::Fused,
        };
        let lanes = start.settings.lanes();
        let session = Session::new(Config {
            kind: WorkerKind::Browser,
            software: SOFTWARE.to_owned(),
            run: start.run.clone(),
            join_token: None,
            lanes,
            classes: start.classes.iter().map(wire_class).collect(),
            memory_mib: start.memory_mib,
            gpu: start.settings.gpu() != GpuWish::Off,
            duty_percent: start.settings.duty_percent(),
            seed: start.seed,
        });
        let mut driver = Self {
            session,
            server: start.server.trim_end_matches('/').to_owned(),
            wanted_run: start.run,
            classes: start.classes,
            started_at: host.now(),
            host,
            inputs: VecDeque::new(),
            link: Link::default(),
            run: None,
            loading_run: false,
            lanes: Lanes::default(),
            params: Params::default(),
            leases: Vec::new(),
            last_update: None,
            outbox: Outbox::default(),
            fetches: Fetches::default(),
            batches: Vec::new(),
            bytes_up: 0,
            bytes_down: 0,
            held_offline: false,
            version: 0,
            finished_at: None,
            run_finished: false,
            backend: None,
            rhythm: Rhythm::default(),
        };
        // Lanes load their code while the socket opens.
        driver.lanes.set_gpu(start.settings.gpu(), &mut driver.host);
        driver.lanes.grow(lanes, &mut driver.host);
        driver.feed(Input::Start);
        driver.settle();
        driver
    }

    /// The worker's secret, for requests to its server.
    pub(crate) fn token(&self) -> Option<Token> {
        self.session.token()
    }

    /// Takes note of one thing that happened and does what follows.
    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::Command(command) => self.command(&command),
            Event::SocketOpened { connection } => self.socket_opened(connection),
            Event::SocketBytes { connection, bytes } => self.socket_bytes(connection, &bytes),
            Event::SocketClosed { connection, reason } => self.socket_closed(connection, &reason),
            Event::Lane { lane, report } => self.lane_answered(lane, report),
            Event::Fetched { job, outcome } => self.fetched(job, outcome),
            Event::Timer => {
                self.feed(Input::Tick);
                self.settle();
                return;
            }
        }
        self.rhythm.note();
        self.settle();
    }

    fn command(&mut self, command: &Command) {
        self.rhythm.hurry();
        match command {
            // A second start is a mistake of the page and changes nothing.
            Command::Start { .. } => {}
            Command::Pause { reason } => match reason.pause_reason() {
                Some(reason) => self.feed(Input::Pause(reason)),
                None => {
                    self.held_offline = true;
                    self.feed(Input::Online(false));
                }
            },
            Command::Resume => {
                if std::mem::take(&mut self.held_offline) {
                    self.feed(Input::Online(true));
                }
                self.feed(Input::Resume);
            }
            Command::Finish => self.feed(Input::Finish),
            Command::RetryNow => self.feed(Input::RetryNow),
            Command::Settings { settings } => {
                // The session must not give work to a lane before it is there, nor when it is gone.
                let lanes = settings.lanes();
                self.lanes.grow(lanes, &mut self.host);
                self.feed(Input::SetLanes(lanes));
                self.lanes.shrink(lanes, &mut self.host);
                self.lanes.set_gpu(settings.gpu(), &mut self.host);
                if settings.gpu() == GpuWish::Off {
                    self.backend = None;
                }
                self.feed(Input::SetDuty(settings.duty_percent()));
            }
            Command::Online { online } => self.feed(Input::Online(*online)),
        }
    }

    /// Tells the session something and does what it decides, until there is nothing left to do.
    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut effects: Vec<Effect> = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.session.handle(self.host.now(), input, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect);
            }
        }
    }

    fn lane_answered(&mut self, lane: LaneId, report: Report) {
        let Some(tasks) = self.lanes.answered(lane, &report, &mut self.host) else {
            return;
        };
        let report = match report {
            Report::Backend(choice) => {
                self.backend = Some(choice);
                self.rhythm.hurry();
                return;
            }
            report => report,
        };
        let is_gone = matches!(report, Report::Crashed { .. });
        let (tally, elapsed_us, outcome) = match report {
            Report::Ready | Report::Backend(_) => (BatchStats::default(), 0, Ok(())),
            Report::Done(done) => {
                let task = tasks.first();
                let mut leases = self.leases.iter_mut();
                let lease = leases.find(|lease| task.is_some_and(|task| task.lease_id == lease.id));
                if let Some((lease, task)) = lease.zip(task) {
                    lease.add(task, done.sums);
                }
                (done.tally, done.elapsed_us, Ok(()))
            }
            Report::Overflow { fits } => {
                (BatchStats::default(), 0, Err(TaskFault::Overflow { fits }))
            }
            Report::Diverged => (BatchStats::default(), 0, Err(TaskFault::Diverged)),
            Report::Failed { message } | Report::Crashed { message } => {
                self.rhythm.hurry();
                if is_gone && tasks.is_empty() {
                    let (lane, message) = (lane.idx, message.clone());
                    self.feed(Input::LaneLost { lane, message });
                }
                (BatchStats::default(), 0, Err(TaskFault::Engine { message }))
            }
        };
        for task in tasks {
            self.feed(Input::TaskDone(TaskResult {
                lane: lane.idx,
                lease_id: task.lease_id,
                range: task.range,
                samples: tally.samples,
                loss_q20: tally.loss_q20,
                correct: tally.correct,
                elapsed_us,
                outcome: outcome.clone(),
            }));
        }
        self.settle_loading();
    }

    /// What follows from every event: requests, the page's status, the next timer.
    fn settle(&mut self) {
        let now = self.host.now();
        self.start_fetches(now);
        if self.rhythm.is_due(now) {
            self.tell(now);
        }
        let timers = [
            self.session.next_deadline(),
            self.fetches.next_deadline(now),
            self.rhythm.next_deadline(),
        ];
        self.host.wake_at(timers.into_iter().flatten().min());
    }

    /// Tells the page how things stand; leaves once the run is finished.
    fn tell(&mut self, now: Timestamp) {
        let mut status = self.session.status(now);
        if self.is_over(&status, now) && !self.run_finished {
            self.run_finished = true;
            self.feed(Input::Finish);
            status = self.session.status(now);
        }
        let is_stopped = status.state == State::Stopped;
        if is_stopped {
            self.lanes.stop(&mut self.host);
        }
        let loading = self.progress();
        let run = self.run.as_ref();
        let steps_total = run.map_or(0, ActiveRun::steps_total);
        self.version = match (self.run_finished, status.version) {
            (true, _) => steps_total,
            (false, 0) => self.version,
            (false, version) => version,
        };
        let around = Surroundings {
            run: run
                .map(|run| run.run.name.clone())
                .or_else(|| self.wanted_run.clone()),
            version: self.version,
            steps_total,
            loading,
            lease_samples: self.lease_samples(),
            last_update: self.last_update,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            arithmetic_class: run.map(|run| run.run.class.as_str()),
            started_at_ms: self.started_at.0,
            run_finished: self.run_finished,
            backend: self.backend.clone(),
        };
        let json = SessionStatus::new(status, around).to_json();
        self.host.post_status(&json);
        self.rhythm.told(now, is_stopped);
    }

    /// Whether the run is finished, and this worker's samples are credited or should have been.
    fn is_over(&mut self, status: &Status, now: Timestamp) -> bool {
        if !status.run_finished {
            self.finished_at = None;
            return false;
        }
        let finished_at = *self.finished_at.get_or_insert(now);
        let credited = status.stats.samples_credited >= status.stats.samples_accepted;
        credited || now.since_ms(finished_at) >= CREDIT_WAIT_MS
    }

    /// Chunks that the oldest lease waits for.
    fn progress(&mut self) -> Option<Progress> {
        let lease = self.leases.first()?;
        let store = self.run.as_mut()?.store.as_mut()?;
        let missing = lease.missing_chunks(store).len();
        Some(Progress {
            done: lease.chunks_missed.saturating_sub(missing),
            total: lease.chunks_missed,
        })
        .filter(|progress| progress.total > 0)
    }

    /// Samples of the oldest lease.
    fn lease_samples(&self) -> u32 {
        let store = self.run.as_ref().and_then(|run| run.store.as_ref());
        store.zip(self.leases.first()).map_or(0, |(store, lease)| {
            let parts = lease.parts.iter();
            let samples =
                parts.map(|part| store.plan().samples_of(part.step, part.first, part.count));
            samples.sum()
        })
    }
}

impl OpenLease {
    /// Chunks that are not here, in the order in which its parts need them.
    fn missing_chunks(&self, store: &mut SampleStore) -> Vec<usize> {
        let mut missing = Vec::new();
        for part in &self.parts {
            for chunk in store.missing_chunks(part.step, part.first, part.count) {
                if !missing.contains(&chunk) {
                    missing.push(chunk);
                }
            }
        }
        missing
    }

    /// Adds a task's sums. A shard has some with its last inner step only.
    fn add(&mut self, task: &Task, sums: lane::Sums) {
        if task.kind.inner_steps().is_none() {
            self.sums.add(task.range, sums);
        } else if is_last(task, &self.parts) {
            self.sums.add(self.range, sums);
        }
    }
}

/// Whether a task has a shard's last inner step.
fn is_last(task: &Task, parts: &[Part]) -> bool {
    (task.range.first + task.range.count) as usize >= parts.len()
}

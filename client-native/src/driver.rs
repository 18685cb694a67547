//! Around the session: takes what happens in the world to it and does what it says.
//!
//! One task owns everything. It waits in [`Driver::wait`] for the socket, a lane, a download, an order to stop
//! or the clock, gives that to the session and carries out the effects, in order, without waiting again.

mod effects;
mod events;
mod link;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tabswarm_client_core::{Config, Effect, Input, Session, Status, StopCode};
use tabswarm_model::digest::Digest;
use tabswarm_model::parts::Part;
use tabswarm_protocol::client::WorkerKind;
use tabswarm_protocol::server::RunAssignment;
use tabswarm_protocol::{Decoder, LeaseId, RunId, Timestamp};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until};

use crate::backend::Backend;
use crate::chunks::ChunkPlan;
use crate::config::WorkerConfig;
use crate::fetch::HttpClient;
use crate::lane::{Lane, LaneReport, Params};
use crate::limits::REPORT_INTERVAL;
use crate::load::LoadedRun;
use crate::progress::{Report, View};
use crate::self_test::{SelfTestError, tested_classes};
use crate::summary::{Outcome, RunProgress, Summary};
use crate::sums::{LeaseSums, SumsPool};
use link::Link;

/// An order to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Finish the current lease, then leave.
    Finish,
    /// Leave at once.
    Abort,
}

/// Why this machine can't be a worker at all.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// It computes wrongly.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// No thread for a lane.
    #[error("cannot start the thread of a lane; try fewer lanes")]
    Lane(#[source] io::Error),
    /// No randomness for the waits between connection attempts.
    #[error("the operating system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Driver {
    config: WorkerConfig,
    session: Session,
    started: Instant,
    /// Inputs that effects brought about, not yet handled.
    inputs: VecDeque<Input>,
    effects: Vec<Effect>,
    stops: mpsc::Receiver<Stop>,
    is_aborted: bool,
    /// The run is finished; what is missing is the last credit, which is waited for until then.
    leave_by: Option<Instant>,

    link: Link,
    decoder: Decoder,
    assignment: Option<RunAssignment>,
    /// Parameters that came last, until the session says that they are to be used.
    received: Option<(RunId, Params)>,
    params: Option<(RunId, Params)>,
    unchecked: Option<Unchecked>,
    active: Option<ActiveRun>,
    leases: Vec<LeaseWork>,
    /// The frames of updates that are not answered yet, until the session says that they can go.
    kept: Vec<(LeaseId, Vec<Bytes>)>,

    /// None for one that is retired.
    lanes: Vec<Option<Lane>>,
    backend: Arc<dyn Backend>,
    lane_reports: mpsc::Receiver<LaneReport>,
    /// Lanes that are started again get it.
    report_sender: mpsc::Sender<LaneReport>,
    http: Arc<HttpClient>,
    jobs: JoinSet<Job>,

    alarm: Pin<Box<Sleep>>,
    ticks: Interval,
    report: Box<dyn Report>,
    has_news: bool,
    progress: Option<RunProgress>,
}

/// The run in progress.
#[derive(Debug)]
struct ActiveRun {
    chunks: ChunkPlan,
    pool: SumsPool,
}

/// The driver's part of a lease.
#[derive(Debug)]
struct LeaseWork {
    lease_id: LeaseId,
    parts: Vec<Part>,
    /// Of the lease's version, even if newer ones have come meanwhile.
    params: Params,
    sums: LeaseSums,
}

/// Parameters whose digest is still to be compared. Lanes may begin with them, but nothing that they compute is
/// taken before that is done: small models are computed in as much time as their digest takes.
#[derive(Debug)]
struct Unchecked {
    values: Arc<[f32]>,
    digest: Digest,
}

/// Blocking work that ended.
#[derive(Debug)]
enum Job {
    Load {
        assignment: RunAssignment,
        result: Result<Arc<LoadedRun>, String>,
    },
    Chunk {
        load: Arc<LoadedRun>,
        chunk_idx: usize,
        result: Result<(), String>,
    },
}

impl Driver {
    /// A worker that has passed the self-test and has its lanes.
    pub(crate) fn new(
        config: WorkerConfig,
        stops: mpsc::Receiver<Stop>,
        report: Box<dyn Report>,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, WorkerError> {
        let classes = tested_classes()?;
        let lane_count = config.lanes.max(1);
        let (report_sender, lane_reports) = mpsc::channel(usize::from(lane_count));
        let lanes = (0..lane_count)
            .map(|lane_idx| {
                Lane::spawn(lane_idx, Arc::clone(&backend), report_sender.clone()).map(Some)
            })
            .collect::<Result<_, _>>()
            .map_err(WorkerError::Lane)?;
        let session = Session::new(Config {
            kind: WorkerKind::Native,
            software: crate::SOFTWARE.to_owned(),
            run: config.run.clone(),
            join_token: config.join_token,
            lanes: lane_count,
            classes,
            memory_mib: config.memory_mib,
            gpu: config.backend.has_gpu(),
            duty_percent: config.duty_percent,
            seed: getrandom::u64().map_err(WorkerError::Random)?,
        });
        let started = Instant::now();
        let mut ticks = interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Self {
            http: Arc::new(HttpClient::new(config.server.clone())),
            config,
            session,
            started,
            inputs: VecDeque::new(),
            effects: Vec::new(),
            stops,
            is_aborted: false,
            leave_by: None,
            link: Link::Closed,
            decoder: Decoder::new(0),
            assignment: None,
            received: None,
            params: None,
            unchecked: None,
            active: None,
            leases: Vec::new(),
            kept: Vec::new(),
            lanes,
            backend,
            lane_reports,
            report_sender,
            jobs: JoinSet::new(),
            alarm: Box::pin(sleep_until(started)),
            ticks,
            report,
            has_news: true,
            progress: None,
        })
    }

    /// Works until the session stops for good.
    pub(crate) async fn run(mut self) -> Summary {
        self.inputs.push_back(Input::Start);
        loop {
            self.settle();
            if self.is_aborted || self.session.next_deadline().is_none() {
                break;
            }
            if std::mem::take(&mut self.has_news) {
                self.show();
            }
            let event = self.wait().await;
            self.take(event);
        }
        self.show();
        self.report.close();
        let status = self.session.status(self.now());
        self.link.close_politely().await;
        Summary::new(self.outcome(&status), &status.stats, self.progress)
    }

    fn outcome(&self, status: &Status) -> Outcome {
        match status.stop_code {
            _ if self.is_aborted => Outcome::Aborted,
            None | Some(StopCode::NotStarted | StopCode::Finished) => Outcome::Finished,
            Some(code) => Outcome::Failed {
                code,
                message: status.reason.clone().unwrap_or_default(),
            },
        }
    }

    /// Lets the session handle all inputs and carries out what follows.
    fn settle(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        while let Some(input) = self.inputs.pop_front() {
            self.session.handle(self.now(), input, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect);
            }
        }
        self.effects = effects;
    }

    /// Leaves a finished run when everything is credited, or is not going to be.
    fn leave_finished_run(&mut self) {
        let Some(leave_by) = self.leave_by else {
            return;
        };
        let stats = self.session.status(self.now()).stats;
        if stats.samples_credited >= stats.samples_accepted || Instant::now() >= leave_by {
            self.leave_by = None;
            self.inputs.push_back(Input::Finish);
        }
    }

    fn show(&mut self) {
        let view = View {
            server: &self.config.server,
            status: self.session.status(self.now()),
            run: self.progress.clone(),
        };
        self.report.show(&view);
    }

    fn now(&self) -> Timestamp {
        let elapsed_ms = self.started.elapsed().as_millis();
        Timestamp(u64::try_from(elapsed_ms).expect("a process does not run for 600 million years"))
    }

    /// Sets the alarm for the session's deadline.
    fn set_alarm(&mut self) {
        if let Some(Timestamp(at_ms)) = self.session.next_deadline() {
            let at = self.started + Duration::from_millis(at_ms);
            if self.alarm.deadline() != at {
                self.alarm.as_mut().reset(at);
            }
        }
    }
}

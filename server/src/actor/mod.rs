//! The coordinator's thread: one loop that takes messages, asks the coordinator and does what it says.
//!
//! Everything that changes a run happens here, in order. Sockets, requests, the evaluation and the snapshot
//! writer talk to this thread through one bounded queue; it never waits for any of them.

mod effects;
mod events;
mod hosted;
mod ledger;
mod message;
mod orders;
mod outbox;

pub(crate) use hosted::{Origin, PreparedRun};
pub(crate) use message::{Command, Durable, Forbidden, Message, Order};
pub(crate) use outbox::{EdgeRun, Outbound, Outbox, TooSlow, Traffic};

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tabswarm_coordinator::{Coordinator, Effect, Input, RunPhase};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::{RunId, Timestamp};
use tabswarm_store::Recovered;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{Span, debug_span, error, info};

use crate::clock::Clock;
use crate::evaluation::Evaluator;
use crate::hosting::Reopened;
use crate::ledger::LedgerLink;
use crate::limits::{
    ACTOR_QUEUE_MESSAGES, PUBLISH_INTERVAL_MS, RECONNECT_IN_MS, REFRESH_INTERVAL_MS,
    SNAPSHOT_DEADLINE,
};
use crate::log_writer::{self, LogWriter};
use crate::metrics::Metrics;
use crate::snapshot_writer::{self, SnapshotWriter, Told};
use crate::tensorboard::EventFiles;
use crate::traces::TARGET;
use crate::view::ViewCell;
use hosted::HostedRun;
use outbox::Outboxes;

/// The thread is gone: the server is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the server is going down")]
pub(crate) struct ActorGone;

/// The way to the thread.
#[derive(Debug, Clone)]
pub(crate) struct ActorHandle(mpsc::Sender<Message>);

impl ActorHandle {
    /// Queues a message; waits while the queue is full.
    pub(crate) async fn send(&self, message: Message) -> Result<(), ActorGone> {
        self.0.send(message).await.map_err(|_gone| ActorGone)
    }

    /// Queues a message; false if there is no room.
    pub(crate) fn try_send(&self, message: Message) -> bool {
        self.0.try_send(message).is_ok()
    }

    /// Sends a message that is answered and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, ActorGone> {
        let (sender, answer) = oneshot::channel();
        self.send(message(sender)).await?;
        answer.await.map_err(|_gone| ActorGone)
    }
}

/// How the thread ended.
pub(crate) type Ended = oneshot::Receiver<()>;

/// Starts the thread. The second value is told when it ends; it is dropped if the thread panicked.
///
/// Event files go below the folder `event_files`.
///
/// `epoch` is another number at every start: leases of before a restart must not be taken for later ones.
pub(crate) fn spawn(
    epoch: u32,
    clock: Clock,
    view: Arc<ViewCell>,
    metrics: Arc<Metrics>,
    ledger: Arc<LedgerLink>,
    event_files: PathBuf,
) -> io::Result<(ActorHandle, Ended)> {
    let (sender, inbox) = mpsc::channel(ACTOR_QUEUE_MESSAGES);
    let (ended_sender, ended) = oneshot::channel();
    let results = sender.clone();
    // Both helpers may wait for room in the queue: the thread never waits for them. After its end nobody listens.
    let evaluator = Evaluator::spawn(move |evaluated| {
        drop(results.blocking_send(Message::Evaluated(evaluated)));
    })?;
    let results = sender.clone();
    let writer = SnapshotWriter::spawn(move |told| {
        drop(results.blocking_send(match told {
            Told::Written(written) => Message::Written(written),
            Told::Listed(run_id, snapshots) => Message::Snapshots { run_id, snapshots },
        }));
    })?;
    let results = sender.clone();
    let log = LogWriter::spawn(Arc::clone(&metrics), move |logged| {
        drop(results.blocking_send(Message::Logged(logged)));
    })?;
    let timer = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let actor = Actor {
        clock,
        coordinator: Coordinator::new(epoch),
        runs: BTreeMap::new(),
        outboxes: Outboxes::default(),
        evaluator,
        writer,
        log,
        event_files: EventFiles::spawn(event_files)?,
        view,
        metrics,
        ledger,
        violations_noted: 0,
        effects: Vec::new(),
        follow_ups: VecDeque::new(),
        snapshots_pending: 0,
        published: None,
        is_dirty: true,
    };
    thread::Builder::new()
        .name("coordinator".to_owned())
        .spawn(move || {
            actor.run(&timer, inbox);
            // Nobody may be waiting any more.
            ended_sender.send(()).ok();
        })?;
    Ok((ActorHandle(sender), ended))
}

struct Actor {
    clock: Clock,
    coordinator: Coordinator,
    runs: BTreeMap<RunId, HostedRun>,
    outboxes: Outboxes,
    evaluator: Evaluator,
    writer: SnapshotWriter,
    log: LogWriter,
    event_files: EventFiles,
    view: Arc<ViewCell>,
    metrics: Arc<Metrics>,
    ledger: Arc<LedgerLink>,
    /// Violated invariants that the ledger was told of.
    violations_noted: u32,
    effects: Vec<Effect>,
    /// Inputs that came from carrying out effects.
    follow_ups: VecDeque<Input>,
    snapshots_pending: usize,
    published: Option<Timestamp>,
    is_dirty: bool,
}

impl Actor {
    fn run(mut self, timer: &tokio::runtime::Runtime, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let wake = self.clock.instant(self.next_wake());
            let message = match inbox.try_recv() {
                Ok(message) => Some(message),
                Err(_empty) => {
                    let received = timer.block_on(async {
                        tokio::time::timeout_at(wake.into(), inbox.recv()).await
                    });
                    match received {
                        Ok(Some(message)) => Some(message),
                        Ok(None) => return,
                        Err(_elapsed) => None,
                    }
                }
            };
            let now = self.clock.now();
            match message {
                Some(Message::Shutdown) => break,
                Some(message) => self.take(message),
                None => {}
            }
            if self
                .coordinator
                .next_deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                self.handle(Input::Tick);
            }
            self.publish_when_due();
        }
        self.shut_down(timer, inbox);
    }

    fn next_wake(&self) -> Timestamp {
        let interval = if self.is_dirty {
            PUBLISH_INTERVAL_MS
        } else {
            REFRESH_INTERVAL_MS
        };
        let publish = self
            .published
            .map_or(Timestamp(0), |published| published + interval);
        self.coordinator
            .next_deadline()
            .map_or(publish, |deadline| deadline.min(publish))
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Hello {
                connection,
                hello,
                fresh_token,
                outbox,
            } => {
                self.outboxes.add(connection, outbox);
                self.handle(Input::Hello {
                    connection,
                    hello,
                    fresh_token,
                });
            }
            Message::Worker {
                connection,
                message,
            } => self.handle(Input::Message {
                connection,
                message,
            }),
            Message::Update {
                connection,
                update,
                span,
            } => span.in_scope(|| self.handle(Input::Update { connection, update })),
            Message::Disconnected { connection } => {
                self.outboxes.remove(connection);
                self.handle(Input::Disconnected { connection });
            }
            Message::Create { prepared, done } => {
                self.create(*prepared);
                self.publish();
                // Whoever asked may have gone away.
                done.send(()).ok();
            }
            Message::Command {
                run_id,
                command,
                done,
            } => {
                let outcome = self.command(run_id, command);
                self.publish();
                done.send(outcome.map(|()| self.durable(run_id))).ok();
            }
            Message::Detach { run_id, done } => {
                // Whoever asked may have gone away: then nothing is detached.
                let detached = self.detach(run_id);
                if done.send(detached).is_err() {
                    error!(%run_id, "nobody works on the run's files; restart the server to use it again");
                }
            }
            Message::Attach {
                run_id,
                reopened,
                done,
            } => {
                self.attach(run_id, *reopened);
                self.publish();
                done.send(()).ok();
            }
            Message::Order(order) => self.take_order(order),
            Message::Snapshots { run_id, snapshots } => self.list_snapshots(run_id, snapshots),
            Message::Reconcile { run_id } => self.reconcile_wanted(run_id),
            Message::Work { run_id, reply } => self.tell_work(run_id, reply),
            Message::Workers { reply } => self.tell_workers(reply),
            Message::Evaluated(evaluated) => self.evaluated(evaluated),
            Message::Logged(logged) => self.logged(logged),
            Message::Written(written) => self.written(written),
            Message::Shutdown => {}
        }
    }

    fn create(&mut self, prepared: PreparedRun) {
        let PreparedRun {
            new_run,
            master,
            facts,
            log,
            test_set,
            history,
            snapshots,
            origin,
            report,
        } = prepared;
        let (run_id, version) = (new_run.run_id, new_run.state.version);
        self.note_hosted(&facts, &origin, &report);
        let is_evaluated = history.eval_of(version.0).is_some();
        self.evaluator
            .add_run(run_id, Arc::clone(&facts.run), test_set);
        let digest = new_run.params_digest;
        let mut hosted = HostedRun::new(facts, master, digest, history, snapshots, log.durable());
        hosted.phase_noted = new_run.state.phase;
        self.event_files.submit(hosted.event_file(version));
        self.runs.insert(run_id, hosted);
        let log = Box::new(log);
        self.log.submit(log_writer::Job::Open { run_id, log });
        self.handle(Input::CreateRun(Box::new(new_run)));
        self.reconcile(run_id);
        let status = self.coordinator.run_status(self.clock.now(), run_id);
        if status.is_some_and(|status| status.phase == RunPhase::Finished) && !is_evaluated {
            self.evaluate(run_id, version);
        }
    }

    fn command(&mut self, run_id: RunId, command: Command) -> Result<(), Forbidden> {
        // The run was found in the published view, and runs are never removed.
        if let Some(status) = self.coordinator.run_status(self.clock.now(), run_id) {
            if self.runs.get(&run_id).is_some_and(|run| run.is_detached) {
                let phase = status.phase;
                return Err(Forbidden { phase });
            }
            let command = command.check(status.phase)?;
            self.handle(Input::Command { run_id, command });
        }
        Ok(())
    }

    fn detach(&mut self, run_id: RunId) -> Result<Durable, Forbidden> {
        let status = self.coordinator.run_status(self.clock.now(), run_id);
        let phase = status.map_or(RunPhase::Stopped, |status| status.phase);
        let forbidden = Err(Forbidden { phase });
        if !self.coordinator.may_replace(run_id) {
            return forbidden;
        }
        let Some(run) = self.runs.get_mut(&run_id).filter(|run| !run.is_detached) else {
            return forbidden;
        };
        run.is_detached = true;
        let (closed, receiver) = oneshot::channel();
        self.log.submit(log_writer::Job::Close { run_id, closed });
        Ok(receiver)
    }

    fn attach(&mut self, run_id: RunId, reopened: Reopened) {
        let Reopened {
            facts,
            recovered,
            history,
            snapshots,
        } = reopened;
        let Recovered {
            state,
            master,
            log,
            report,
        } = recovered;
        self.note_recovery(run_id, &report);
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let params_digest = Digest::of_params(master.params());
        let run_now = Arc::clone(&facts.run);
        let durable = log.durable();
        run.replace(facts, master, params_digest, history, snapshots, durable);
        self.event_files.submit(run.event_file(state.version));
        let log = Box::new(log);
        self.log.submit(log_writer::Job::Open { run_id, log });
        self.handle(Input::Replace {
            run_id,
            run: run_now,
            state: Box::new(state),
            params_digest,
        });
        self.reconcile(run_id);
    }

    /// Told when all changes of a run so far are on stable storage.
    fn durable(&self, run_id: RunId) -> Durable {
        let (sender, receiver) = oneshot::channel();
        let durable = sender;
        self.log
            .submit(log_writer::Job::Acknowledge { run_id, durable });
        receiver
    }

    /// Gives an input to the coordinator and carries out all that follows.
    fn handle(&mut self, input: Input) {
        self.follow_ups.push_back(input);
        self.handle_follow_ups();
    }

    fn handle_follow_ups(&mut self) {
        self.is_dirty = true;
        while let Some(input) = self.follow_ups.pop_front() {
            let _span = span_of(&input).entered();
            let mut effects = std::mem::take(&mut self.effects);
            self.coordinator
                .handle(self.clock.now(), input, &mut effects);
            for effect in effects.drain(..) {
                self.handle_effect(effect);
            }
            self.effects = effects;
        }
    }

    /// Snapshots are made durable, workers are told, sockets end.
    fn shut_down(mut self, timer: &tokio::runtime::Runtime, mut inbox: mpsc::Receiver<Message>) {
        let deadline = Instant::now() + SNAPSHOT_DEADLINE;
        self.handle(Input::Shutdown {
            reconnect_in_ms: RECONNECT_IN_MS,
        });
        while self.snapshots_pending > 0 {
            let received = timer
                .block_on(async { tokio::time::timeout_at(deadline.into(), inbox.recv()).await });
            match received {
                Ok(Some(Message::Logged(logged))) => self.logged(logged),
                Ok(Some(Message::Written(written))) => self.written(written),
                // A worker that leaves now needs no answer, one that comes now is told by its socket's end.
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    error!(
                        pending = self.snapshots_pending,
                        "snapshots were not durable in time"
                    );
                    break;
                }
            }
        }
        self.outboxes.close_all();
        for run in self.runs.values() {
            self.writer.submit(snapshot_writer::Job::History {
                store: Arc::clone(&run.facts.store),
                history: Arc::clone(&run.history),
            });
        }
        // The writers may be reporting into the queue: they must not wait for room there while we wait for them.
        drop(inbox);
        drop(self.writer);
        drop(self.log);
        info!("snapshots are durable");
    }

    fn publish_when_due(&mut self) {
        let now = self.clock.now();
        let age_ms = self
            .published
            .map_or(u64::MAX, |published| now.since_ms(published));
        let due = (self.is_dirty && age_ms >= PUBLISH_INTERVAL_MS) || age_ms >= REFRESH_INTERVAL_MS;
        if due {
            self.publish();
        }
    }
}

/// The span of what follows from an input: an update is accepted or not, a new version is broadcast.
fn span_of(input: &Input) -> Span {
    match input {
        Input::Update { .. } => debug_span!(target: TARGET, "accept"),
        Input::StepApplied {
            run_id, version, ..
        } => debug_span!(target: TARGET, "broadcast", %run_id, %version),
        _ => Span::none(),
    }
}

/// Waits until the thread has ended; true if it did so in order.
pub(crate) async fn joined(ended: Ended, within: Duration) -> bool {
    matches!(tokio::time::timeout(within, ended).await, Ok(Ok(())))
}

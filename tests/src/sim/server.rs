//! The simulated server process: the real coordinator and master, with the real store below them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tabswarm_coordinator::{
    Change, ConnectionId, Coordinator, Effect, Event, Input, LogEntry, NewRun, Payload,
    ReceivedUpdate, RunCommand, RunPhase,
};
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::MICRO_BATCH_LIMIT;
use tabswarm_model::master::{AppliedSums, Master, StepInput};
use tabswarm_model::run_file::StepLog;
use tabswarm_protocol::client::Update;
use tabswarm_protocol::server::{ParamsHeader, RejectReason};
use tabswarm_protocol::{
    ClientMessage, Decoder, FrameError, RawMessage, RunId, ServerMessage, Timestamp, codec,
    encode_frames,
};
use tabswarm_store::Snapshot;

use super::fixture::Job;
use super::ledger::{Broken, Ledger};
use super::storage::{Found, Logged, Storage};

pub(super) const RUN_ID: RunId = RunId(1);

/// What the server wants of the world around it.
#[derive(Debug)]
pub(super) enum Output {
    Send(ConnectionId, Vec<u8>),
    Close(ConnectionId),
    WriteSnapshot(Box<Snapshot>),
    /// The log's thread has something to do.
    WakeLog,
    Event(Event),
    /// The server did what it must not.
    Broken(Broken),
}

/// The server process; it dies as a whole.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) coordinator: Coordinator,
    pub(super) storage: Storage,
    master: Master,
    step_log: StepLog,
    /// Updates of the step in progress by their first micro-batch, where they are no integers.
    f32_updates: BTreeMap<u32, Vec<f32>>,
    sockets: BTreeMap<ConnectionId, Socket>,
}

#[derive(Debug)]
struct Socket {
    decoder: Decoder,
    greeted: bool,
}

impl Server {
    /// Hosts the run that was found on the disk.
    pub(super) fn start(
        now: u64,
        epoch: u32,
        job: &Job,
        (storage, found): (Storage, Found),
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) -> Self {
        let Found { state, master, .. } = found;
        let phase = state.phase;
        let new_run = NewRun {
            run_id: RUN_ID,
            run: Arc::clone(&job.run),
            dataset: job.dataset(),
            samples: job.samples(),
            params_digest: Digest::of_params(master.params()),
            state,
        };
        let mut server = Self {
            coordinator: Coordinator::new(epoch),
            storage,
            master,
            step_log: job.run.step_log,
            f32_updates: BTreeMap::new(),
            sockets: BTreeMap::new(),
        };
        server.handle(now, Input::CreateRun(Box::new(new_run)), ledger, outputs);
        if phase == RunPhase::Created {
            let command = RunCommand::Start;
            server.handle(
                now,
                Input::Command {
                    run_id: RUN_ID,
                    command,
                },
                ledger,
                outputs,
            );
        }
        server
    }

    /// Handles an input and all that follows at once.
    pub(super) fn handle(
        &mut self,
        now: u64,
        input: Input,
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let mut effects = Vec::new();
            self.coordinator.handle(Timestamp(now), input, &mut effects);
            for effect in effects {
                if let Err(broken) = record(&effect, ledger) {
                    outputs.push(Output::Broken(broken));
                }
                if let Some(answer) = self.carry_out(effect, outputs) {
                    assert!(next.is_none(), "a step is applied at a time");
                    next = Some(answer);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, outputs: &mut Vec<Output>) -> Option<Input> {
        match effect {
            Effect::Send {
                connection,
                message,
            } => send(connection, &message, &[], outputs),
            Effect::SendParams {
                connection,
                run_id,
                version,
            } => {
                let bytes = codec::f32::encode(self.master.params());
                let digest = Digest::of(&bytes).0;
                let header = ParamsHeader {
                    run_id,
                    version,
                    digest,
                };
                send(connection, &ServerMessage::Params(header), &bytes, outputs);
            }
            Effect::Close { connection } => outputs.push(Output::Close(connection)),
            Effect::Accumulate { first, payload, .. } => match payload {
                Payload::Exact(sums) => self.master.accumulate(&sums),
                Payload::F32(sums) => {
                    self.f32_updates.insert(first, sums);
                }
            },
            Effect::ResetAccumulator { .. } => {
                self.master.reset();
                self.f32_updates.clear();
            }
            Effect::ApplyStep {
                run_id,
                version,
                exponents,
                divisor,
                rate_factor,
            } => {
                let input = StepInput {
                    exponents: &exponents,
                    divisor,
                    rate_factor,
                };
                let updates = std::mem::take(&mut self.f32_updates);
                let outcome = match self.master.applied_sums() {
                    AppliedSums::Exact(_) => self.master.apply_exact(&input),
                    AppliedSums::F32(_) => {
                        let updates: Vec<Vec<f32>> = updates.into_values().collect();
                        self.master.apply_f32(&updates, &input)
                    }
                };
                return Some(Input::StepApplied {
                    run_id,
                    version,
                    outcome,
                });
            }
            // The second is checked by the ledger before it comes here.
            Effect::Evaluate { .. } | Effect::Credited { .. } => {}
            Effect::Append { entry, .. } => self.append(entry, outputs),
            Effect::TakeSnapshot { state, .. } => {
                let snapshot = Snapshot::of(state, &self.master);
                self.storage.want_snapshot(snapshot);
                self.submit_snapshot(outputs);
            }
            Effect::Event(event) => outputs.push(Output::Event(event)),
        }
        None
    }

    fn append(&mut self, entry: Box<LogEntry>, outputs: &mut Vec<Output>) {
        let is_step = matches!(entry.change, Change::Step(_));
        let sums = (is_step && self.step_log == StepLog::Updates)
            .then(|| self.master.applied_sums().clone());
        if self.storage.append(entry, sums) {
            outputs.push(Output::WakeLog);
        }
    }

    fn submit_snapshot(&mut self, outputs: &mut Vec<Output>) {
        outputs.extend(self.storage.ready_snapshot().map(Output::WriteSnapshot));
    }

    /// Work on the run's files is done: goes on with what they say now.
    pub(super) fn attach(
        &mut self,
        now: u64,
        job: &Job,
        (storage, found): (Storage, Found),
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) {
        let Found { state, master, .. } = found;
        self.storage = storage;
        let params_digest = Digest::of_params(master.params());
        self.master = master;
        self.f32_updates.clear();
        let input = Input::Replace {
            run_id: RUN_ID,
            run: Arc::clone(&job.run),
            state: Box::new(state),
            params_digest,
        };
        self.handle(now, input, ledger, outputs);
    }

    /// The log's thread reports.
    pub(super) fn logged(
        &mut self,
        now: u64,
        logged: Logged,
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) {
        let run_id = RUN_ID;
        match logged {
            Ok(sequence) => {
                ledger.is_durable(sequence);
                self.storage.durable = sequence;
                self.submit_snapshot(outputs);
                self.handle(now, Input::LogDurable { run_id, sequence }, ledger, outputs);
            }
            Err(reason) => {
                if let Some(sequence) = self.storage.give_up_snapshot() {
                    let input = Input::SnapshotFailed { run_id, sequence };
                    self.handle(now, input, ledger, outputs);
                }
                self.handle(now, Input::LogFailed { run_id, reason }, ledger, outputs);
            }
        }
    }

    /// A connection was opened.
    pub(super) fn accept(&mut self, connection: ConnectionId) {
        let decoder = Decoder::new(1 << 20);
        self.sockets.insert(
            connection,
            Socket {
                decoder,
                greeted: false,
            },
        );
    }

    /// Bytes arrived; true if the connection must be closed.
    pub(super) fn receive(
        &mut self,
        now: u64,
        connection: ConnectionId,
        bytes: &[u8],
        fresh_token: [u8; 32],
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let Some(socket) = self.sockets.get_mut(&connection) else {
            return true;
        };
        let mut messages = Vec::new();
        let mut failed = socket.decoder.push(bytes, &mut messages).is_err();
        for message in messages {
            let greeted = self
                .sockets
                .get(&connection)
                .is_some_and(|socket| socket.greeted);
            match self.interpret(connection, &message, greeted, fresh_token) {
                Ok(input) => self.handle(now, input, ledger, outputs),
                Err(_) => failed = true,
            }
        }
        failed
    }

    fn interpret(
        &mut self,
        connection: ConnectionId,
        message: &RawMessage,
        greeted: bool,
        fresh_token: [u8; 32],
    ) -> Result<Input, FrameError> {
        match message.control()? {
            ClientMessage::Hello(hello) if !greeted => {
                if let Some(socket) = self.sockets.get_mut(&connection) {
                    socket.greeted = true;
                }
                let fresh_token = tabswarm_protocol::Token(fresh_token);
                Ok(Input::Hello {
                    connection,
                    hello,
                    fresh_token,
                })
            }
            _ if !greeted => Err(FrameError::Sequence {
                problem: "no hello",
            }),
            ClientMessage::Update(header) => {
                let payload = decode_update(&header, &message.tensor, &self.master);
                let update = ReceivedUpdate { header, payload };
                Ok(Input::Update { connection, update })
            }
            message => Ok(Input::Message {
                connection,
                message,
            }),
        }
    }

    /// A connection is gone.
    pub(super) fn disconnect(
        &mut self,
        now: u64,
        connection: ConnectionId,
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) {
        if self.sockets.remove(&connection).is_some() {
            self.handle(now, Input::Disconnected { connection }, ledger, outputs);
        }
    }

    /// A snapshot was written or failed.
    pub(super) fn snapshot_ended(
        &mut self,
        now: u64,
        sequence: u64,
        durable: bool,
        ledger: &mut Ledger,
        outputs: &mut Vec<Output>,
    ) {
        let run_id = RUN_ID;
        let input = if durable {
            Input::SnapshotDurable { run_id, sequence }
        } else {
            Input::SnapshotFailed { run_id, sequence }
        };
        self.handle(now, input, ledger, outputs);
    }
}

/// Tells the ledger what the server is about to do.
fn record(effect: &Effect, ledger: &mut Ledger) -> Result<(), Broken> {
    match effect {
        Effect::Send {
            connection,
            message,
        } => ledger.said(*connection, message)?,
        Effect::Append { entry, .. } => {
            ledger.appended(entry, matches!(entry.change, Change::Step(_)))?;
        }
        Effect::TakeSnapshot { state, .. } => ledger.snapshot_wanted(state)?,
        Effect::Credited {
            after,
            through,
            credits,
            ..
        } => ledger.piece_credited(*after, *through, credits)?,
        Effect::ResetAccumulator { .. } => ledger.step_is_void(),
        Effect::Event(Event::UpdateAccepted { lease_id, .. }) => ledger.counted(*lease_id)?,
        _ => {}
    }
    Ok(())
}

/// What the socket's task does with an update before the coordinator sees it.
fn decode_update(header: &Update, tensor: &[u8], master: &Master) -> Result<Payload, RejectReason> {
    if Digest::of(tensor).0 != header.digest {
        return Err(RejectReason::WrongDigest);
    }
    let len = master.layout().len();
    if matches!(master.applied_sums(), AppliedSums::F32(_)) {
        let values =
            codec::f32::decode(tensor, len).map_err(|_not_plain| RejectReason::Malformed)?;
        return Ok(Payload::F32(values));
    }
    let Ok(sums) = codec::exact::decode(tensor, len) else {
        return Err(RejectReason::Malformed);
    };
    let micro_batches: u64 = header.done.iter().map(|range| u64::from(range.count)).sum();
    let limit = micro_batches.saturating_mul(u64::from(MICRO_BATCH_LIMIT.unsigned_abs()));
    if sums.iter().any(|sum| u64::from(sum.unsigned_abs()) > limit) {
        return Err(RejectReason::OutOfRange);
    }
    Ok(Payload::Exact(sums))
}

fn send(
    connection: ConnectionId,
    message: &ServerMessage,
    tensor: &[u8],
    outputs: &mut Vec<Output>,
) {
    let bytes = encode_frames(message, tensor).concat();
    outputs.push(Output::Send(connection, bytes));
}

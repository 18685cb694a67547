//! What happens in the world, turned into inputs of the session.

use std::sync::Arc;

use bytes::Bytes;
use tabswarm_client_core::Input;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::limits::MAX_TENSOR_BYTES;
use tabswarm_protocol::server::{IdleReason, ParamsHeader, RefusalCode};
use tabswarm_protocol::{Decoder, FrameError, RawMessage, RunId, ServerMessage};
use tokio::time::Instant;
use tracing::{debug, trace, warn};

use super::link::{Link, LinkEvent, rethrow};
use super::{ActiveRun, Driver, Job, Stop, Unchecked};
use crate::chunks::{ChunkPlan, Progress};
use crate::lane::{LaneReport, Params};
use crate::limits::CREDIT_PATIENCE;
use crate::load::LoadedRun;
use crate::socket::SocketEvent;
use crate::summary::RunProgress;
use crate::sums::SumsPool;

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Event {
    Stop(Stop),
    Link(LinkEvent),
    Lane(LaneReport),
    Job(Option<Job>),
    Alarm,
    Tick,
    /// Nothing happened, and there is something to check or to tidy up.
    Spare,
}

impl Driver {
    /// Waits for the next thing to happen. What keeps lanes busy is looked at first.
    pub(super) async fn wait(&mut self) -> Event {
        self.set_alarm();
        let is_untidy = self
            .active
            .as_ref()
            .is_some_and(|active| active.pool.is_untidy());
        let has_spare_work = is_untidy || self.unchecked.is_some();
        tokio::select! {
            biased;
            Some(report) = self.lane_reports.recv() => Event::Lane(report),
            event = self.link.next() => Event::Link(event),
            Some(stop) = self.stops.recv() => Event::Stop(stop),
            Some(joined) = self.jobs.join_next() => Event::Job(rethrow(joined)),
            () = &mut self.alarm => Event::Alarm,
            _ = self.ticks.tick() => Event::Tick,
            // Last: by now the lanes are at work and the socket has sent what it could.
            () = std::future::ready(()), if has_spare_work => Event::Spare,
        }
    }

    /// Turns an event into inputs.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Stop(Stop::Finish) => self.inputs.push_back(Input::Finish),
            Event::Stop(Stop::Abort) => self.is_aborted = true,
            Event::Link(LinkEvent::Opened(socket)) => {
                self.link = Link::Open(socket);
                self.decoder = Decoder::new(MAX_TENSOR_BYTES);
                self.inputs.push_back(Input::SocketOpened);
                self.has_news = true;
            }
            Event::Link(LinkEvent::Socket(SocketEvent::Bytes(bytes))) => self.take_bytes(&bytes),
            Event::Link(LinkEvent::Socket(SocketEvent::Closed(reason))) => self.lose_link(reason),
            Event::Lane(report) => self.take_lane_report(report),
            Event::Job(Some(Job::Load { assignment, result })) => {
                if self.assignment.as_ref() == Some(&assignment) {
                    self.run_loaded(assignment.run_id, result);
                }
            }
            Event::Job(Some(Job::Chunk {
                load,
                chunk_idx,
                result,
            })) => self.take_chunk(&load, chunk_idx, &result),
            Event::Job(None) => {}
            Event::Alarm => self.inputs.push_back(Input::Tick),
            Event::Tick => {
                self.has_news = true;
                self.leave_finished_run();
            }
            Event::Spare => {
                self.settle_params();
                if let Some(active) = &mut self.active {
                    active.pool.tidy();
                }
            }
        }
    }

    /// The connection is over, from the other side or because of what came from there.
    fn lose_link(&mut self, reason: String) {
        debug!(reason, "connection lost");
        self.close_link();
        self.inputs.push_back(Input::SocketClosed { reason });
    }

    /// Closes the connection and forgets what held for it only.
    pub(super) fn close_link(&mut self) {
        self.link.close();
        self.assignment = None;
        self.received = None;
        self.params = None;
        self.unchecked = None;
        self.has_news = true;
    }

    /// Hands over messages one by one: what the session wants of one is done before the next is looked at.
    fn take_bytes(&mut self, bytes: &Bytes) {
        let mut messages = Vec::new();
        let pushed = self.decoder.push(bytes, &mut messages);
        for raw in messages {
            if let Err(fault) = self.take_message(&raw) {
                self.take_fault(fault);
                return;
            }
            self.settle();
        }
        if let Err(error) = pushed {
            self.take_fault(Fault::Frame(error));
        }
    }

    fn take_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Frame(FrameError::Version { expected, got }) => {
                let message = format!(
                    "The server speaks protocol version {got}, this worker speaks {expected}: \
                     install the version of tabswarm-worker that goes with the server."
                );
                let code = RefusalCode::VersionMismatch;
                let refusal = ServerMessage::Refused { code, message };
                self.inputs.push_back(Input::Message(refusal));
                self.has_news = true;
            }
            Fault::Frame(error) => {
                self.lose_link(format!("The server sent something unreadable: {error}."));
            }
            Fault::Params(problem) => {
                self.lose_link(format!(
                    "The server sent parameters that can't be used: {problem}."
                ));
            }
        }
    }

    fn take_message(&mut self, raw: &RawMessage) -> Result<(), Fault> {
        let message: ServerMessage = raw.control().map_err(Fault::Frame)?;
        match &message {
            ServerMessage::Params(header) => self.keep_params(header, &raw.tensor)?,
            _ if !raw.tensor.is_empty() => {
                let problem = "a tensor with a message that has none".to_owned();
                return Err(Fault::Frame(FrameError::Control { problem }));
            }
            ServerMessage::Lease(_)
            | ServerMessage::Receipt { .. }
            | ServerMessage::Credited { .. }
            | ServerMessage::Idle {
                reason: IdleReason::StepTail,
            }
            | ServerMessage::Ping { .. } => {}
            other => {
                debug!(?other, "message");
                self.has_news = true;
            }
        }
        let is_finished = matches!(
            message,
            ServerMessage::Idle {
                reason: IdleReason::RunFinished
            }
        );
        self.inputs.push_back(Input::Message(message));
        if is_finished {
            self.run_finished();
        }
        Ok(())
    }

    fn run_finished(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.version = progress.steps_total;
        }
        if self.config.exit_when_done {
            self.leave_by
                .get_or_insert(Instant::now() + CREDIT_PATIENCE);
        }
    }

    /// Keeps parameters until the session wants them used.
    fn keep_params(&mut self, header: &ParamsHeader, tensor: &[u8]) -> Result<(), Fault> {
        self.check_params()?;
        let (words, rest) = tensor.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Fault::Params("their length is not a multiple of four"));
        }
        let values: Arc<[f32]> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        self.unchecked = Some(Unchecked {
            values: Arc::clone(&values),
            digest: Digest(header.digest),
        });
        let params = Params {
            version: header.version,
            values,
        };
        self.received = Some((header.run_id, params));
        Ok(())
    }

    /// Compares the digest of the newest parameters, unless that is done.
    fn check_params(&mut self) -> Result<(), Fault> {
        match self.unchecked.take() {
            Some(Unchecked { values, digest }) if Digest::of_params(&values) != digest => {
                Err(Fault::Params("their digest is wrong"))
            }
            _ => Ok(()),
        }
    }

    /// The same where a fault has nobody to go to: the connection ends, and with it all that was begun.
    fn settle_params(&mut self) {
        if let Err(fault) = self.check_params() {
            self.take_fault(fault);
        }
    }

    fn take_lane_report(&mut self, report: LaneReport) {
        self.settle_params();
        let LaneReport {
            result,
            load,
            sums,
            is_part,
        } = report;
        trace!(?result, "task done");
        if let Some(sums) = sums
            && let Some(active) = &mut self.active
            && Arc::ptr_eq(active.chunks.load(), &load)
        {
            let counts = is_part && result.outcome.is_ok();
            let mut leases = self.leases.iter_mut();
            match leases.find(|lease| counts && lease.lease_id == result.lease_id) {
                Some(lease) => lease.sums.add(sums, &mut active.pool),
                None => active.pool.give_back(sums),
            }
        }
        if let Err(fault) = &result.outcome {
            debug!(lane = result.lane, lease_id = %result.lease_id, ?fault, "task gave nothing");
        }
        self.inputs.push_back(Input::TaskDone(result));
    }

    /// A run is there, from the network or from before.
    pub(super) fn run_loaded(&mut self, run_id: RunId, result: Result<Arc<LoadedRun>, String>) {
        self.has_news = true;
        let load = match result {
            Ok(load) => load,
            Err(message) => {
                warn!(run_id = %run_id, message, "run not loaded");
                self.inputs.push_back(Input::RunFailed { run_id, message });
                return;
            }
        };
        let is_new = self
            .active
            .as_ref()
            .is_none_or(|active| !Arc::ptr_eq(active.chunks.load(), &load));
        if is_new {
            self.leases.clear();
            self.progress = Some(RunProgress {
                name: load.run.name.clone(),
                version: 0,
                steps_total: load.plan.versions_total(),
            });
            let pool = SumsPool::new(load.run.codec, Arc::clone(&load.graph), self.lanes.len());
            let chunks = ChunkPlan::new(load);
            self.active = Some(ActiveRun { chunks, pool });
        }
        self.note_params();
        self.inputs.push_back(Input::RunLoaded { run_id });
    }

    /// Parameters are in use: shows how far the run is and fetches what comes next.
    pub(super) fn note_params(&mut self) {
        let Some((_, params)) = &self.params else {
            return;
        };
        if let Some(progress) = &mut self.progress {
            progress.version = params.version.0;
        }
        if let Some(active) = &mut self.active {
            active.chunks.expect_version(params.version.0);
        }
        self.start_downloads();
    }

    fn take_chunk(&mut self, load: &Arc<LoadedRun>, chunk_idx: usize, result: &Result<(), String>) {
        if let Err(message) = result {
            warn!(chunk_idx, message, "chunk not fetched");
        }
        let Some(active) = self
            .active
            .as_mut()
            .filter(|active| Arc::ptr_eq(active.chunks.load(), load))
        else {
            return;
        };
        let progress = active.chunks.done(chunk_idx, result);
        self.inputs.extend(progress.into_iter().map(|of| match of {
            Progress::Ready(lease_id) => Input::DataReady { lease_id },
            Progress::Failed(lease_id, message) => Input::DataFailed { lease_id, message },
        }));
        self.start_downloads();
    }
}

/// Why the server's bytes can't be used.
#[derive(Debug)]
enum Fault {
    Frame(FrameError),
    Params(&'static str),
}

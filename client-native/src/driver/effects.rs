//! What the session wants done, done.

use std::sync::Arc;

use bytes::Bytes;
use tabswarm_client_core::{Effect, Input, Task, TaskFault, TaskResult};
use tabswarm_compute::task::InnerWork;
use tabswarm_model::parts::{Leased, Part, pieces};
use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::RunAssignment;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId, encode_frames};
use tracing::{debug, warn};

use super::{Driver, Job, LeaseWork};
use crate::chunks::fetch_chunk;
use crate::lane::{Lane, LaneTask, Params};
use crate::load::{LoadedRun, RunOutline};
use crate::sums::LeaseSums;

const RUN_EXPECTED: &str = "the session takes leases of loaded runs only";

impl Driver {
    /// Does one thing.
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => {
                self.has_news = true;
                self.link.open(self.config.server.clone());
            }
            Effect::CloseSocket => self.close_link(),
            Effect::Send(message) => {
                self.send(&message, &[]);
            }
            Effect::LoadRun(assignment) => self.load_run(assignment),
            Effect::UseParams { run_id, version } => self.use_params(run_id, version),
            Effect::ForgetParams { run_id, version } => {
                let known =
                    |(id, params): &mut (RunId, Params)| *id == run_id && params.version == version;
                // Leases hold on to theirs themselves.
                self.params.take_if(known);
            }
            Effect::PrepareData {
                lease_id,
                version,
                batch,
                range,
                kind,
            } => {
                let leased = Leased {
                    version: version.0,
                    batch,
                    first: range.first,
                    count: range.count,
                    inner_steps: kind.inner_steps(),
                };
                self.begin_lease(lease_id, leased);
            }
            Effect::Compute { lane, task } => self.compute(lane, task),
            Effect::RestartLane { lane } => self.restart_lane(lane),
            Effect::RetireLane { lane, message } => {
                warn!(lane, message, "lane retired");
                self.lanes[usize::from(lane)] = None;
                self.has_news = true;
            }
            Effect::SendUpdate(update) => self.send_update(update),
            Effect::ResendUpdate { lease_id } => {
                let kept = self.kept.iter().find(|(kept, _)| *kept == lease_id);
                if let (Some((_, frames)), Some(socket)) = (kept, self.link.socket()) {
                    socket.send(frames.iter().cloned());
                }
            }
            Effect::ForgetUpdate { lease_id } => {
                self.kept.retain(|(kept, _)| *kept != lease_id);
            }
            Effect::DropLease { lease_id } => {
                self.end_lease(lease_id);
            }
        }
    }

    fn send(&mut self, message: &ClientMessage, tensor: &[u8]) -> Vec<Bytes> {
        let frames: Vec<Bytes> = encode_frames(message, tensor)
            .into_iter()
            .map(Bytes::from)
            .collect();
        if let Some(socket) = self.link.socket() {
            socket.send(frames.iter().cloned());
        }
        frames
    }

    fn load_run(&mut self, assignment: RunAssignment) {
        let run_id = assignment.run_id;
        self.assignment = Some(assignment.clone());
        let outline = match RunOutline::read(&assignment) {
            Ok(outline) => outline,
            Err(message) => return self.run_loaded(run_id, Err(message)),
        };
        self.decoder.set_max_tensor_bytes(outline.params_bytes());
        let known = self.active.as_ref().map(|active| active.chunks.load());
        if let Some(load) = known.filter(|load| load.is_assigned(&assignment)) {
            let load = Arc::clone(load);
            return self.run_loaded(run_id, Ok(load));
        }
        let http = Arc::clone(&self.http);
        self.jobs.spawn_blocking(move || Job::Load {
            assignment,
            result: outline.load(&http).map(Arc::new),
        });
    }

    fn use_params(&mut self, run_id: RunId, version: ParamVersion) {
        let wanted =
            |(id, params): &mut (RunId, Params)| *id == run_id && params.version == version;
        if let Some(received) = self.received.take_if(wanted) {
            self.params = Some(received);
            self.note_params();
        }
    }

    /// Starts as many downloads as may run.
    pub(super) fn start_downloads(&mut self) {
        let Some(active) = &mut self.active else {
            return;
        };
        for chunk_idx in active.chunks.start() {
            let (http, load) = (Arc::clone(&self.http), Arc::clone(active.chunks.load()));
            self.jobs.spawn_blocking(move || Job::Chunk {
                result: fetch_chunk(&http, &load, chunk_idx),
                load,
                chunk_idx,
            });
        }
    }

    fn begin_lease(&mut self, lease_id: LeaseId, leased: Leased) {
        let active = self.active.as_mut().expect(RUN_EXPECTED);
        let (_, params) = self
            .params
            .as_ref()
            .expect("the session takes leases of received parameters only");
        debug_assert_eq!(
            params.version.0, leased.version,
            "the session takes leases of the newest parameters only"
        );
        match active.chunks.load().plan.leased(leased) {
            Ok(parts) => {
                if active.chunks.prepare(lease_id, &parts) {
                    self.inputs.push_back(Input::DataReady { lease_id });
                }
                self.leases.push(LeaseWork {
                    lease_id,
                    parts,
                    params: params.clone(),
                    sums: LeaseSums::Empty,
                });
            }
            Err(error) => self.inputs.push_back(Input::DataFailed {
                lease_id,
                message: format!("The lease is impossible: {error}."),
            }),
        }
        self.start_downloads();
    }

    fn compute(&mut self, lane: u16, task: Task) {
        let active = self.active.as_mut().expect(RUN_EXPECTED);
        let lease = self
            .leases
            .iter()
            .find(|lease| lease.lease_id == task.lease_id)
            .expect("the session computes for leases that it has only");
        let load = Arc::clone(active.chunks.load());
        let inner = inner_work(&load, &task, &lease.parts);
        let MicroBatchRange { first, count } = task.range;
        let work = LaneTask {
            parts: pieces(&lease.parts, inner.is_some(), first, count),
            inner,
            task,
            load,
            params: lease.params.clone(),
            sums: active.pool.take(),
        };
        let refused = match &self.lanes[usize::from(lane)] {
            Some(lane) => lane.compute(work).err(),
            None => Some(Box::new(work)),
        };
        if let Some(work) = refused {
            active.pool.give_back(work.sums);
            self.inputs.push_back(Input::TaskDone(TaskResult {
                lane,
                lease_id: work.task.lease_id,
                range: work.task.range,
                samples: 0,
                loss_q20: 0,
                correct: 0,
                elapsed_us: 0,
                outcome: Err(TaskFault::Engine {
                    message: "the lane's thread is gone".to_owned(),
                }),
            }));
        }
    }

    /// A fresh thread for a lane that failed. Where there is none the old one, which has thrown its engine away,
    /// stays if it is still there.
    fn restart_lane(&mut self, lane: u16) {
        debug!(lane, "lane restarted");
        let fresh = Lane::spawn(lane, Arc::clone(&self.backend), self.report_sender.clone());
        match fresh {
            Ok(fresh) => self.lanes[usize::from(lane)] = Some(fresh),
            Err(error) => warn!(lane, %error, "no thread for a new lane"),
        }
    }

    fn send_update(&mut self, mut update: Update) {
        let lease_id = update.lease_id;
        let lease = self.take_lease(lease_id);
        let lease = lease.expect("the session answers leases that it has only");
        let tensor = lease.sums.encode();
        update.digest = *blake3::hash(&tensor).as_bytes();
        let frames = self.send(&ClientMessage::Update(update), &tensor);
        self.kept.push((lease_id, frames));
        if let Some(active) = &mut self.active {
            lease.sums.recycle(&mut active.pool);
        }
    }

    fn take_lease(&mut self, lease_id: LeaseId) -> Option<LeaseWork> {
        let mut leases = self.leases.iter();
        let at = leases.position(|lease| lease.lease_id == lease_id)?;
        Some(self.leases.remove(at))
    }

    fn end_lease(&mut self, lease_id: LeaseId) {
        let ended = self.take_lease(lease_id);
        if let Some(active) = &mut self.active {
            active.chunks.forget(lease_id);
            if let Some(lease) = ended {
                lease.sums.recycle(&mut active.pool);
            }
        }
    }
}

/// The task's part of a shard; none for micro-batches.
fn inner_work(load: &LoadedRun, task: &Task, parts: &[Part]) -> Option<InnerWork> {
    task.kind.inner_steps()?;
    let MicroBatchRange { first, count } = task.range;
    let (run, version) = (&load.run, task.version.0);
    Some(InnerWork {
        lease_id: task.lease_id.0,
        first,
        is_last: (first + count) as usize >= parts.len(),
        rate_factors: load
            .plan
            .inner_rate_factors(&run.schedule, version, first, count),
    })
}

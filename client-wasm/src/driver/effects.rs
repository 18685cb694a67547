//! Doing what the session decides.

use tabswarm_client_core::{Effect, Input, Task, TaskFault, TaskResult};
use tabswarm_compute::task::{InnerWork, TaskPart};
use tabswarm_model::Run;
use tabswarm_model::batches::{BatchPlan, StepShape};
use tabswarm_model::digest::Digest;
use tabswarm_model::parts::{Leased, Part, pieces};
use tabswarm_model::rounds::RoundPlan;
use tabswarm_protocol::client::{MicroBatchRange, Update};
use tabswarm_protocol::server::RunAssignment;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, Timestamp, encode_frames};

use super::event::Fetched;
use super::fetches::{AfterFailure, Job, Target, Urgency};
use super::host::{Host, Work};
use super::limits::MAX_PREFETCHED_BYTES;
use super::params::ParamsKey;
use super::run::ActiveRun;
use super::sums::LeaseSums;
use super::{Driver, OpenLease, is_last};

impl<H: Host> Driver<H> {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.connect(),
            Effect::CloseSocket => self.disconnect(),
            Effect::Send(message) => self.send(&message),
            Effect::LoadRun(assignment) => self.load_run(assignment),
            Effect::UseParams { run_id, version } => self.use_params((run_id, version)),
            Effect::ForgetParams { run_id, version } => self.params.forget((run_id, version)),
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
                self.open_lease(lease_id, range, leased);
            }
            Effect::Compute { lane, task } => self.compute(lane, &task),
            Effect::RestartLane { lane } => {
                self.rhythm.hurry();
                self.lanes.restart(lane, &mut self.host);
            }
            Effect::RetireLane { lane, message } => {
                self.rhythm.hurry();
                self.lanes.retire(lane, message, &mut self.host);
            }
            Effect::SendUpdate(update) => self.send_update(update),
            Effect::ResendUpdate { lease_id } => self.resend_update(lease_id),
            Effect::ForgetUpdate { lease_id } => self.outbox.forget(lease_id),
            Effect::DropLease { lease_id } => {
                self.rhythm.hurry();
                self.leases.retain(|lease| lease.id != lease_id);
            }
        }
    }

    /// Loads a run, or takes the one that is here under its new number.
    fn load_run(&mut self, assignment: RunAssignment) {
        self.rhythm.hurry();
        self.loading_run = true;
        self.params.clear();
        match &mut self.run {
            Some(run) if run.is(&assignment) => run.run_id = assignment.run_id,
            _ => {
                let run_id = assignment.run_id;
                self.version = 0;
                match ActiveRun::new(assignment, &self.classes) {
                    Ok(run) => self.run = Some(run),
                    Err(message) => {
                        self.run = None;
                        self.loading_run = false;
                        self.inputs.push_back(Input::RunFailed { run_id, message });
                        return;
                    }
                }
            }
        }
        let Some(run) = &self.run else {
            return;
        };
        self.link.decoder.set_max_tensor_bytes(run.params_bytes());
        self.lanes.load(run.json(), &mut self.host);
        if run.store.is_none() {
            self.fetches.begin(run.dataset);
            self.fetches
                .want(Target::Manifest, run.dataset, Urgency::Needed);
        }
        self.queue_if_loaded();
    }

    /// Tells the session when the run is loaded, or why it can't be.
    pub(super) fn settle_loading(&mut self) {
        self.queue_if_loaded();
        self.drain();
    }

    fn queue_if_loaded(&mut self) {
        let Some(run) = self.run.as_ref().filter(|_| self.loading_run) else {
            return;
        };
        let run_id = run.run_id;
        match self.lanes.are_ready() {
            Ok(true) if run.store.is_some() => self.inputs.push_back(Input::RunLoaded { run_id }),
            Ok(_) => return,
            Err(message) => self.inputs.push_back(Input::RunFailed { run_id, message }),
        }
        self.rhythm.hurry();
        self.loading_run = false;
    }

    fn fail_loading(&mut self, message: String) {
        if let Some(run) = self.run.as_ref().filter(|_| self.loading_run) {
            let run_id = run.run_id;
            self.loading_run = false;
            self.feed(Input::RunFailed { run_id, message });
        }
    }

    fn use_params(&mut self, key: ParamsKey) {
        // Lanes that are at a lease of older ones get them later, with their first task that needs them.
        if let Some(params) = self.params.get(key).filter(|_| self.leases.is_empty()) {
            self.lanes.give_params(key, &params, &mut self.host);
        }
    }

    fn open_lease(&mut self, id: LeaseId, range: MicroBatchRange, leased: Leased) {
        let opened = self
            .run
            .as_mut()
            .ok_or_else(|| "No run is loaded.".to_owned())
            .and_then(|run| {
                Ok(OpenLease {
                    id,
                    params: (run.run_id, ParamVersion(leased.version)),
                    range,
                    parts: run.parts(leased)?,
                    chunks_missed: 0,
                    ready: false,
                    sums: LeaseSums::new(range),
                })
            });
        let mut lease = match opened {
            Ok(lease) => lease,
            Err(message) => {
                self.inputs.push_back(Input::DataFailed {
                    lease_id: id,
                    message,
                });
                return;
            }
        };
        let missing = self.missing_chunks(&lease);
        if !missing.is_empty() {
            self.rhythm.hurry();
        }
        lease.chunks_missed = missing.len();
        self.leases.push(lease);
        self.want_chunks(&missing, Urgency::Needed);
        self.queue_if_ready();
    }

    fn missing_chunks(&mut self, lease: &OpenLease) -> Vec<usize> {
        let store = self.run.as_mut().and_then(|run| run.store.as_mut());
        store.map_or_else(Vec::new, |store| lease.missing_chunks(store))
    }

    fn want_chunks(&mut self, chunks: &[usize], urgency: Urgency) {
        let store = self.run.as_ref().and_then(|run| run.store.as_ref());
        if let Some(store) = store {
            for &chunk in chunks {
                let digest = store.manifest().chunks[chunk];
                self.fetches.want(Target::Chunk(chunk), digest, urgency);
            }
        }
    }

    /// Tells the session when leases' samples are here; then there is time for later ones.
    fn queue_if_ready(&mut self) {
        let store = self.run.as_mut().and_then(|run| run.store.as_mut());
        let Some(store) = store else {
            return;
        };
        let mut any = false;
        for lease in self.leases.iter_mut().filter(|lease| !lease.ready) {
            lease.ready = lease.missing_chunks(store).is_empty();
            if lease.ready {
                any = true;
                let lease_id = lease.id;
                self.inputs.push_back(Input::DataReady { lease_id });
            }
        }
        if any {
            self.prefetch();
        }
    }

    fn prefetch(&mut self) {
        let store = self.run.as_mut().and_then(|run| run.store.as_mut());
        let part = self.leases.last().and_then(|lease| lease.parts.last());
        let (Some(store), Some(part)) = (store, part) else {
            return;
        };
        let manifest = store.manifest();
        let room = (MAX_PREFETCHED_BYTES / manifest.full_chunk_bytes())
            .saturating_sub(store.chunks_present());
        if store.chunks_present() == manifest.chunks.len() || room == 0 || !self.fetches.is_idle() {
            return;
        }
        let mut upcoming = store.upcoming_chunks(part.step);
        if upcoming.is_empty() {
            upcoming = next_epoch(store.plan(), part.step)
                .map_or_else(Vec::new, |step| store.upcoming_chunks(step));
        }
        upcoming.truncate(room);
        self.want_chunks(&upcoming, Urgency::Ahead);
    }

    pub(super) fn start_fetches(&mut self, now: Timestamp) {
        while let Some(job) = self.fetches.next(now) {
            let kind = match job.target {
                Target::Manifest => "datasets",
                Target::Chunk(_) => "chunks",
            };
            let url = format!("{}/api/{kind}/{}", self.server, job.digest);
            self.host.fetch(job, url);
        }
    }

    pub(super) fn fetched(&mut self, job: Job, outcome: Result<Fetched, String>) {
        if let Ok(fetched) = &outcome {
            self.bytes_down += fetched.network_bytes;
        }
        if !self.fetches.is_current(&job) {
            return;
        }
        let taken = outcome.and_then(|fetched| self.take(job.target, &fetched.bytes));
        match taken {
            Ok(()) => self.fetches.succeeded(&job),
            Err(message) => {
                if self.fetches.failed(&job, self.host.now()) == AfterFailure::GiveUp {
                    self.gave_up(&job, message);
                }
                return;
            }
        }
        match job.target {
            Target::Manifest => self.settle_loading(),
            Target::Chunk(_) => {
                self.queue_if_ready();
                self.drain();
            }
        }
    }

    fn take(&mut self, target: Target, bytes: &[u8]) -> Result<(), String> {
        let run = self.run.as_mut().ok_or("No run is loaded.")?;
        match (target, &mut run.store) {
            (Target::Manifest, _) => run.take_manifest(bytes),
            (Target::Chunk(chunk_idx), Some(store)) => {
                let outcome = store.insert(chunk_idx, bytes);
                outcome.map_err(|error| format!("The training data is of no use: {error}."))
            }
            (Target::Chunk(_), None) => Err("The manifest is missing.".to_owned()),
        }
    }

    fn gave_up(&mut self, job: &Job, message: String) {
        self.rhythm.hurry();
        match job.target {
            Target::Manifest => self.fail_loading(message),
            Target::Chunk(chunk_idx) => {
                let store = self.run.as_mut().and_then(|run| run.store.as_mut());
                let mut waiting = self.leases.iter().filter(|lease| !lease.ready);
                let lease = store.and_then(|store| {
                    waiting.find(|lease| lease.missing_chunks(store).contains(&chunk_idx))
                });
                // With one of them the session gives all of them back.
                if let Some(lease_id) = lease.map(|lease| lease.id) {
                    self.feed(Input::DataFailed { lease_id, message });
                }
            }
        }
    }

    fn compute(&mut self, lane: u16, task: &Task) {
        let fault = match self.give_task(lane, task) {
            Ok(()) => return,
            Err(message) => TaskFault::Engine { message },
        };
        self.inputs.push_back(Input::TaskDone(TaskResult {
            lane,
            lease_id: task.lease_id,
            range: task.range,
            samples: 0,
            loss_q20: 0,
            correct: 0,
            elapsed_us: 0,
            outcome: Err(fault),
        }));
    }

    fn give_task(&mut self, lane: u16, task: &Task) -> Result<(), String> {
        let mut leases = self.leases.iter();
        let lease = leases.find(|lease| lease.id == task.lease_id);
        let lease = lease.ok_or("The lease is over.")?;
        let params = self
            .params
            .get(lease.params)
            .ok_or("The lease's parameters are gone.")?;
        let run = self.run.as_mut().ok_or("No run is loaded.")?;
        let inner = run
            .plan
            .as_ref()
            .and_then(|plan| inner_work(&run.run, plan, task, &lease.parts));
        let store = run.store.as_mut().ok_or("No run is loaded.")?;
        let MicroBatchRange { first, count } = task.range;
        let parts = pieces(&lease.parts, inner.is_some(), first, count);
        let count = parts.iter().map(|part| part.count as usize).sum();
        if self.batches.len() < count {
            self.batches.resize_with(count, Default::default);
        }
        let batches = &mut self.batches[..count];
        let micro_batches = parts.iter().flat_map(|part| {
            let of_part = part.first..part.first + part.count;
            of_part.map(|micro_batch| (part.step, micro_batch))
        });
        for ((step, micro_batch), batch) in micro_batches.zip(&mut *batches) {
            if !store.gather(step, micro_batch, batch) {
                return Err("Samples of the lease are missing.".to_owned());
            }
        }
        let parts: Vec<TaskPart> = parts
            .iter()
            .map(|part| TaskPart {
                batch: part.batch,
                first: part.first,
                count: part.count,
            })
            .collect();
        let work = Work {
            parts: &parts,
            inner: inner.as_ref(),
            batches,
            exponents: &task.exponents,
        };
        let params = (lease.params, params.as_slice());
        self.lanes
            .compute(lane, task.clone(), params, work, &mut self.host)
    }

    fn send_update(&mut self, mut update: Update) {
        let mut leases = self.leases.iter();
        let at = leases.position(|lease| lease.id == update.lease_id);
        let lease = self
            .leases
            .remove(at.expect("an update is of a lease in progress"));
        let tensor = lease.sums.encode();
        let lease_id = update.lease_id;
        update.digest = Digest::of(&tensor).0;
        let n_done = update.done.iter().map(|range| range.count).sum();
        self.last_update = Some((n_done, update.samples));
        let frames = encode_frames(&ClientMessage::Update(update), &tensor);
        for frame in &frames {
            self.send_frame(frame);
        }
        self.outbox.keep(lease_id, frames);
    }

    fn resend_update(&mut self, lease_id: LeaseId) {
        let outbox = std::mem::take(&mut self.outbox);
        for frame in outbox.frames(lease_id) {
            self.send_frame(frame);
        }
        self.outbox = outbox;
    }
}

/// The task's part of a shard; none for micro-batches.
fn inner_work(run: &Run, plan: &RoundPlan, task: &Task, parts: &[Part]) -> Option<InnerWork> {
    task.kind.inner_steps()?;
    let MicroBatchRange { first, count } = task.range;
    Some(InnerWork {
        lease_id: task.lease_id.0,
        first,
        is_last: is_last(task, parts),
        rate_factors: plan.inner_rate_factors(&run.schedule, task.version.0, first, count),
    })
}

/// The first step of the epoch after a step's, if there is one.
fn next_epoch(plan: &BatchPlan, step: StepShape) -> Option<StepShape> {
    let version = u64::from(step.epoch + 1) * u64::from(plan.steps_per_epoch());
    (version < plan.steps_total()).then(|| plan.step(version))
}

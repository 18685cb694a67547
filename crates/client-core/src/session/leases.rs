//! The leases: taken, worked on by the lanes, answered, given back.

use tabswarm_protocol::client::ReleaseReason;
use tabswarm_protocol::server::Lease;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId, Timestamp};

use super::{Session, Unanswered};
use crate::effect::Effect;
use crate::input::{TaskFault, TaskResult};
use crate::limits::{MAX_KEPT_UPDATES, MAX_LEASES, MAX_UNANSWERED};
use crate::work::Work;

impl Session {
    pub(super) fn leased(&mut self, lease: Lease, effects: &mut Vec<Effect>) {
        self.idle = None;
        let lease_id = lease.lease_id;
        let usable = self.newest_params == Some((lease.run_id, lease.version))
            && self
                .run
                .is_some_and(|run| run.loaded && run.id == lease.run_id)
            && lease.range.count > 0;
        let wanted =
            self.pause.is_none() && self.finish_by.is_none() && self.works.len() < MAX_LEASES;
        if usable && wanted {
            effects.push(Effect::PrepareData {
                lease_id,
                version: lease.version,
                batch: lease.batch,
                range: lease.range,
                kind: lease.kind,
            });
            self.works.push(Work::new(lease));
            return;
        }
        let reason = if usable {
            ReleaseReason::Paused
        } else {
            ReleaseReason::DataUnavailable
        };
        effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
    }

    /// Parameters arrived. Older ones are kept for the leases that began with them.
    pub(super) fn params_received(
        &mut self,
        run_id: RunId,
        version: ParamVersion,
        effects: &mut Vec<Effect>,
    ) {
        let newest = (run_id, version);
        self.params.retain(|known| *known != newest);
        self.params.push(newest);
        self.newest_params = Some(newest);
        effects.push(Effect::UseParams { run_id, version });
        self.forget_params(effects);
    }

    /// Forgets parameters that no lease needs and no lease will.
    fn forget_params(&mut self, effects: &mut Vec<Effect>) {
        let newest = self.newest_params;
        let works = &self.works;
        self.params.retain(|&(run_id, version)| {
            let is_needed = Some((run_id, version)) == newest
                || works.iter().any(|work| work.version() == version);
            if !is_needed {
                effects.push(Effect::ForgetParams { run_id, version });
            }
            is_needed
        });
    }

    /// Gives free lanes what waits, oldest lease first, and answers what is done.
    pub(super) fn advance_works(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.works.is_empty() {
            return;
        }
        if self.pause.is_none() {
            self.employ_lanes(now, effects);
        }
        let paused = self.pause.is_some();
        let ended: Vec<LeaseId> = self
            .works
            .iter()
            .filter(|work| work.is_complete() || (paused && !work.in_flight()))
            .map(Work::lease_id)
            .collect();
        for lease_id in ended {
            self.end_work(lease_id, effects);
        }
    }

    fn employ_lanes(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.free_ownerless_shards();
        let n_lanes = self.working_lanes();
        for (lane_idx, lane) in (0..).zip(&mut self.lanes) {
            if lane.busy || lane.is_retired() || lane.rest_until > now {
                continue;
            }
            // A shard that the lane is at comes first: it would lose its place with another.
            let is_in_progress = |work: &Work| work.is_at(lane_idx) && work.waiting() > 0;
            let at = self.works.iter().position(is_in_progress);
            let works = match at {
                Some(at) => &mut self.works[at..=at],
                None => &mut self.works[..],
            };
            let mut ready = works.iter_mut().filter(|work| work.data_ready);
            let task = ready.find_map(|work| {
                let sharing = if work.is_sequential() { 1 } else { n_lanes };
                let size = self.pace.task_size(work.waiting(), sharing);
                work.take(lane_idx, size)
            });
            if let Some(task) = task {
                lane.busy = true;
                effects.push(Effect::Compute {
                    lane: lane_idx,
                    task,
                });
            }
        }
    }

    /// Shards whose lanes are no more begin again on others.
    fn free_ownerless_shards(&mut self) {
        let lanes = &self.lanes;
        for work in &mut self.works {
            let is_there = |lane: u16| {
                lanes
                    .get(usize::from(lane))
                    .is_some_and(|l| !l.is_retired())
            };
            if work.lane().is_some_and(|lane| !is_there(lane)) {
                work.begin_again();
            }
        }
    }

    /// What a lane knew is lost: the shard that it was at begins again.
    pub(super) fn lose_shard(&mut self, lane_idx: u16) {
        let works = self.works.iter_mut();
        works
            .filter(|work| work.is_at(lane_idx))
            .for_each(Work::begin_again);
    }

    /// Whether a free lane could have something to do.
    pub(super) fn has_waiting_work(&self) -> bool {
        let mut works = self.works.iter();
        works.any(|work| work.data_ready && work.waiting() > 0)
    }

    /// Answers a lease with what is done of it.
    fn end_work(&mut self, lease_id: LeaseId, effects: &mut Vec<Effect>) {
        let Some(work) = self.take_work(lease_id) else {
            return;
        };
        self.forget_params(effects);
        let Some(update) = work.update() else {
            let reason = ReleaseReason::Paused;
            effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
            effects.push(Effect::DropLease { lease_id });
            return;
        };
        self.forget_oldest_update(effects);
        self.unanswered.push(Unanswered {
            lease_id,
            samples: update.samples,
            kept: true,
        });
        effects.push(Effect::SendUpdate(update));
    }

    /// Makes room for one more update.
    fn forget_oldest_update(&mut self, effects: &mut Vec<Effect>) {
        if self.unanswered.len() >= MAX_UNANSWERED {
            self.unanswered.remove(0);
        }
        let n_kept = self.unanswered.iter().filter(|update| update.kept).count();
        if n_kept >= MAX_KEPT_UPDATES
            && let Some(oldest) = self.unanswered.iter_mut().find(|update| update.kept)
        {
            oldest.kept = false;
            let lease_id = oldest.lease_id;
            effects.push(Effect::ForgetUpdate { lease_id });
        }
    }

    fn take_work(&mut self, lease_id: LeaseId) -> Option<Work> {
        let at = self.works.iter().position(|w| w.lease_id() == lease_id)?;
        Some(self.works.remove(at))
    }

    fn work(&mut self, lease_id: LeaseId) -> Option<&mut Work> {
        self.works
            .iter_mut()
            .find(|work| work.lease_id() == lease_id)
    }

    /// Gives all leases back, for a reason.
    pub(super) fn release_all(&mut self, reason: ReleaseReason, effects: &mut Vec<Effect>) {
        for work in std::mem::take(&mut self.works) {
            let lease_id = work.lease_id();
            effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
            effects.push(Effect::DropLease { lease_id });
        }
        self.forget_params(effects);
    }

    /// Forgets a lease without telling the server.
    pub(super) fn drop_work(&mut self, lease_id: LeaseId, effects: &mut Vec<Effect>) {
        if self.take_work(lease_id).is_some() {
            effects.push(Effect::DropLease { lease_id });
            self.forget_params(effects);
        }
    }

    /// Forgets all leases without telling the server.
    pub(super) fn drop_works(&mut self, effects: &mut Vec<Effect>) {
        for work in std::mem::take(&mut self.works) {
            let lease_id = work.lease_id();
            effects.push(Effect::DropLease { lease_id });
        }
        self.forget_params(effects);
    }

    pub(super) fn data_ready(&mut self, lease_id: LeaseId) {
        if let Some(work) = self.work(lease_id) {
            work.data_ready = true;
        }
    }

    pub(super) fn data_failed(
        &mut self,
        now: Timestamp,
        lease_id: LeaseId,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        if self.work(lease_id).is_some() {
            self.release_all(ReleaseReason::DataUnavailable, effects);
            self.drop_link(now, message, effects);
        }
    }

    pub(super) fn task_done(
        &mut self,
        now: Timestamp,
        result: &TaskResult,
        effects: &mut Vec<Effect>,
    ) {
        let rest_until = self.pace_task(now, result);
        if let Some(lane) = self.lanes.get_mut(usize::from(result.lane)) {
            lane.busy = false;
            lane.rest_until = rest_until;
        }
        let work = self.work(result.lease_id);
        let had_it = work.is_some_and(|work| work.end_flight(result));
        match &result.outcome {
            Err(TaskFault::Engine { message }) => {
                // Another lane takes the work, unless the lease is over.
                if let Some(work) = self.work(result.lease_id).filter(|_| had_it) {
                    work.give_back(result);
                }
                self.lane_failed(result.lane, message, effects);
            }
            _ if !had_it => {}
            Ok(()) => self.task_finished(now, result),
            Err(TaskFault::Overflow { fits }) => {
                let (lease_id, fits) = (result.lease_id, fits.clone());
                self.drop_work(lease_id, effects);
                effects.push(Effect::Send(ClientMessage::Overflow { lease_id, fits }));
            }
            Err(TaskFault::Diverged) => {
                let (lease_id, reason) = (result.lease_id, ReleaseReason::Diverged);
                self.drop_work(lease_id, effects);
                effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
            }
        }
    }

    fn task_finished(&mut self, now: Timestamp, result: &TaskResult) {
        if let Some(work) = self.work(result.lease_id) {
            work.finish(result);
        }
        self.last_computed = Some(now);
        self.stats.computed(now, result.samples, result.elapsed_us);
        if let Some(lane) = self.lanes.get_mut(usize::from(result.lane)) {
            lane.succeeded();
        }
    }

    fn pace_task(&mut self, now: Timestamp, result: &TaskResult) -> Timestamp {
        match result.outcome {
            Ok(()) => self
                .pace
                .task_done(now, result.range.count, result.elapsed_us),
            Err(_) => now,
        }
    }
}

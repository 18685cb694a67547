//! Leases that end without an update: given back, overflowed, lapsed, revoked.

use std::collections::BTreeMap;

use tabswarm_model::fixed_point::MIN_EXPONENT;
use tabswarm_model::loss_scale;
use tabswarm_model::run_file::{Codec, Mode, Precision};
use tabswarm_protocol::client::ReleaseReason;
use tabswarm_protocol::server::{RejectReason, RevokeReason};
use tabswarm_protocol::{LeaseId, RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send};
use crate::effect::Effect;
use crate::event::Event;
use crate::limits::{DIVERGED_WORKERS, MAX_STEP_ATTEMPTS};
use crate::phase::RunPhase;

impl Coordinator {
    /// A worker has a lease no more; what it held is free.
    pub(super) fn end_lease(&mut self, now: Timestamp, worker_id: WorkerId, lease_id: LeaseId) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        if worker.drop_lease(lease_id) {
            worker.idle_since = now;
        }
        let Some(run) = worker.run_id.and_then(|run_id| self.runs.get_mut(&run_id)) else {
            return;
        };
        let is_its = run
            .leases
            .get(lease_id)
            .is_some_and(|lease| lease.worker_id == worker_id);
        if is_its && let Some(lease) = run.leases.remove(lease_id) {
            run.give_back(&lease);
        }
    }

    pub(super) fn release(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        lease_id: LeaseId,
        reason: ReleaseReason,
        effects: &mut Vec<Effect>,
    ) {
        let diverged = reason == ReleaseReason::Diverged && self.is_at_shard(worker_id, lease_id);
        self.end_lease(now, worker_id, lease_id);
        if let Some(worker) = self.registry.get(worker_id) {
            // It says so itself when it can work again.
            worker.ready &= reason == ReleaseReason::Paused || diverged;
            worker.diverged |= diverged;
        }
        self.hand_out_for(now, worker_id, effects);
        if diverged {
            self.pause_diverged(now, effects);
        }
    }

    /// Whether a lease is the worker's, and one with steps of its own.
    fn is_at_shard(&self, worker_id: WorkerId, lease_id: LeaseId) -> bool {
        let worker = self.registry.workers.get(&worker_id);
        let run = worker.and_then(|worker| self.runs.get(&worker.run_id?));
        run.filter(|run| matches!(run.spec.mode, Mode::Local(_)))
            .and_then(|run| run.leases.get(lease_id))
            .is_some_and(|lease| lease.worker_id == worker_id)
    }

    /// Pauses runs whose shards diverge. One worker may be wrong about it: another has to say so too, unless there
    /// is no other.
    pub(super) fn pause_diverged(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut seen: BTreeMap<RunId, [u32; 2]> = BTreeMap::new();
        for worker in self.registry.workers.values() {
            if let Some(run_id) = worker.run_id
                && worker.connection.is_some()
                && worker.ready
            {
                seen.entry(run_id).or_default()[usize::from(worker.diverged)] += 1;
            }
        }
        for (run_id, [others, diverged]) in seen {
            let run = self.runs.get(&run_id).filter(|run| run.is_running());
            let is_sure = diverged >= DIVERGED_WORKERS || (diverged > 0 && others == 0);
            if let Some(run) = run.filter(|_| is_sure) {
                let version = run.version();
                let reason = format!(
                    "the shards after version {version} reach parameters that are infinite or not a number \
                     (seen by {diverged} of {} workers): lower the learning rate or set train.clip_norm",
                    others + diverged
                );
                self.pause_for(now, run_id, reason, effects);
            }
        }
    }

    /// Those whose steps diverged may try again.
    pub(super) fn forget_diverged(&mut self, run_id: RunId) {
        let workers = self.registry.workers.values_mut();
        workers
            .filter(|worker| worker.run_id == Some(run_id))
            .for_each(|worker| worker.diverged = false);
    }

    /// A value does not fit: what is in progress runs again with exponents that it fits.
    pub(super) fn overflow(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        lease_id: LeaseId,
        fits: &[i8],
        effects: &mut Vec<Effect>,
    ) {
        let run_id = self
            .registry
            .get(worker_id)
            .and_then(|worker| worker.run_id);
        let Some(run) = run_id.and_then(|run_id| self.runs.get_mut(&run_id)) else {
            return;
        };
        if run.spec.precision == Precision::Half {
            self.loss_overflow(now, (worker_id, lease_id), fits, effects);
            return;
        }
        let lease = run.leases.get(lease_id);
        let lease = lease.filter(|lease| lease.worker_id == worker_id);
        let plausible = run.is_running()
            && run.spec.codec == Codec::Exact
            && fits.len() == run.exponents.current().len()
            && fits.iter().all(|&fit| fit >= MIN_EXPONENT);
        // In a stream the exponents may have been lowered since the lease was given.
        let is_news = lease.is_some_and(|lease| {
            let mut pairs = fits.iter().zip(&*lease.exponents);
            pairs.any(|(fit, used)| fit < used)
        });
        let lowered = plausible && is_news && run.exponents.lower(fits);
        let is_stream = matches!(run.spec.mode, Mode::Async { .. });
        if !lowered || is_stream {
            self.end_lease(now, worker_id, lease_id);
            self.hand_out_for(now, worker_id, effects);
            return;
        }
        let void = run.restart_round();
        let attempts = run.work.round().map_or(0, |step| step.restarts + 1);
        let (run_id, version) = (run.id, run.version());
        effects.push(Effect::ResetAccumulator { run_id });
        effects.push(Effect::Event(Event::StepRestarted {
            run_id,
            version,
            attempts,
        }));
        self.answer_void(void, RejectReason::Superseded, effects);
        self.end_lease(now, worker_id, lease_id);
        self.revoke_all(now, run_id, RevokeReason::StepRestarted, effects);
        if attempts > MAX_STEP_ATTEMPTS {
            let reason = format!(
                "step {version} overflowed {MAX_STEP_ATTEMPTS} times; a worker may be reporting wrong exponents"
            );
            self.change_phase(now, run_id, RunPhase::Paused, Some(reason), effects);
            return;
        }
        self.hand_out(now, run_id, effects);
    }

    /// A gradient is too large for half precision: the step in progress is skipped, and the scale of the loss halved,
    /// whatever the worker says would fit. One that lies costs a step at each scale, and no more for the next
    /// [`GOOD_STEPS`](tabswarm_model::loss_scale::GOOD_STEPS).
    fn loss_overflow(
        &mut self,
        now: Timestamp,
        (worker_id, lease_id): (WorkerId, LeaseId),
        fits: &[i8],
        effects: &mut Vec<Effect>,
    ) {
        let worker = self.registry.get(worker_id);
        let run_id = worker.and_then(|worker| worker.run_id);
        let Some(run) = run_id.and_then(|run_id| self.runs.get_mut(&run_id)) else {
            return;
        };
        let lease = run.leases.get(lease_id);
        let used = lease
            .filter(|lease| lease.worker_id == worker_id && run.is_running())
            .and_then(|lease| lease.exponents.first().copied());
        // In a stream the scale may have been lowered since the lease was given.
        let exponent = loss_scale::exponent(&run.exponents);
        let is_news =
            used.is_some_and(|used| used <= exponent && fits.len() == 1 && fits[0] < used);
        let smaller = loss_scale::after_overflow(&run.exponents).filter(|_| is_news);
        let Some(smaller) = smaller.filter(|_| !run.is_applying() || !run.has_rounds()) else {
            self.end_lease(now, worker_id, lease_id);
            self.hand_out_for(now, worker_id, effects);
            return;
        };
        let (run_id, version) = (run.id, run.version());
        run.loss_overflows += 1;
        effects.push(Effect::Event(Event::LossOverflowed {
            run_id,
            version,
            exponent,
        }));
        if !run.has_rounds() {
            run.exponents = smaller;
            self.end_lease(now, worker_id, lease_id);
            self.hand_out_for(now, worker_id, effects);
            return;
        }
        let void = run.restart_round();
        effects.push(Effect::ResetAccumulator { run_id });
        self.answer_void(void, RejectReason::Superseded, effects);
        self.end_lease(now, worker_id, lease_id);
        self.revoke_all(now, run_id, RevokeReason::StepRestarted, effects);
        if let Some(run) = self.runs.get_mut(&run_id) {
            // The scale is lowered when the step is committed.
            effects.push(run.skip_step());
        }
    }

    /// A worker's leases lapse: others may have its units; an answer counts while nobody has.
    pub(super) fn lapse_leases(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        worker.idle_since = now;
        let run_id = worker.run_id;
        for lease_id in std::mem::take(&mut worker.leases) {
            let run = run_id.and_then(|run_id| self.runs.get_mut(&run_id));
            let Some(run) = run else {
                continue;
            };
            if let Some(lease) = run.leases.lapse(lease_id) {
                run.give_back(&lease);
                effects.push(Effect::Event(Event::LeaseLapsed {
                    lease_id,
                    worker_id,
                }));
            }
        }
    }

    /// Lets leases lapse whose deadline passed. Their workers are still computing: they get no other lease
    /// before they answer or their work is with others.
    pub(super) fn expire_leases(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut touched = Vec::new();
        for run in self.runs.values_mut() {
            let expired: Vec<LeaseId> = run
                .leases
                .iter()
                .filter(|lease| !lease.lapsed && lease.deadline <= now)
                .map(|lease| lease.id)
                .collect();
            for lease_id in expired {
                let Some(lease) = run.leases.lapse(lease_id) else {
                    continue;
                };
                run.give_back(&lease);
                let worker_id = lease.worker_id;
                effects.push(Effect::Event(Event::LeaseLapsed {
                    lease_id,
                    worker_id,
                }));
                if let Some(worker) = self.registry.workers.get_mut(&worker_id) {
                    worker.speed.slower();
                }
                touched.push(run.id);
            }
        }
        touched.dedup();
        touched
            .into_iter()
            .for_each(|run_id| self.hand_out(now, run_id, effects));
    }

    /// Takes lapsed leases back for good whose units are with others now; true if there were any.
    pub(super) fn revoke_overtaken(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(run) = self.runs.get(&run_id) else {
            return false;
        };
        if !run.leases.has_lapsed() {
            return false;
        }
        let overtaken: Vec<LeaseId> = run
            .leases
            .iter()
            .filter(|lease| run.is_overtaken(lease))
            .map(|lease| lease.id)
            .collect();
        for &lease_id in &overtaken {
            self.revoke_lease(now, run_id, lease_id, RevokeReason::Expired, effects);
        }
        !overtaken.is_empty()
    }

    /// Takes all leases of a run back.
    pub(super) fn revoke_all(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        reason: RevokeReason,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get(&run_id) else {
            return;
        };
        let all: Vec<LeaseId> = run.leases.iter().map(|lease| lease.id).collect();
        for lease_id in all {
            self.revoke_lease(now, run_id, lease_id, reason, effects);
        }
    }

    /// Takes a lease back.
    pub(super) fn revoke_lease(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        lease_id: LeaseId,
        reason: RevokeReason,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let Some(lease) = run.leases.remove(lease_id) else {
            return;
        };
        run.give_back(&lease);
        if let Some(worker) = self.registry.get(lease.worker_id) {
            worker.remember_revoked(lease_id);
            if worker.drop_lease(lease_id) {
                worker.idle_since = now;
                let revoke = ServerMessage::Revoke { lease_id, reason };
                effects.extend(worker.connection.map(|connection| send(connection, revoke)));
            }
        }
    }
}

//! What workers answer to leases: updates, overflows, releases, and silence.

use tabswarm_model::fixed_point::MIN_EXPONENT;
use tabswarm_model::run_file::Codec;
use tabswarm_protocol::client::{MicroBatchRange, ReleaseReason, Update};
use tabswarm_protocol::limits::MAX_UPDATE_RANGES;
use tabswarm_protocol::server::{RejectReason, RevokeReason, Verdict};
use tabswarm_protocol::{LeaseId, RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send, violated};
use crate::effect::Effect;
use crate::event::Event;
use crate::input::{ConnectionId, Payload, ReceivedUpdate};
use crate::invariants::InvariantId;
use crate::limits::MAX_STEP_ATTEMPTS;
use crate::phase::RunPhase;
use crate::run::HostedRun;
use crate::step::Contribution;
use crate::undurable::Owed;

/// A loss of 2^20 nats per sample is beyond what finite scores give.
const MAX_LOSS_Q20: i64 = 1 << 40;

impl Coordinator {
    pub(super) fn update(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        update: ReceivedUpdate,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.by_connection(connection) else {
            return;
        };
        worker.last_heard = now;
        let (worker_id, lease_id) = (worker.id, update.header.lease_id);
        // What is sent twice is answered twice and counted once.
        if let Some(verdict) = worker.answer_to(lease_id) {
            effects.push(send(
                connection,
                ServerMessage::Receipt { lease_id, verdict },
            ));
            return;
        }
        let run = worker.run_id.and_then(|run_id| self.runs.get(&run_id));
        if run.is_some_and(|run| run.owes(lease_id)) {
            // It counts; the answer follows when it is durable.
            return;
        }
        match self.judge(worker_id, update) {
            Ok(accepted) => self.accept(now, worker_id, accepted, effects),
            Err(reason) => self.reject(now, worker_id, lease_id, reason, effects),
        }
        if let Some(worker) = self.registry.get(worker_id) {
            worker.idle_since = now;
        }
        self.hand_out_for(now, worker_id, effects);
    }

    /// Tells a worker what became of an update, now and whenever it sends it again.
    pub(super) fn answer(
        &mut self,
        worker_id: WorkerId,
        lease_id: LeaseId,
        verdict: Verdict,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        worker.remember_answer(lease_id, verdict);
        let receipt = ServerMessage::Receipt { lease_id, verdict };
        effects.extend(
            worker
                .connection
                .map(|connection| send(connection, receipt)),
        );
    }

    /// Tells workers that updates which counted do not count any more.
    pub(super) fn answer_void(
        &mut self,
        owed: Vec<Owed>,
        reason: RejectReason,
        effects: &mut Vec<Effect>,
    ) {
        for owed in owed {
            let verdict = Verdict::Rejected(reason);
            self.answer(owed.worker_id, owed.lease_id, verdict, effects);
        }
    }

    /// Checks an update against its lease: nothing is changed before it has passed.
    fn judge(
        &mut self,
        worker_id: WorkerId,
        update: ReceivedUpdate,
    ) -> Result<Accepted, RejectReason> {
        let ReceivedUpdate { header, payload } = update;
        let worker = self
            .registry
            .get(worker_id)
            .ok_or(RejectReason::UnknownLease)?;
        let late = worker.revoked == Some(header.lease_id);
        let run_id = worker.run_id.ok_or(RejectReason::UnknownLease)?;
        let identity = worker.identity;
        let run = self.runs.get(&run_id).ok_or(RejectReason::UnknownLease)?;
        if self.draining || run.phase() != RunPhase::Running {
            return Err(RejectReason::RunInactive);
        }
        let entry = run
            .leases
            .get(&header.lease_id)
            .filter(|entry| entry.worker_id == worker_id);
        let Some(entry) = entry else {
            return Err(if late {
                RejectReason::Superseded
            } else {
                RejectReason::UnknownLease
            });
        };
        check_counts(run, entry.range, &header)?;
        let payload = payload?;
        let matches_codec = match &payload {
            Payload::Exact(_) => run.spec.codec == Codec::Exact,
            Payload::F32(_) => run.spec.codec == Codec::F32,
        };
        if !matches_codec {
            return Err(RejectReason::Malformed);
        }
        if !run.step.can_count(&header.done, header.lease_id) {
            return Err(RejectReason::Superseded);
        }
        Ok(Accepted {
            run_id,
            contribution: Contribution {
                identity,
                worker_id,
                lease_id: header.lease_id,
                samples: header.samples,
                loss_q20: header.loss_q20,
            },
            header,
            payload,
        })
    }

    fn accept(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        accepted: Accepted,
        effects: &mut Vec<Effect>,
    ) {
        let Accepted {
            run_id,
            contribution,
            header,
            payload,
        } = accepted;
        let (lease_id, samples) = (header.lease_id, header.samples);
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.step.count(&header.done, contribution);
            if let Some(entry) = run.leases.remove(&lease_id) {
                run.step.free(entry.range, lease_id);
                let count = header.done.iter().map(|range| range.count).sum();
                if let Some(worker) = self.registry.get(worker_id) {
                    worker.lease_id = worker.lease_id.filter(|current| *current != lease_id);
                    worker.samples_accepted += u64::from(samples);
                    worker.measure(count, now.since_ms(entry.granted_at));
                }
            }
            let first = header.done.first().map_or(0, |range| range.first);
            effects.push(Effect::Accumulate {
                run_id,
                first,
                payload,
            });
        }
        effects.push(Effect::Event(Event::UpdateAccepted {
            worker_id,
            lease_id,
            samples,
        }));
        self.complete_step(run_id, effects);
    }

    fn complete_step(&mut self, run_id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self
            .runs
            .get_mut(&run_id)
            .filter(|run| run.step.is_complete())
        else {
            return;
        };
        if let Err(detail) = run.step.check_complete() {
            effects.push(violated(InvariantId::LeaseOnce, detail));
        }
        effects.push(run.apply());
    }

    fn reject(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        lease_id: LeaseId,
        reason: RejectReason,
        effects: &mut Vec<Effect>,
    ) {
        self.end_lease(now, worker_id, lease_id);
        if let Some(worker) = self.registry.get(worker_id) {
            worker.updates_rejected += 1;
        }
        effects.push(Effect::Event(Event::UpdateRejected {
            worker_id,
            lease_id,
            reason,
        }));
        self.answer(worker_id, lease_id, Verdict::Rejected(reason), effects);
    }

    /// A worker has no lease any more; what it held is free.
    fn end_lease(&mut self, now: Timestamp, worker_id: WorkerId, lease_id: LeaseId) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        if worker.lease_id == Some(lease_id) {
            worker.lease_id = None;
            worker.idle_since = now;
        }
        let Some(run) = worker.run_id.and_then(|run_id| self.runs.get_mut(&run_id)) else {
            return;
        };
        if run
            .leases
            .get(&lease_id)
            .is_some_and(|entry| entry.worker_id == worker_id)
            && let Some(entry) = run.leases.remove(&lease_id)
        {
            run.step.free(entry.range, lease_id);
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
        self.end_lease(now, worker_id, lease_id);
        if let Some(worker) = self.registry.get(worker_id) {
            // It says so itself when it can work again.
            worker.ready &= reason == ReleaseReason::Paused;
        }
        self.hand_out_for(now, worker_id, effects);
    }

    /// A micro-batch does not fit: the step runs again with exponents that it fits.
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
        let current = run
            .leases
            .get(&lease_id)
            .is_some_and(|entry| entry.worker_id == worker_id);
        let plausible = current
            && run.phase() == RunPhase::Running
            && run.spec.codec == Codec::Exact
            && fits.len() == run.exponents.current().len()
            && fits.iter().all(|&fit| fit >= MIN_EXPONENT);
        if !plausible || !run.exponents.lower(fits) {
            self.end_lease(now, worker_id, lease_id);
            self.hand_out_for(now, worker_id, effects);
            return;
        }
        let void = run.step.restart();
        let (run_id, version, attempts) = (run.id, run.version(), run.step.restarts + 1);
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

    /// A worker's lease lapses: others may have its micro-batches; an answer counts while nobody has.
    pub(super) fn lapse_lease(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        let Some(lease_id) = worker.lease_id.take() else {
            return;
        };
        worker.idle_since = now;
        let run = worker.run_id.and_then(|run_id| self.runs.get_mut(&run_id));
        if let Some((run, entry)) = run.and_then(|run| lapse(run, lease_id)) {
            run.step.free(entry, lease_id);
            effects.push(Effect::Event(Event::LeaseLapsed {
                lease_id,
                worker_id,
            }));
        }
    }

    /// Lets leases lapse whose deadline passed. Their workers are still computing: they get no other lease
    /// before they answer or their work is with others.
    pub(super) fn expire_leases(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut touched = Vec::new();
        for run in self.runs.values_mut() {
            let expired = run
                .leases
                .values_mut()
                .filter(|entry| !entry.lapsed && entry.deadline <= now);
            for entry in expired {
                entry.lapsed = true;
                run.step.free(entry.range, entry.id);
                let (lease_id, worker_id) = (entry.id, entry.worker_id);
                effects.push(Effect::Event(Event::LeaseLapsed {
                    lease_id,
                    worker_id,
                }));
                if let Some(worker) = self.registry.workers.get_mut(&worker_id) {
                    worker.slower();
                }
                touched.push(run.id);
            }
        }
        touched.dedup();
        touched
            .into_iter()
            .for_each(|run_id| self.hand_out(now, run_id, effects));
    }

    /// Takes lapsed leases back for good whose micro-batches are with others now; true if there were any.
    pub(super) fn revoke_overtaken(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(run) = self.runs.get(&run_id) else {
            return false;
        };
        let overtaken: Vec<(LeaseId, WorkerId)> = run
            .leases
            .values()
            .filter(|entry| entry.lapsed && !run.step.can_count(&[entry.range], entry.id))
            .map(|entry| (entry.id, entry.worker_id))
            .collect();
        let reason = RevokeReason::Expired;
        for &(lease_id, worker_id) in &overtaken {
            self.revoke(now, run_id, lease_id, worker_id, reason, effects);
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
        let all: Vec<(LeaseId, WorkerId)> = run
            .leases
            .values()
            .map(|entry| (entry.id, entry.worker_id))
            .collect();
        for (lease_id, worker_id) in all {
            self.revoke(now, run_id, lease_id, worker_id, reason, effects);
        }
    }

    fn revoke(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        lease_id: LeaseId,
        worker_id: WorkerId,
        reason: RevokeReason,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(run) = self.runs.get_mut(&run_id)
            && let Some(entry) = run.leases.remove(&lease_id)
        {
            run.step.free(entry.range, lease_id);
        }
        if let Some(worker) = self.registry.get(worker_id) {
            worker.revoked = Some(lease_id);
            if worker.lease_id == Some(lease_id) {
                worker.lease_id = None;
                worker.idle_since = now;
                let revoke = ServerMessage::Revoke { lease_id, reason };
                effects.extend(worker.connection.map(|connection| send(connection, revoke)));
            }
        }
    }
}

/// An update that passed all checks.
struct Accepted {
    run_id: RunId,
    header: Update,
    contribution: Contribution,
    payload: Payload,
}

fn lapse(run: &mut HostedRun, lease_id: LeaseId) -> Option<(&mut HostedRun, MicroBatchRange)> {
    let entry = run.leases.get_mut(&lease_id)?;
    entry.lapsed = true;
    let range = entry.range;
    Some((run, range))
}

/// The ranges lie within the lease, ascending and apart, and the sums can be those of so many samples.
fn check_counts(
    run: &HostedRun,
    lease: MicroBatchRange,
    header: &Update,
) -> Result<(), RejectReason> {
    let mut next = lease.first;
    let end = u64::from(lease.first) + u64::from(lease.count);
    let mut samples = 0;
    for range in &header.done {
        let range_end = u64::from(range.first) + u64::from(range.count);
        if range.first < next || range.count == 0 || range_end > end {
            return Err(RejectReason::WrongCounts);
        }
        next = range.first + range.count;
        samples += run
            .plan
            .samples_of(run.step.shape, range.first, range.count);
    }
    let plausible = (1..=MAX_UPDATE_RANGES).contains(&header.done.len())
        && header.samples == samples
        && u64::from(header.correct) <= u64::from(samples) * run.label_rows
        && (0..=MAX_LOSS_Q20 * i64::from(samples)).contains(&header.loss_q20);
    if plausible {
        Ok(())
    } else {
        Err(RejectReason::WrongCounts)
    }
}

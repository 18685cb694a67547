//! Updates: judged against their leases, counted, applied when their time has come, and answered.

use tabswarm_model::run_file::{Codec, Mode};
use tabswarm_protocol::client::Update;
use tabswarm_protocol::limits::MAX_UPDATE_RANGES;
use tabswarm_protocol::server::{LeaseKind, RejectReason, RevokeReason, Verdict};
use tabswarm_protocol::{LeaseId, RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send, violated};
use crate::effect::Effect;
use crate::event::Event;
use crate::input::{ConnectionId, Payload, ReceivedUpdate};
use crate::invariants::InvariantId;
use crate::lease::LeaseEntry;
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
        self.hand_out_to(now, worker_id, effects);
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
        let late = worker.was_revoked(header.lease_id);
        let run_id = worker.run_id.ok_or(RejectReason::UnknownLease)?;
        let identity = worker.identity;
        let run = self.runs.get(&run_id).ok_or(RejectReason::UnknownLease)?;
        if self.draining || run.phase() != RunPhase::Running {
            return Err(RejectReason::RunInactive);
        }
        let lease = run.leases.get(header.lease_id);
        let Some(lease) = lease.filter(|lease| lease.worker_id == worker_id) else {
            return Err(if late {
                RejectReason::Superseded
            } else {
                RejectReason::UnknownLease
            });
        };
        check_counts(run, lease, &header)?;
        let payload = payload?;
        let matches_codec = match &payload {
            Payload::Exact(_) => run.spec.codec == Codec::Exact,
            Payload::F32(_) => run.spec.codec == Codec::F32,
        };
        if !matches_codec {
            return Err(RejectReason::Malformed);
        }
        if !run.can_count(&header.done, lease) {
            return Err(RejectReason::Superseded);
        }
        if let Mode::Async { staleness_max } = run.spec.mode
            && run.staleness(lease.version) > u64::from(staleness_max)
        {
            return Err(RejectReason::Stale);
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
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let Some(lease) = run.leases.remove(lease_id) else {
            return;
        };
        run.note_staleness(lease.version);
        let count = header.done.iter().map(|range| range.count).sum();
        if let Some(worker) = self.registry.get(worker_id) {
            worker.samples_accepted += u64::from(samples);
            worker.answered(now, &lease, count, header.compute_us, run.lease_kind());
        }
        effects.push(Effect::Event(Event::UpdateAccepted {
            worker_id,
            lease_id,
            samples,
        }));
        effects.push(Effect::Accumulate {
            run_id,
            first: header.done.first().map_or(0, |range| range.first),
            payload,
        });
        let hedge = lease.hedge;
        if let Some(step) = run.work.round() {
            step.count(&header.done, contribution);
            run.give_back(&lease);
            if let Some(hedge) = hedge {
                self.revoke_lease(now, run_id, hedge, RevokeReason::Expired, effects);
            }
            self.complete_round(run_id, effects);
        } else {
            run.work.reclaim(&lease);
            let apply = run.apply_batch(&lease, contribution);
            effects.push(apply);
        }
    }

    /// Applies the round in progress if all of it is done.
    fn complete_round(&mut self, run_id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        if run.work.round().is_some_and(|step| step.is_complete()) {
            apply_round(run, effects);
        }
    }

    /// Applies rounds that have a quorum and have waited long enough for the rest.
    pub(super) fn close_rounds(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let mut closed = Vec::new();
        for run in self.runs.values_mut() {
            let Mode::Local(local) = run.spec.mode else {
                continue;
            };
            if run.phase() != RunPhase::Running || run.is_applying() {
                continue;
            }
            let Some(step) = run.work.round() else {
                continue;
            };
            // The last round of a run may have fewer shards.
            let quorum = local.quorum.min(step.units());
            let is_due = step.n_done() >= quorum
                && now.since_ms(step.began) >= u64::from(local.round_timeout_ms);
            if is_due {
                closed.push(run.id);
            }
        }
        for run_id in closed {
            // Who is late may go on with the next round.
            self.revoke_all(now, run_id, RevokeReason::Expired, effects);
            if let Some(run) = self.runs.get_mut(&run_id) {
                apply_round(run, effects);
            }
        }
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
        let mut of_run = None;
        if let Some(worker) = self.registry.get(worker_id) {
            worker.updates_rejected += 1;
            of_run = worker.run_id;
        }
        if reason == RejectReason::Stale
            && let Some(run) = of_run.and_then(|run_id| self.runs.get_mut(&run_id))
        {
            run.too_stale += 1;
        }
        effects.push(Effect::Event(Event::UpdateRejected {
            worker_id,
            lease_id,
            reason,
        }));
        self.answer(worker_id, lease_id, Verdict::Rejected(reason), effects);
    }
}

fn apply_round(run: &mut HostedRun, effects: &mut Vec<Effect>) {
    if let Some(step) = run.work.round()
        && let Err(detail) = step.check()
    {
        effects.push(violated(InvariantId::LeaseOnce, detail));
    }
    effects.extend(run.apply_round());
}

/// An update that passed all checks.
struct Accepted {
    run_id: RunId,
    header: Update,
    contribution: Contribution,
    payload: Payload,
}

/// The ranges lie within the lease, ascending and apart, and the sums can be those of so many samples.
fn check_counts(run: &HostedRun, lease: &LeaseEntry, header: &Update) -> Result<(), RejectReason> {
    let range = lease.range;
    let mut next = range.first;
    let end = u64::from(range.first) + u64::from(range.count);
    let mut samples = 0;
    for done in &header.done {
        let done_end = u64::from(done.first) + u64::from(done.count);
        if done.first < next || done.count == 0 || done_end > end {
            return Err(RejectReason::WrongCounts);
        }
        next = done.first + done.count;
        let (version, position) = (lease.version.0, lease.position);
        samples += run
            .plan
            .samples_of(version, position, done.first, done.count);
    }
    let is_whole = run.lease_kind() == LeaseKind::Step || header.done.as_slice() == [range];
    let max_loss = MAX_LOSS_Q20.saturating_mul(i64::from(header.samples));
    let fits = is_whole
        && (1..=MAX_UPDATE_RANGES).contains(&header.done.len())
        && u64::from(header.samples) == samples
        && u64::from(header.correct) <= samples.saturating_mul(run.label_rows)
        && (0..=max_loss).contains(&header.loss_q20);
    if fits {
        Ok(())
    } else {
        Err(RejectReason::WrongCounts)
    }
}

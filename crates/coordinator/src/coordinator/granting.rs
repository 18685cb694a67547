//! Who gets which work, and who gets a second chance at it.

use std::cmp::Ordering;

use tabswarm_model::fixed_point::MAX_LEASE_MICRO_BATCHES;
use tabswarm_model::run_file::Mode;
use tabswarm_protocol::server::Lease;
use tabswarm_protocol::{LeaseId, RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send};
use crate::effect::Effect;
use crate::event::Event;
use crate::lease::{Candidate, LeaseEntry, shares};
use crate::limits::{HEDGE_MIN_MS, STALE_SPEED_MS};
use crate::registry::Worker;
use crate::run::HostedRun;
use crate::speed::Speed;

impl Coordinator {
    pub(super) fn hand_out_everywhere(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let run_ids: Vec<RunId> = self.runs.keys().copied().collect();
        run_ids
            .into_iter()
            .for_each(|run_id| self.hand_out(now, run_id, effects));
    }

    /// Hands out leases of a worker's run to all of its workers.
    pub(super) fn hand_out_for(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let worker = self.registry.get(worker_id);
        if let Some(run_id) = worker.and_then(|worker| worker.run_id) {
            self.hand_out(now, run_id, effects);
        }
    }

    /// Hands out leases to one worker: nothing became free for the others.
    pub(super) fn hand_out_to(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let worker = self.registry.get(worker_id);
        let Some(run_id) = worker.and_then(|worker| worker.run_id) else {
            return;
        };
        self.fill(now, run_id, &[worker_id], effects);
        if self.revoke_overtaken(now, run_id, effects) {
            self.hand_out(now, run_id, effects);
        }
    }

    /// Leases the free units of a run to its workers, fastest first. Those that would hold the others up get
    /// nothing, but for now and then: otherwise a bad start would be the last that is known of them.
    pub(super) fn hand_out(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get(&run_id).filter(|run| run.hands_out()) else {
            return;
        };
        for worker in self.registry.workers.values_mut() {
            let waits = worker.run_id == Some(run_id) && worker.is_idle();
            let passed_over_ms = worker.passed_over.map_or(0, |since| now.since_ms(since));
            if waits && passed_over_ms >= STALE_SPEED_MS {
                worker.passed_over = None;
                worker.speed = Speed::default();
            }
        }
        let mut workers: Vec<(WorkerId, Option<f64>)> = self
            .registry
            .workers
            .values()
            .filter(|worker| {
                worker.run_id == Some(run_id) && worker.has_room(run.lease_depth(worker.lanes))
            })
            .map(|worker| (worker.id, worker.speed.rate()))
            .collect();
        workers.sort_by(|(a_id, a), (b_id, b)| {
            b.partial_cmp(a)
                .unwrap_or(a_id.cmp(b_id))
                .then(a_id.cmp(b_id))
        });
        let workers: Vec<WorkerId> = workers.into_iter().map(|(id, _)| id).collect();
        self.fill(now, run_id, &workers, effects);
        if self.revoke_overtaken(now, run_id, effects) {
            // Their workers are idle now, and there may be more to do.
            self.hand_out(now, run_id, effects);
        }
    }

    /// Leases free units to these workers: to all that have nothing, then to all that have one lease, ….
    fn fill(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        workers: &[WorkerId],
        effects: &mut Vec<Effect>,
    ) {
        if self.draining {
            return;
        }
        for depth in 1.. {
            let Some(run) = self.runs.get(&run_id).filter(|run| run.hands_out()) else {
                return;
            };
            let n_free = run.work.n_free();
            let mut deeper = false;
            let mut chosen: Vec<(WorkerId, Candidate<'_>)> = Vec::new();
            for id in workers {
                let Some(worker) = self.registry.workers.get(id) else {
                    continue;
                };
                let most = run.lease_depth(worker.lanes);
                deeper |= most > depth;
                let may_wait = depth == 1 || run.may_queue(worker);
                if depth <= most && worker.has_room(depth) && may_wait {
                    chosen.push((*id, Self::candidate(now, run, worker)));
                }
            }
            if n_free > 0 && !chosen.is_empty() {
                let ids: Vec<WorkerId> = chosen.iter().map(|(id, _)| *id).collect();
                let mut candidates: Vec<Candidate<'_>> =
                    chosen.into_iter().map(|(_, candidate)| candidate).collect();
                candidates.extend(self.busy(now, run, &ids));
                let sizes = shares(n_free, &candidates, run.spec.lease_target_ms);
                for (worker_id, size) in ids.into_iter().zip(sizes) {
                    if size > 0 {
                        self.grant(now, run_id, worker_id, size, effects);
                    } else if depth == 1
                        && let Some(worker) = self.registry.get(worker_id)
                    {
                        worker.passed_over.get_or_insert(now);
                    }
                }
            }
            if !deeper || n_free == 0 {
                return;
            }
        }
    }

    fn candidate<'a>(now: Timestamp, run: &HostedRun, worker: &'a Worker) -> Candidate<'a> {
        let leases = worker.leases.iter().filter_map(|id| run.leases.get(*id));
        // The oldest is at work, the others wait behind it.
        let ahead_ms = leases.enumerate().map(|(place, lease)| {
            let elapsed = match place {
                0 => now.since_ms(worker.began(lease)) as f64,
                _ => 0.0,
            };
            match worker.speed.expected_ms(lease.units(run.lease_kind())) {
                // A little late is as good as done.
                Some(expected) if elapsed < 2.0 * expected => (expected - elapsed).max(0.0),
                _ => elapsed,
            }
        });
        Candidate {
            speed: &worker.speed,
            ahead_ms: ahead_ms.sum(),
        }
    }

    /// Other workers of a run that will be ready for more while its round goes on: some of it is theirs. Where
    /// there is enough for all of them there is nothing to divide.
    fn busy(&self, now: Timestamp, run: &HostedRun, chosen: &[WorkerId]) -> Vec<Candidate<'_>> {
        let has_micro_batches = run.spec.mode == Mode::Sync;
        let enough_for = run.work.n_free() / MAX_LEASE_MICRO_BATCHES;
        let members = || {
            let workers = self.registry.workers.values();
            workers.filter(|worker| worker.run_id == Some(run.id) && worker.has_room(usize::MAX))
        };
        if !has_micro_batches || members().count() <= enough_for as usize {
            return Vec::new();
        }
        let others = members().filter(|worker| {
            worker.speed.rate().is_some()
                && !worker.leases.is_empty()
                && !run.is_late(worker)
                && !chosen.contains(&worker.id)
        });
        others
            .map(|worker| Self::candidate(now, run, worker))
            .collect()
    }

    fn grant(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        worker_id: WorkerId,
        size: u32,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&run_id) else {
            return;
        };
        let id = next_id(&mut self.next_lease_id);
        let Some((position, range)) = run.take_units(id, size) else {
            return;
        };
        let lease = LeaseEntry {
            id,
            worker_id,
            version: run.version(),
            position,
            range,
            exponents: run.lease_exponents().into(),
            granted_at: now,
            deadline: now,
            lapsed: false,
            hedge: None,
            is_hedge: false,
        };
        self.give(now, run_id, lease, effects);
    }

    /// Gives a lease to its worker.
    fn give(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        mut lease: LeaseEntry,
        effects: &mut Vec<Effect>,
    ) {
        let worker_id = lease.worker_id;
        let (Some(run), Some(worker)) = (self.runs.get_mut(&run_id), self.registry.get(worker_id))
        else {
            return;
        };
        let Some(connection) = worker.connection else {
            run.give_back(&lease);
            return;
        };
        let kind = run.lease_kind();
        // What it has already comes first.
        let ahead = run.units_ahead(&worker.leases);
        let wait_ms = worker.speed.deadline_ms(ahead + lease.units(kind));
        lease.deadline = now + wait_ms;
        worker.leases.push(lease.id);
        worker.idle_notice = None;
        worker.passed_over = None;
        let version = lease.version;
        if worker.params != Some(version) {
            worker.params = Some(version);
            effects.push(Effect::SendParams {
                connection,
                run_id,
                version,
            });
        }
        let message = Lease {
            lease_id: lease.id,
            run_id,
            version,
            range: lease.range,
            exponents: lease.exponents.to_vec(),
            deadline_ms: u32::try_from(wait_ms).unwrap_or(u32::MAX),
            batch: run.plan.batch_at(lease.position),
            kind: run.kind_of(&lease),
        };
        effects.push(send(connection, ServerMessage::Lease(message)));
        effects.push(Effect::Event(Event::LeaseGranted {
            lease_id: lease.id,
            worker_id,
            first: lease.range.first,
            count: lease.range.count,
        }));
        run.leases.insert(lease);
    }

    /// Near the end of a round, gives idle workers copies of leases that they would sooner have done than
    /// those who have them: the first answer counts.
    pub(super) fn hedge(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.draining {
            return;
        }
        let tails: Vec<RunId> = self
            .runs
            .values()
            .filter(|run| run.hands_out() && run.has_rounds() && run.work.n_free() == 0)
            .map(|run| run.id)
            .collect();
        for run_id in tails {
            self.hedge_run(now, run_id, effects);
        }
    }

    fn hedge_run(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get(&run_id) else {
            return;
        };
        let kind = run.lease_kind();
        let open = run
            .leases
            .iter()
            .filter(|lease| lease.hedge.is_none() && !lease.lapsed);
        let mut late: Vec<(f64, LeaseId, u32)> = open
            .map(|lease| {
                (
                    self.remaining_ms(now, run, lease),
                    lease.id,
                    lease.units(kind),
                )
            })
            .filter(|(remaining, ..)| *remaining >= HEDGE_MIN_MS)
            .collect();
        late.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut late = late.into_iter().peekable();
        let idle = self.registry.workers.values();
        let mut idle: Vec<(WorkerId, &Speed)> = idle
            .filter(|worker| worker.run_id == Some(run_id) && worker.is_idle())
            .map(|worker| (worker.id, &worker.speed))
            .collect();
        idle.sort_by(|(_, a), (_, b)| b.rate().partial_cmp(&a.rate()).unwrap_or(Ordering::Equal));
        let mut copies = Vec::new();
        for (worker_id, speed) in idle {
            let worth = late.next_if(|(remaining, _, units)| {
                let alone = speed.expected_ms(*units);
                alone.is_some_and(|alone| *remaining >= 2.0 * alone)
            });
            copies.extend(worth.map(|(_, lease_id, _)| (worker_id, lease_id)));
        }
        for (worker_id, lease_id) in copies {
            self.copy_lease(now, run_id, worker_id, lease_id, effects);
        }
    }

    /// How long an answer may still take.
    fn remaining_ms(&self, now: Timestamp, run: &HostedRun, lease: &LeaseEntry) -> f64 {
        let elapsed = now.since_ms(lease.granted_at) as f64;
        let owner = self.registry.workers.get(&lease.worker_id);
        let units = lease.units(run.lease_kind());
        match owner.and_then(|owner| owner.speed.expected_ms(units)) {
            Some(expected) if expected > elapsed => expected - elapsed,
            // It is late, or nothing is known of it: it may well take as long again.
            _ => elapsed,
        }
    }

    fn copy_lease(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        worker_id: WorkerId,
        first_id: LeaseId,
        effects: &mut Vec<Effect>,
    ) {
        let run = self.runs.get(&run_id);
        let Some(first) = run.and_then(|run| run.leases.get(first_id)) else {
            return;
        };
        let id = next_id(&mut self.next_lease_id);
        let copy = LeaseEntry {
            id,
            worker_id,
            granted_at: now,
            ..first.clone()
        };
        self.give(now, run_id, copy, effects);
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.leases.pair(first_id, id);
        }
    }
}

/// An id that no lease has had, whether or not it becomes one.
fn next_id(newest: &mut u64) -> LeaseId {
    *newest = newest.wrapping_add(1);
    LeaseId(*newest)
}

//! Which run a worker works for: the one that it asked for, or fair shares by weight.
//!
//! Shares are counted in lanes. As long as moving a worker brings the runs' lanes closer to their weights, it
//! is moved. Where that can't be had, because a worker can't be cut in half, runs take turns: the time that
//! lanes worked for each run, divided by its weight, is its virtual time, and a worker goes to the run that is
//! behind (Demers, Keshav & Shenker, "Analysis and simulation of a fair queueing algorithm", 1989).

use tabswarm_model::Run;
use tabswarm_model::run_file::ArithmeticClass;
use tabswarm_protocol::client::Class;
use tabswarm_protocol::{RunId, ServerMessage, Timestamp, WorkerId};

use super::{Coordinator, send};
use crate::effect::Effect;
use crate::limits::{MOVES_PER_SWEEP, SHARE_SLICE_MS, SWEEP_MS};
use crate::phase::RunPhase;
use crate::registry::{Move, Worker};
use crate::run::HostedRun;

/// A run that goes on, and what it has of the swarm.
#[derive(Debug, Clone, Copy)]
struct Share {
    run_id: RunId,
    weight: f64,
    /// Lanes of its workers, of those on their way to it, and of those who asked for it.
    lanes: u64,
    /// More lanes than this would be idle.
    capacity: u64,
    served_ms: f64,
}

impl Share {
    /// Lanes for its weight, if it had so many more or less.
    fn load(&self, change: i64) -> f64 {
        self.lanes.saturating_add_signed(change) as f64 / self.weight
    }

    fn is_full(&self) -> bool {
        self.lanes >= self.capacity
    }
}

/// What a device lacks for a run, in words; none if it can do it.
pub(super) fn lacks(run: &Run, classes: &[Class], memory_mib: u32, gpu: bool) -> Option<String> {
    let class = match run.class {
        ArithmeticClass::Portable => Class::Portable,
        ArithmeticClass::Fused => Class::Fused,
    };
    let wanted = &run.workers;
    if !classes.contains(&class) {
        return Some(format!("{} arithmetic", run.class.as_str()));
    }
    // Who does not say how much memory there is gets the chance to try.
    if memory_mib != 0 && memory_mib < wanted.memory_mib {
        return Some(format!("{} MiB of memory", wanted.memory_mib));
    }
    (wanted.gpu && !gpu).then(|| "a GPU that computes".to_owned())
}

/// Whether a worker can do a run, and is fast enough as far as that is known.
fn fits(worker: &Worker, run: &HostedRun) -> bool {
    let lacking = lacks(&run.spec, &worker.classes, worker.memory_mib, worker.gpu);
    lacking.is_none() && !is_too_slow(worker, run)
}

fn is_too_slow(worker: &Worker, run: &HostedRun) -> bool {
    let speed = worker.speed_for(run.id);
    let rate = speed.and_then(crate::speed::Speed::settled_rate);
    let least = run.spec.workers.min_samples_per_s;
    rate.is_some_and(|rate| run.samples_per_s_at(rate, worker.lanes) < least)
}

impl Coordinator {
    /// Gives a worker the run that it asked for, or the one that needs it most.
    pub(super) fn assign(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        effects: &mut Vec<Effect>,
    ) {
        let chosen = self.choose_run(worker_id);
        self.assign_to(now, worker_id, chosen, effects);
    }

    fn assign_to(
        &mut self,
        now: Timestamp,
        worker_id: WorkerId,
        chosen: Option<RunId>,
        effects: &mut Vec<Effect>,
    ) {
        let run = chosen.and_then(|run_id| self.runs.get(&run_id));
        let Some(worker) = self.registry.get(worker_id) else {
            return;
        };
        worker.set_run(run.map(|run| run.id));
        worker.idle_since = now;
        if let (Some(run), Some(connection)) = (run, worker.connection) {
            effects.push(send(connection, ServerMessage::Run(run.assignment())));
        }
        self.notify_idle(worker_id, effects);
    }

    fn choose_run(&self, worker_id: WorkerId) -> Option<RunId> {
        let worker = self.registry.workers.get(&worker_id)?;
        let fitting = || self.runs.values().filter(|run| fits(worker, run));
        if let Some(name) = &worker.preferred_run {
            return fitting()
                .find(|run| run.spec.name == *name)
                .map(|run| run.id);
        }
        let shares = self.shares(Some(worker_id));
        let running = shares.iter().filter(|share| {
            let run = self.runs.get(&share.run_id);
            run.is_some_and(|run| fits(worker, run))
        });
        let lanes = i64::from(worker.lanes);
        let neediest = running.min_by(|a, b| {
            let load = a.load(lanes).total_cmp(&b.load(lanes));
            (a.is_full().cmp(&b.is_full()).then(load))
                .then(a.served_ms.total_cmp(&b.served_ms))
                .then(a.run_id.cmp(&b.run_id))
        });
        // Otherwise it waits for one that may go on.
        let rank = |phase| match phase {
            RunPhase::Running => 0,
            RunPhase::Paused | RunPhase::Created => 1,
            RunPhase::Finished => 2,
            RunPhase::Stopped => 3,
        };
        neediest.map(|share| share.run_id).or_else(|| {
            let least = fitting().min_by_key(|run| (rank(run.phase()), run.id));
            least.map(|run| run.id)
        })
    }

    /// The runs that go on; a worker may be left out.
    fn shares(&self, without: Option<WorkerId>) -> Vec<Share> {
        let running = self.runs.values();
        let mut shares: Vec<Share> = running
            .filter(|run| run.is_running())
            .map(|run| Share {
                run_id: run.id,
                weight: run.spec.workers.weight,
                lanes: 0,
                capacity: run.capacity(),
                served_ms: run.served_ms,
            })
            .collect();
        for worker in self.registry.workers.values() {
            let counts = worker.connection.is_some() && worker.paused.is_none();
            if !counts || Some(worker.id) == without {
                continue;
            }
            let run_id = match worker.moving {
                Some(Move::To(run_id)) => Some(run_id),
                Some(Move::Away) => None,
                None => worker.run_id,
            };
            if let Some(share) = shares.iter_mut().find(|s| Some(s.run_id) == run_id) {
                share.lanes += u64::from(worker.lanes);
            }
        }
        shares
    }

    /// Workers without a running run, who did not ask for a certain one, go where they are needed.
    pub(super) fn reassign(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let movable: Vec<WorkerId> = self
            .registry
            .workers
            .values()
            .filter(|worker| worker.connection.is_some() && !self.goes_on(worker.run_id))
            .map(|worker| worker.id)
            .collect();
        for worker_id in movable {
            let chosen = self.choose_run(worker_id);
            let current = self.registry.get(worker_id).and_then(|w| w.run_id);
            if chosen != current && (current.is_none() || self.goes_on(chosen)) {
                self.assign_to(now, worker_id, chosen, effects);
            }
        }
    }

    /// A run has other settings: its workers load them, where they can still do it.
    pub(super) fn assign_again(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        effects: &mut Vec<Effect>,
    ) {
        for worker in self.registry.workers.values_mut() {
            worker.forget_speed(run_id);
        }
        for worker_id in self.members(run_id) {
            self.assign(now, worker_id, effects);
        }
    }

    /// Whether a worker of this run has one that goes on.
    fn goes_on(&self, run_id: Option<RunId>) -> bool {
        let run = run_id.and_then(|run_id| self.runs.get(&run_id));
        run.is_some_and(HostedRun::is_running)
    }

    /// A run begins to go on: it has no claim to what it missed.
    pub(super) fn join_sharing(&mut self, run_id: RunId) {
        let others = self.runs.values();
        let least = others
            .filter(|run| run.id != run_id && run.is_running())
            .map(|run| run.served_ms)
            .min_by(f64::total_cmp);
        if let (Some(least), Some(run)) = (least, self.runs.get_mut(&run_id)) {
            run.served_ms = run.served_ms.max(least);
        }
    }

    /// Counts time as work for runs, and lets workers change between them.
    pub(super) fn share(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.count_time(now);
        self.settle_moves(now, effects);
        self.send_away();
        if self.runs.values().filter(|run| run.is_running()).count() > 1 {
            self.begin_moves(now);
        }
        self.settle_moves(now, effects);
    }

    fn begin_moves(&mut self, now: Timestamp) {
        for _ in 0..MOVES_PER_SWEEP {
            let Some((worker_id, run_id)) = self.better_balance() else {
                break;
            };
            self.begin_move(worker_id, Move::To(run_id));
        }
        if now >= self.next_turn
            && let Some((worker_id, run_id)) = self.next_turn_of()
        {
            self.begin_move(worker_id, Move::To(run_id));
            self.next_turn = now + SHARE_SLICE_MS;
        }
    }

    fn begin_move(&mut self, worker_id: WorkerId, to: Move) {
        if let Some(worker) = self.registry.get(worker_id) {
            worker.moving = Some(to);
        }
    }

    fn count_time(&mut self, now: Timestamp) {
        // A machine that was suspended did not work meanwhile.
        let passed_ms = now.since_ms(self.shared_at).min(4 * SWEEP_MS) as f64;
        self.shared_at = now;
        for worker in self.registry.workers.values() {
            let run = worker.run_id.and_then(|run_id| self.runs.get_mut(&run_id));
            if let Some(run) = run.filter(|_| !worker.leases.is_empty()) {
                let weight = run.spec.workers.weight;
                run.served_ms += passed_ms * f64::from(worker.lanes) / weight;
            }
        }
    }

    /// Workers that have answered everything go where they are on their way to.
    fn settle_moves(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let moving = self.registry.workers.values();
        let there: Vec<(WorkerId, Move)> = moving
            .filter(|worker| worker.connection.is_some() && worker.leases.is_empty())
            .filter_map(|worker| Some((worker.id, worker.moving?)))
            .collect();
        for (worker_id, to) in there {
            match to {
                Move::To(run_id) if self.goes_on(Some(run_id)) => {
                    self.assign_to(now, worker_id, Some(run_id), effects);
                }
                // The run that it was on its way to is over, or it may go anywhere.
                Move::To(_) | Move::Away => self.assign(now, worker_id, effects),
            }
        }
    }

    /// Workers that have turned out too slow for their run get no more of it.
    fn send_away(&mut self) {
        for worker in self.registry.workers.values_mut() {
            let run = worker.run_id.and_then(|run_id| self.runs.get(&run_id));
            if run.is_some_and(|run| is_too_slow(worker, run)) {
                worker.moving = Some(Move::Away);
            }
        }
    }

    /// A worker that can go to a run without having asked for another.
    fn movable(&self, from: RunId, to: RunId) -> impl Iterator<Item = &Worker> {
        let to = self.runs.get(&to);
        let workers = self.registry.workers.values();
        workers.filter(move |worker| {
            let is_free = worker.preferred_run.is_none() && worker.moving.is_none();
            let is_there = worker.connection.is_some() && worker.ready;
            let is_his = worker.run_id == Some(from) && is_free && is_there;
            is_his && to.is_some_and(|to| fits(worker, to))
        })
    }

    /// A move after which the loads are closer to each other, or less capacity is wasted.
    fn better_balance(&self) -> Option<(WorkerId, RunId)> {
        let mut shares = self.shares(None);
        shares.sort_by(|a, b| a.load(0).total_cmp(&b.load(0)));
        for to in shares.iter().filter(|share| !share.is_full()) {
            for from in shares.iter().rev().filter(|from| from.run_id != to.run_id) {
                let helps = |worker: &&Worker| {
                    let lanes = i64::from(worker.lanes);
                    let surplus = from.lanes >= from.capacity + u64::from(worker.lanes);
                    surplus || from.load(-lanes) >= to.load(lanes)
                };
                let candidates = self.movable(from.run_id, to.run_id).filter(helps);
                // The idle ones first: their leases need not be waited for.
                let best = candidates.min_by_key(|worker| (worker.leases.len(), worker.id));
                if let Some(worker) = best {
                    return Some((worker.id, to.run_id));
                }
            }
        }
        None
    }

    /// A worker of the run that had most and still has most, for the one that had least.
    fn next_turn_of(&self) -> Option<(WorkerId, RunId)> {
        let shares = self.shares(None);
        let by_time = |a: &&Share, b: &&Share| a.served_ms.total_cmp(&b.served_ms);
        let to = shares.iter().filter(|s| !s.is_full()).min_by(by_time)?;
        let from = shares.iter().max_by(by_time)?;
        if from.load(0) <= to.load(0) {
            return None;
        }
        let smallest = self
            .movable(from.run_id, to.run_id)
            .min_by_key(|worker| (worker.lanes, worker.leases.len(), worker.id))?;
        let slice_ms = SHARE_SLICE_MS as f64 * f64::from(smallest.lanes);
        let is_due = from.served_ms - to.served_ms >= slice_ms / from.weight.max(to.weight);
        is_due.then_some((smallest.id, to.run_id))
    }
}

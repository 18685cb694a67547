//! Workers: who is connected, what each can do, how fast it is.

use std::collections::{BTreeMap, VecDeque};

use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{Class, Hello, PauseReason, WorkerKind};
use tabswarm_protocol::server::{IdleReason, LeaseKind, Verdict};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, Timestamp, Token, WorkerId};

use crate::input::ConnectionId;
use crate::lease::LeaseEntry;
use crate::limits::{REMEMBERED_ANSWERS, REMEMBERED_REVOKED};
use crate::speed::Speed;

/// A worker, connected or remembered for resumption.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each read by its name"
)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    /// Digest of its token: credits are kept under it.
    pub(crate) identity: Digest,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) kind: WorkerKind,
    pub(crate) software: String,
    pub(crate) lanes: u16,
    pub(crate) classes: Vec<Class>,
    pub(crate) preferred_run: Option<String>,
    pub(crate) run_id: Option<RunId>,
    /// Its run is loaded and it wants leases.
    pub(crate) ready: bool,
    pub(crate) paused: Option<PauseReason>,
    /// Its own steps left all bounds in the round in progress, which others may try.
    pub(crate) diverged: bool,
    pub(crate) params: Option<ParamVersion>,
    /// Leases that it has and is expected to answer, oldest first.
    pub(crate) leases: Vec<LeaseId>,
    /// The newest leases that were taken from it: an answer to one is late, not wrong.
    revoked: VecDeque<LeaseId>,
    /// The newest answers, repeated if the updates come again.
    answers: VecDeque<(LeaseId, Verdict)>,
    /// Measured for its run.
    pub(crate) speed: Speed,
    /// Measured for runs that it worked for before; at most one for each run there is.
    parked: BTreeMap<RunId, Speed>,
    /// It gets no more leases of its run, and another run as soon as it has answered those that it has.
    pub(crate) moving: Option<Move>,
    /// It gets no more leases, and is sent away once it has answered those that it has.
    pub(crate) draining: bool,
    /// When it last answered: what it has now it could not begin before.
    answered_at: Timestamp,
    pub(crate) idle_since: Timestamp,
    /// Since when it has been given nothing though there was something to do; others would have been ready sooner.
    pub(crate) passed_over: Option<Timestamp>,
    pub(crate) idle_notice: Option<IdleReason>,
    pub(crate) last_heard: Timestamp,
    pub(crate) last_ping: Timestamp,
    pub(crate) samples_accepted: u64,
    pub(crate) updates_rejected: u64,
    pub(crate) memory_mib: u32,
    pub(crate) gpu: bool,
    /// As last told to it.
    pub(crate) credited: u64,
    /// When that was.
    pub(crate) credited_at: Timestamp,
    /// It may have more by now.
    pub(crate) credit_changed: bool,
}

impl Worker {
    /// Whether it could take a lease of its run now, having none.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_room(1)
    }

    /// Whether it could take a lease of its run now, having fewer than `depth`.
    pub(crate) fn has_room(&self, depth: usize) -> bool {
        let stays = self.moving.is_none() && !self.draining;
        let works = self.connection.is_some() && self.ready && !self.diverged;
        works && stays && self.leases.len() < depth
    }

    /// Its speed for a run; nothing is known of one that it did not work for.
    pub(crate) fn speed_for(&self, run_id: RunId) -> Option<&Speed> {
        match self.run_id {
            Some(own) if own == run_id => Some(&self.speed),
            _ => self.parked.get(&run_id),
        }
    }

    /// A run's units are of another size now: what was measured says nothing of them.
    pub(crate) fn forget_speed(&mut self, run_id: RunId) {
        self.parked.remove(&run_id);
        if self.run_id == Some(run_id) {
            self.speed = Speed::default();
        }
    }

    /// It belongs to another run now, or to none.
    pub(crate) fn set_run(&mut self, run_id: Option<RunId>) {
        if self.run_id != run_id {
            let known = run_id.and_then(|run_id| self.parked.remove(&run_id));
            let speed = std::mem::replace(&mut self.speed, known.unwrap_or_default());
            self.parked
                .extend(self.run_id.map(|run_id| (run_id, speed)));
            self.run_id = run_id;
        }
        self.moving = None;
        self.reset_run();
    }

    /// There is no such run any more.
    pub(crate) fn forget_run(&mut self, run_id: RunId) {
        if self.run_id == Some(run_id) {
            self.set_run(None);
        }
        self.parked.remove(&run_id);
    }

    /// A lease is not its any more.
    pub(crate) fn drop_lease(&mut self, lease_id: LeaseId) -> bool {
        let at = self.leases.iter().position(|id| *id == lease_id);
        at.map(|at| self.leases.remove(at)).is_some()
    }

    /// When it could begin with its oldest lease.
    pub(crate) fn began(&self, lease: &LeaseEntry) -> Timestamp {
        lease.granted_at.max(self.answered_at)
    }

    /// It answered a lease with so many units: how fast was it?
    pub(crate) fn answered(
        &mut self,
        now: Timestamp,
        lease: &LeaseEntry,
        units: u32,
        compute_us: u64,
        kind: LeaseKind,
    ) {
        self.drop_lease(lease.id);
        let began = self.began(lease);
        self.answered_at = now;
        // Lanes share micro-batches; a shard has one lane.
        let lanes = match kind {
            LeaseKind::Step | LeaseKind::Batch => {
                f64::from(self.lanes.max(1)).min(f64::from(units))
            }
            LeaseKind::Shard { .. } => 1.0,
        };
        let computed_ms = compute_us as f64 / 1_000.0 / lanes;
        // Shards of several lanes are under way together.
        let elapsed_ms = match kind {
            LeaseKind::Step | LeaseKind::Batch => now.since_ms(began),
            LeaseKind::Shard { .. } => now.since_ms(lease.granted_at),
        };
        let units = match kind {
            LeaseKind::Step | LeaseKind::Shard { .. } => units,
            LeaseKind::Batch => 1,
        };
        self.speed.measure(units, elapsed_ms, computed_ms);
    }

    /// A lease was taken from it.
    pub(crate) fn remember_revoked(&mut self, lease_id: LeaseId) {
        if self.revoked.len() >= REMEMBERED_REVOKED {
            self.revoked.pop_front();
        }
        self.revoked.push_back(lease_id);
    }

    /// Whether a lease was taken from it lately.
    pub(crate) fn was_revoked(&self, lease_id: LeaseId) -> bool {
        self.revoked.contains(&lease_id)
    }

    /// What an update of this lease was answered, if it was lately.
    pub(crate) fn answer_to(&self, lease_id: LeaseId) -> Option<Verdict> {
        let mut answers = self.answers.iter();
        let answer = answers.find(|(answered, _)| *answered == lease_id);
        answer.map(|(_, verdict)| *verdict)
    }

    pub(crate) fn remember_answer(&mut self, lease_id: LeaseId, verdict: Verdict) {
        if self.answers.len() >= REMEMBERED_ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((lease_id, verdict));
    }

    /// Forgets what held for one connection or one run.
    pub(crate) fn reset_run(&mut self) {
        self.ready = false;
        self.paused = None;
        self.diverged = false;
        self.passed_over = None;
        self.params = None;
        self.idle_notice = None;
    }
}

/// Where a worker is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// To a run that has too little of the swarm.
    To(RunId),
    /// To any run that it can do: it is too slow for its own.
    Away,
}

/// All workers.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    by_connection: BTreeMap<ConnectionId, WorkerId>,
    by_identity: BTreeMap<Digest, WorkerId>,
    next_id: u64,
}

impl Registry {
    /// The worker of a connection.
    pub(crate) fn by_connection(&mut self, connection: ConnectionId) -> Option<&mut Worker> {
        let id = self.by_connection.get(&connection)?;
        self.workers.get_mut(id)
    }

    pub(crate) fn get(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.get_mut(&id)
    }

    /// The known worker that a token names.
    pub(crate) fn by_token(&self, token: Token) -> Option<WorkerId> {
        self.by_identity(Digest::of(&token.0))
    }

    /// The known worker of an identity.
    pub(crate) fn by_identity(&self, identity: Digest) -> Option<WorkerId> {
        self.by_identity.get(&identity).copied()
    }

    /// Takes in a new worker.
    pub(crate) fn add(&mut self, now: Timestamp, token: Token, hello: &Hello) -> WorkerId {
        self.next_id += 1;
        let id = WorkerId(self.next_id);
        let identity = Digest::of(&token.0);
        self.by_identity.insert(identity, id);
        self.workers.insert(
            id,
            Worker {
                id,
                identity,
                connection: None,
                kind: hello.kind,
                software: String::new(),
                lanes: 1,
                classes: Vec::new(),
                preferred_run: None,
                run_id: None,
                ready: false,
                paused: None,
                diverged: false,
                params: None,
                leases: Vec::new(),
                revoked: VecDeque::new(),
                answers: VecDeque::new(),
                speed: Speed::default(),
                parked: BTreeMap::new(),
                moving: None,
                draining: false,
                answered_at: now,
                idle_since: now,
                passed_over: None,
                idle_notice: None,
                last_heard: now,
                last_ping: now,
                samples_accepted: 0,
                updates_rejected: 0,
                memory_mib: 0,
                gpu: false,
                credited: 0,
                credited_at: Timestamp(0),
                credit_changed: false,
            },
        );
        id
    }

    /// Binds a worker to a connection and takes over what it said of itself; gives the connection it had.
    pub(crate) fn connect(
        &mut self,
        now: Timestamp,
        id: WorkerId,
        connection: ConnectionId,
        hello: Hello,
    ) -> Option<ConnectionId> {
        let worker = self.workers.get_mut(&id)?;
        let replaced = worker.connection.replace(connection);
        worker.kind = hello.kind;
        worker.software = hello.software;
        worker.lanes = hello.lanes;
        worker.classes = hello.classes;
        worker.preferred_run = hello.run;
        worker.memory_mib = hello.memory_mib;
        worker.gpu = hello.gpu;
        worker.moving = None;
        worker.draining = false;
        worker.last_heard = now;
        worker.last_ping = now;
        worker.reset_run();
        if let Some(replaced) = replaced {
            self.by_connection.remove(&replaced);
        }
        self.by_connection.insert(connection, id);
        replaced
    }

    /// A connection is gone; gives its worker.
    pub(crate) fn disconnect(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
    ) -> Option<WorkerId> {
        let id = self.by_connection.remove(&connection)?;
        let worker = self.workers.get_mut(&id)?;
        worker.connection = None;
        worker.last_heard = now;
        worker.reset_run();
        Some(id)
    }

    /// Forgets a worker; its token is void.
    pub(crate) fn remove(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.remove(&id) {
            self.by_identity.remove(&worker.identity);
            if let Some(connection) = worker.connection {
                self.by_connection.remove(&connection);
            }
        }
    }
}

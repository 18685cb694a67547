//! What operators take away: workers' leases, identities' access, runs.

use tabswarm_model::digest::Digest;
use tabswarm_protocol::server::RefusalCode;
use tabswarm_protocol::{RunId, Timestamp, WorkerId};

use super::Coordinator;
use crate::effect::Effect;
use crate::event::Event;
use crate::limits::MAX_BANS;
use crate::registry::Worker;

/// An identity that may not work here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ban {
    /// In the operator's words; the worker is told.
    reason: String,
    /// It is over then; never if none.
    until: Option<Timestamp>,
}

impl Ban {
    fn message(&self) -> String {
        let until = match self.until {
            Some(_) => "for some time",
            None => "for good",
        };
        format!(
            "The operator has excluded this worker {until}: {}.",
            self.reason
        )
    }
}

impl Coordinator {
    /// Sends an identity away and keeps it out. What it was credited stays.
    pub(super) fn ban(
        &mut self,
        now: Timestamp,
        identity: Digest,
        until: Option<Timestamp>,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        self.bans
            .retain(|_, ban| ban.until.is_none_or(|until| now < until));
        if self.bans.len() >= MAX_BANS && !self.bans.contains_key(&identity) {
            return;
        }
        let ban = Ban { reason, until };
        let message = ban.message();
        self.bans.insert(identity, ban);
        let worker_id = self.registry.by_identity(identity);
        let worker = worker_id.and_then(|worker_id| self.registry.get(worker_id));
        if let Some(connection) = worker.and_then(|worker| worker.connection) {
            let code = RefusalCode::Unauthorized;
            self.cut(now, connection, code, message, effects);
        }
    }

    /// Lets an identity in again.
    pub(super) fn unban(&mut self, identity: Digest) {
        self.bans.remove(&identity);
    }

    /// What an identity is told that may not work here.
    pub(super) fn banned(&self, now: Timestamp, identity: Digest) -> Option<String> {
        let ban = self.bans.get(&identity)?;
        let holds = ban.until.is_none_or(|until| now < until);
        holds.then(|| ban.message())
    }

    /// A worker gets no more leases, and is sent away once it has answered those that it has.
    pub(super) fn drain(&mut self, now: Timestamp, worker_id: WorkerId, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.registry.get(worker_id)
            && worker.connection.is_some()
        {
            worker.draining = true;
            self.send_drained_away(now, effects);
        }
    }

    /// Draining workers that have nothing left to answer.
    pub(super) fn send_drained_away(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_done = |worker: &&Worker| worker.draining && worker.leases.is_empty();
        let workers = self.registry.workers.values();
        let done: Vec<_> = workers
            .filter(is_done)
            .filter_map(|worker| worker.connection)
            .collect();
        for connection in done {
            let message = "The operator has sent this worker away; all its work counts.".to_owned();
            let code = RefusalCode::Unauthorized;
            self.cut(now, connection, code, message, effects);
        }
    }

    /// Forgets a run that is over. Its workers go elsewhere.
    pub(super) fn remove_run(&mut self, now: Timestamp, run_id: RunId, effects: &mut Vec<Effect>) {
        if !self.may_remove(run_id) {
            return;
        }
        self.runs.remove(&run_id);
        let members = self.members(run_id);
        for worker in self.registry.workers.values_mut() {
            worker.forget_run(run_id);
        }
        for worker_id in members {
            self.assign(now, worker_id, effects);
        }
        effects.push(Effect::Event(Event::RunRemoved { run_id }));
    }

    /// Whether a run can be removed: it is over, and all that it did is stored.
    pub fn may_remove(&self, run_id: RunId) -> bool {
        let run = self.runs.get(&run_id);
        run.is_some_and(|run| run.phase().is_over() && run.may_be_replaced())
    }
}

//! What each message of the server means.

use tabswarm_protocol::server::{RefusalCode, RunAssignment, Verdict, Welcome};
use tabswarm_protocol::{ClientMessage, LeaseId, RunId, ServerMessage, Timestamp};

use super::link::Link;
use super::{LoadedRun, Session, Unanswered};
use crate::effect::Effect;
use crate::limits::SILENT_HEARTBEATS;
use crate::status::StopCode;

impl Session {
    pub(super) fn message(
        &mut self,
        now: Timestamp,
        message: ServerMessage,
        effects: &mut Vec<Effect>,
    ) {
        if self.stopped.is_some() {
            return;
        }
        self.heard(now);
        match (message, self.link) {
            (ServerMessage::Refused { code, message }, _) => {
                self.refused(now, code, message, effects);
            }
            (ServerMessage::Welcome(welcome), Link::Joining { .. }) => {
                self.welcome(now, &welcome, effects);
            }
            (message, Link::Up { .. }) => self.message_when_up(now, message, effects),
            // Before the welcome nothing else has a meaning; after the link is down it is history.
            _ => {}
        }
    }

    fn message_when_up(
        &mut self,
        now: Timestamp,
        message: ServerMessage,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            ServerMessage::Run(assignment) => self.assigned(assignment, effects),
            ServerMessage::Params(header) => {
                self.params_received(header.run_id, header.version, effects);
            }
            ServerMessage::Lease(lease) => self.leased(lease, effects),
            ServerMessage::Receipt { lease_id, verdict } => {
                self.receipt(now, lease_id, verdict, effects);
            }
            ServerMessage::Revoke { lease_id, .. } => self.drop_work(lease_id, effects),
            ServerMessage::Credited { samples } => self.stats.samples_credited = samples,
            ServerMessage::Idle { reason } => self.idle = Some(reason),
            ServerMessage::Ping { nonce } => {
                effects.push(Effect::Send(ClientMessage::Pong { nonce }));
            }
            ServerMessage::Restarting {
                reconnect_in_ms, ..
            } => {
                self.restart_in_ms = Some(u64::from(reconnect_in_ms));
                self.link_note = "The server is restarting.".into();
            }
            ServerMessage::Throttle { retry_in_ms } => {
                self.restart_in_ms = Some(u64::from(retry_in_ms));
                self.link_note = "The server asked this device to slow down.".into();
                self.drop_link(now, String::new(), effects);
            }
            ServerMessage::Welcome(_) | ServerMessage::Refused { .. } => {}
        }
    }

    fn welcome(&mut self, now: Timestamp, welcome: &Welcome, effects: &mut Vec<Effect>) {
        self.token = Some(welcome.resume_token);
        self.heartbeat_ms = u64::from(welcome.heartbeat_ms.clamp(100, 600_000));
        self.stats.samples_credited = welcome.credited_samples;
        self.link = Link::Up {
            silent_from: now + SILENT_HEARTBEATS * self.heartbeat_ms,
        };
        if !welcome.resumed {
            self.forget_unanswered(effects);
        }
        let kept = self.unanswered.iter().filter(|update| update.kept);
        effects.extend(kept.map(|&Unanswered { lease_id, .. }| Effect::ResendUpdate { lease_id }));
    }

    fn refused(
        &mut self,
        now: Timestamp,
        code: RefusalCode,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        let stop_code = match code {
            RefusalCode::VersionMismatch => StopCode::VersionMismatch,
            RefusalCode::UnknownRun
            | RefusalCode::Unsupported
            | RefusalCode::Unauthorized
            | RefusalCode::Replaced => StopCode::Refused,
            RefusalCode::ProtocolError
            | RefusalCode::Full
            | RefusalCode::TimedOut
            | RefusalCode::TooSlow => {
                self.drop_link(now, message, effects);
                return;
            }
        };
        // The server is about to close: no goodbye.
        effects.push(Effect::CloseSocket);
        self.link = Link::Down;
        self.stop(stop_code, message, effects);
    }

    fn assigned(&mut self, assignment: RunAssignment, effects: &mut Vec<Effect>) {
        self.drop_works(effects);
        self.newest_params = None;
        self.idle = None;
        self.announced_ready = false;
        self.run = Some(LoadedRun {
            id: assignment.run_id,
            loaded: false,
        });
        effects.push(Effect::LoadRun(assignment));
    }

    pub(super) fn run_loaded(&mut self, run_id: RunId) {
        if let Some(run) = self.run.as_mut().filter(|run| run.id == run_id) {
            run.loaded = true;
        }
    }

    pub(super) fn run_failed(
        &mut self,
        now: Timestamp,
        run_id: RunId,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        if self.run.is_some_and(|run| run.id == run_id) {
            self.drop_link(now, message, effects);
        }
    }

    fn receipt(
        &mut self,
        now: Timestamp,
        lease_id: LeaseId,
        verdict: Verdict,
        effects: &mut Vec<Effect>,
    ) {
        let known = self
            .unanswered
            .iter()
            .position(|update| update.lease_id == lease_id);
        let Some(unanswered) = known.map(|at| self.unanswered.remove(at)) else {
            return;
        };
        self.stats
            .answered(verdict, unanswered.samples, now.since_ms(self.started_at));
        if unanswered.kept {
            effects.push(Effect::ForgetUpdate { lease_id });
        }
        self.backoff.reset();
    }
}

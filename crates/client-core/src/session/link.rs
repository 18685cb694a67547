//! The connection: opening, losing, waiting, trying again.

use tabswarm_protocol::client::Hello;
use tabswarm_protocol::{ClientMessage, Timestamp};

use super::Session;
use crate::effect::Effect;
use crate::limits::{CONNECT_TIMEOUT_MS, SILENT_HEARTBEATS, WELCOME_TIMEOUT_MS};

/// State of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Down,
    Backoff { until: Timestamp },
    Connecting { give_up: Timestamp },
    Joining { give_up: Timestamp },
    Up { silent_from: Timestamp },
}

impl Link {
    pub(super) fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::Down => None,
            Self::Backoff { until } => Some(until),
            Self::Connecting { give_up } | Self::Joining { give_up } => Some(give_up),
            Self::Up { silent_from } => Some(silent_from),
        }
    }

    pub(super) fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub(super) fn is_backoff(self) -> bool {
        matches!(self, Self::Backoff { .. })
    }
}

impl Session {
    pub(super) fn advance_link(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.link.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.link {
            Link::Down => {}
            Link::Backoff { .. } => {
                if self.online && self.finish_by.is_none() {
                    self.link = Link::Connecting {
                        give_up: now + CONNECT_TIMEOUT_MS,
                    };
                    effects.push(Effect::Connect);
                }
            }
            Link::Connecting { .. } => {
                self.drop_link(now, "The server does not answer.".into(), effects);
            }
            Link::Joining { .. } => {
                self.drop_link(now, "The server does not greet back.".into(), effects);
            }
            Link::Up { .. } => {
                self.drop_link(now, "The server has gone silent.".into(), effects);
            }
        }
    }

    pub(super) fn socket_opened(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if !matches!(self.link, Link::Connecting { .. }) {
            // An attempt that was given up, or a session that is stopped.
            effects.push(Effect::CloseSocket);
            return;
        }
        self.link = Link::Joining {
            give_up: now + WELCOME_TIMEOUT_MS,
        };
        self.announced_lanes = self.working_lanes();
        effects.push(Effect::Send(ClientMessage::Hello(Hello {
            kind: self.config.kind,
            software: self.config.software.clone(),
            run: self.config.run.clone(),
            resume: self.token,
            join_token: self.config.join_token,
            lanes: self.announced_lanes,
            classes: self.config.classes.clone(),
            memory_mib: self.config.memory_mib,
            gpu: self.config.gpu,
        })));
    }

    pub(super) fn socket_closed(
        &mut self,
        now: Timestamp,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.link, Link::Down | Link::Backoff { .. }) {
            self.back_off(now, reason, effects);
        }
    }

    /// Closes the socket and waits before the next attempt.
    pub(super) fn drop_link(&mut self, now: Timestamp, reason: String, effects: &mut Vec<Effect>) {
        effects.push(Effect::CloseSocket);
        self.back_off(now, reason, effects);
    }

    fn back_off(&mut self, now: Timestamp, reason: String, effects: &mut Vec<Effect>) {
        self.drop_works(effects);
        self.connection_state_reset();
        let wait_ms = match self.restart_in_ms.take() {
            Some(restart_in_ms) => self.backoff.after_restart_ms(restart_in_ms),
            None => {
                self.link_note = reason;
                self.backoff.next_ms()
            }
        };
        self.link = Link::Backoff {
            until: now + wait_ms,
        };
    }

    /// Forgets what held for one connection only.
    pub(super) fn connection_state_reset(&mut self) {
        self.idle = None;
        self.announced_ready = false;
        self.run = None;
        self.newest_params = None;
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        if let Link::Up { silent_from } = &mut self.link {
            *silent_from = now + SILENT_HEARTBEATS * self.heartbeat_ms;
        }
    }

    pub(super) fn retry_now(&mut self, now: Timestamp) {
        if let Link::Backoff { until } = &mut self.link {
            *until = now;
            self.backoff.reset();
        }
    }

    pub(super) fn set_online(&mut self, now: Timestamp, online: bool) {
        let back = online && !self.online;
        self.online = online;
        if back && self.link.is_backoff() {
            self.backoff.reset();
            self.link = Link::Backoff {
                until: now + self.backoff.next_ms(),
            };
        }
    }
}

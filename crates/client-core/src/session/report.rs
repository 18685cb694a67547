//! The session in words and figures.

use tabswarm_protocol::Timestamp;
use tabswarm_protocol::client::PauseReason;
use tabswarm_protocol::server::IdleReason;

use super::Session;
use super::link::Link;
use crate::status::{State, Status};
use crate::work::Work;

/// A worker between two leases counts as computing for so long: leases take milliseconds, and a state that
/// flickers tells nothing.
const BETWEEN_LEASES_MS: u64 = 1_500;

impl Session {
    /// The session at a moment.
    pub fn status(&self, now: Timestamp) -> Status {
        let (state, reason) = self.state(now);
        let retry_in_ms = match self.link {
            Link::Backoff { until } if self.stopped.is_none() => Some(until.since_ms(now)),
            _ => None,
        };
        let lanes = self.working_lanes();
        Status {
            state,
            reason,
            pause_reason: self.pause.filter(|_| state == State::Paused),
            retry_in_ms,
            stop_code: self.stopped.as_ref().map(|(code, _)| *code),
            run_finished: self.idle == Some(IdleReason::RunFinished),
            version: self.newest_params.map_or(0, |(_, version)| version.0),
            lease: self.works.first().map(Work::progress),
            lanes,
            samples_per_s: self.stats.samples_per_s(now),
            busy_ratio: self.stats.busy_ratio(now, lanes),
            stats: self.stats.clone(),
        }
    }

    fn state(&self, now: Timestamp) -> (State, Option<String>) {
        if let Some((_, message)) = &self.stopped {
            return (State::Stopped, Some(message.clone()));
        }
        let say = |text: &str| Some(text.to_owned());
        match self.link {
            Link::Down | Link::Backoff { .. } if !self.online => {
                return (State::Backoff, say("This device is offline."));
            }
            Link::Down | Link::Backoff { .. } => {
                return (State::Backoff, Some(self.link_note.clone()));
            }
            Link::Connecting { .. } => {
                return (State::Connecting, say("Connecting to the server."));
            }
            Link::Joining { .. } => {
                return (
                    State::Joining,
                    say("Introducing this device to the server."),
                );
            }
            Link::Up { .. } => {}
        }
        if let Some(reason) = self.pause {
            return (State::Paused, say(explain_pause(reason)));
        }
        if self.works.iter().any(|work| work.data_ready) {
            return (State::Computing, None);
        }
        let loading = match self.run {
            None => false,
            Some(run) => !run.loaded || !self.works.is_empty(),
        };
        if loading {
            return (
                State::Loading,
                say("Loading the model and the training data."),
            );
        }
        let recent = self
            .last_computed
            .is_some_and(|at| now.since_ms(at) < BETWEEN_LEASES_MS);
        match self.idle {
            None | Some(IdleReason::StepTail) if recent => (State::Computing, None),
            Some(reason) => (State::Idle, say(reason.explain())),
            None => (State::Idle, say("Waiting for the server to hand out work.")),
        }
    }
}

fn explain_pause(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::User => "You have paused this device.",
        PauseReason::Hidden => "Paused because the page is hidden.",
        PauseReason::OnBattery => "Paused because the device runs on battery.",
        PauseReason::BatteryLow => "Paused because the battery is low.",
        PauseReason::DataCap => "Paused because your data limit is reached.",
        PauseReason::EngineRestart => "Paused while the engine starts again.",
    }
}

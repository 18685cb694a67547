//! How a worker shows what it does: a bar on a terminal, log lines elsewhere.

use std::fmt;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tabswarm_client_core::{State, Status};
use tracing::{info, warn};

use crate::address::ServerAddress;
use crate::format::{count, rate, thousands};
use crate::limits::{LOG_INTERVAL, LOG_WAITING_AFTER};
use crate::summary::RunProgress;

/// A worker at a moment.
#[derive(Debug)]
pub struct View<'a> {
    /// The server.
    pub server: &'a ServerAddress,
    /// The session.
    pub status: Status,
    /// The run, once it is loaded.
    pub run: Option<RunProgress>,
}

/// Shows a worker to its owner.
pub trait Report: Send + fmt::Debug {
    /// Called several times a second, and when something changed.
    fn show(&mut self, view: &View<'_>);

    /// Called once at the end.
    fn close(&mut self) {}
}

/// Shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Report for Silent {
    fn show(&mut self, _view: &View<'_>) {}
}

/// A progress bar on standard error.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// An empty bar.
    pub fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix}{wide_bar} {msg}")
            .expect("the template is well-formed")
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        bar.set_style(style);
        Self { bar }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Report for Bar {
    fn show(&mut self, view: &View<'_>) {
        if let Some(run) = &view.run {
            self.bar.set_length(run.steps_total);
            self.bar.set_position(run.version);
            self.bar.set_prefix(format!(
                "{} step {}/{} ",
                run.name, run.version, run.steps_total
            ));
        }
        self.bar.set_message(bar_message(&view.status));
        self.bar.tick();
    }

    fn close(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar_message(status: &Status) -> String {
    if status.state == State::Computing {
        return format!(
            "{} samples/s · {} accepted · computing",
            rate(status.samples_per_s),
            thousands(status.stats.updates_accepted),
        );
    }
    sentence(status)
}

/// Why a session is not computing, and when it tries again.
fn sentence(status: &Status) -> String {
    let reason = status.reason.as_deref().unwrap_or("Waiting.");
    match status.retry_in_ms {
        Some(ms) => format!(
            "{reason} Next attempt in {}.",
            count(ms.div_ceil(1_000), "second")
        ),
        None => reason.to_owned(),
    }
}

/// Log lines: one when the state changes in a way that matters, one every few seconds.
#[derive(Debug, Default)]
pub struct Log {
    /// The state and reason that the last line about them told.
    told: Option<(State, Option<String>)>,
    /// The present state and reason, and since when they hold.
    present: Option<((State, Option<String>), Instant)>,
    next_line: Option<Instant>,
    has_joined: bool,
    logged_run: Option<String>,
}

impl Report for Log {
    fn show(&mut self, view: &View<'_>) {
        self.log_run(view);
        self.log_state(view);
        self.log_progress(view);
    }
}

impl Log {
    fn log_run(&mut self, view: &View<'_>) {
        let Some(run) = &view.run else {
            return;
        };
        if self.logged_run.as_deref() != Some(&run.name) {
            self.logged_run = Some(run.name.clone());
            info!(
                run = run.name,
                step = run.version,
                steps_total = run.steps_total,
                "run loaded"
            );
        }
    }

    fn log_state(&mut self, view: &View<'_>) {
        let status = &view.status;
        let now = Instant::now();
        let state = (status.state, status.reason.clone());
        let since = match &self.present {
            Some((present, since)) if *present == state => *since,
            _ => now,
        };
        self.present = Some((state.clone(), since));
        if !self.log_joined(view) || self.told.as_ref() == Some(&state) {
            return;
        }
        let (server, reason) = (view.server, sentence(status));
        match status.state {
            State::Backoff => warn!(%server, reason, "not connected"),
            State::Computing => info!("computing"),
            State::Loading | State::Idle | State::Paused => {
                if now - since < LOG_WAITING_AFTER {
                    return;
                }
                info!(state = status.state.as_str(), reason, "waiting");
            }
            State::Connecting | State::Joining | State::Stopped => return,
        }
        self.told = Some(state);
    }

    /// Notes the beginning and the end of a connection; false where there is nothing else to tell.
    fn log_joined(&mut self, view: &View<'_>) -> bool {
        let server = view.server;
        match view.status.state {
            State::Backoff => self.has_joined = false,
            // Joining takes milliseconds, and the end has its own line. A failed attempt is told again.
            State::Connecting | State::Joining | State::Stopped => {
                self.has_joined = false;
                self.told = None;
                return false;
            }
            _ if !self.has_joined => {
                self.has_joined = true;
                info!(%server, lanes = view.status.lanes, "joined");
            }
            _ => {}
        }
        true
    }

    fn log_progress(&mut self, view: &View<'_>) {
        let now = Instant::now();
        let due = *self.next_line.get_or_insert(now + LOG_INTERVAL);
        let (Some(run), State::Computing) = (&view.run, view.status.state) else {
            return;
        };
        if now < due {
            return;
        }
        self.next_line = Some(now + LOG_INTERVAL);
        let status = &view.status;
        info!(
            run = run.name,
            step = run.version,
            steps_total = run.steps_total,
            samples_per_s = rate(status.samples_per_s),
            updates_accepted = status.stats.updates_accepted,
            updates_rejected = status.stats.rejections.values().sum::<u64>(),
            samples_credited = status.stats.samples_credited,
            "progress"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tabswarm_client_core::Stats;

    fn status(state: State, reason: Option<&str>, retry_in_ms: Option<u64>) -> Status {
        let mut stats = Stats::default();
        stats.updates_accepted = 1_096;
        Status {
            state,
            reason: reason.map(str::to_owned),
            pause_reason: None,
            retry_in_ms,
            stop_code: None,
            run_finished: false,
            version: 7,
            lease: None,
            lanes: 2,
            samples_per_s: 12_345.6,
            busy_ratio: 0.5,
            stats,
        }
    }

    #[test]
    fn a_computing_worker_shows_its_speed() {
        let message = bar_message(&status(State::Computing, None, None));
        assert_eq!(message, "12,346 samples/s · 1,096 accepted · computing");
    }

    #[test]
    fn a_waiting_worker_says_why_and_when_it_tries_again() {
        let lost = status(
            State::Backoff,
            Some("Cannot reach http://a:1: refused."),
            Some(1_200),
        );
        assert_eq!(
            bar_message(&lost),
            "Cannot reach http://a:1: refused. Next attempt in 2 seconds."
        );
        let idle = status(State::Idle, Some("The run is finished. Thank you!"), None);
        assert_eq!(bar_message(&idle), "The run is finished. Thank you!");
    }
}

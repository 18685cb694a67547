//! The session itself: what each input means, and what follows from where things stand.
//!
//! Inputs change the state; [`Session::advance`] then looks at the whole state and does whatever is due. So no
//! path can forget to hand out the next task or to announce a pause.

mod lanes;
mod leases;
mod link;
mod messages;
mod report;

use tabswarm_protocol::client::PauseReason;
use tabswarm_protocol::server::IdleReason;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId, Timestamp, Token};

use crate::backoff::Backoff;
use crate::effect::Effect;
use crate::input::{Config, Input};
use crate::limits::FINISH_TIMEOUT_MS;
use crate::pace::Pace;
use crate::stats::Stats;
use crate::status::StopCode;
use crate::work::Work;
use lanes::Lane;
use link::Link;

/// A worker's session with one server.
#[derive(Debug)]
pub struct Session {
    config: Config,
    link: Link,
    stopped: Option<(StopCode, String)>,
    started_at: Timestamp,
    token: Option<Token>,
    heartbeat_ms: u64,
    online: bool,
    /// The wait that a restarting server asked for.
    restart_in_ms: Option<u64>,
    /// Why the link is down, for the owner.
    link_note: String,
    run: Option<LoadedRun>,
    /// The parameters of leases to come, as this connection brought them.
    newest_params: Option<(RunId, ParamVersion)>,
    /// All parameters that are here.
    params: Vec<(RunId, ParamVersion)>,
    /// Leases in progress, oldest first.
    works: Vec<Work>,
    /// Updates without a receipt, oldest first: receipts come when a step is durable, and work goes on
    /// meanwhile.
    unanswered: Vec<Unanswered>,
    lanes: Vec<Lane>,
    /// As the server knows it.
    announced_lanes: u16,
    pause: Option<PauseReason>,
    /// Whether the server thinks that this worker wants leases.
    announced_ready: bool,
    finish_by: Option<Timestamp>,
    idle: Option<IdleReason>,
    last_computed: Option<Timestamp>,
    backoff: Backoff,
    pace: Pace,
    stats: Stats,
}

#[derive(Debug, Clone, Copy)]
struct LoadedRun {
    id: RunId,
    loaded: bool,
}

#[derive(Debug, Clone, Copy)]
struct Unanswered {
    lease_id: LeaseId,
    samples: u32,
    /// The owner still has it and can send it again.
    kept: bool,
}

impl Session {
    /// A session that does nothing before [`Input::Start`].
    pub fn new(config: Config) -> Self {
        let not_started = (StopCode::NotStarted, "Not started.".to_owned());
        Self {
            link: Link::Down,
            stopped: Some(not_started),
            started_at: Timestamp(0),
            token: None,
            heartbeat_ms: 5_000,
            online: true,
            restart_in_ms: None,
            link_note: String::new(),
            run: None,
            newest_params: None,
            params: Vec::new(),
            works: Vec::new(),
            unanswered: Vec::new(),
            lanes: vec![Lane::default(); usize::from(config.lanes.max(1))],
            announced_lanes: 0,
            pause: None,
            announced_ready: false,
            finish_by: None,
            idle: None,
            last_computed: None,
            backoff: Backoff::new(config.seed),
            pace: Pace::new(config.duty_percent),
            stats: Stats::default(),
            config,
        }
    }

    /// Takes an input and appends what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Start => self.start(now, effects),
            Input::SocketOpened => self.socket_opened(now, effects),
            Input::SocketClosed { reason } => self.socket_closed(now, reason, effects),
            Input::Message(message) => self.message(now, message, effects),
            Input::RunLoaded { run_id } => self.run_loaded(run_id),
            Input::RunFailed { run_id, message } => self.run_failed(now, run_id, message, effects),
            Input::DataReady { lease_id } => self.data_ready(lease_id),
            Input::DataFailed { lease_id, message } => {
                self.data_failed(now, lease_id, message, effects);
            }
            Input::TaskDone(result) => self.task_done(now, &result, effects),
            Input::Pause(reason) => self.pause = Some(reason),
            Input::Resume => self.pause = None,
            Input::Finish => {
                self.pause = None;
                self.finish_by.get_or_insert(now + FINISH_TIMEOUT_MS);
            }
            Input::RetryNow => self.retry_now(now),
            Input::Online(online) => self.set_online(now, online),
            Input::SetDuty(duty_percent) => self.pace.set_duty(duty_percent),
            Input::SetLanes(lanes) => self.set_lanes(lanes, effects),
            Input::LaneLost { lane, message } => self.lane_failed(lane, &message, effects),
            Input::Tick => {}
        }
        self.advance(now, effects);
    }

    /// The token that names this worker to the server; none before it was welcome and after it said goodbye.
    pub fn token(&self) -> Option<Token> {
        self.token
    }

    /// When to call again if nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.stopped.is_some() {
            return None;
        }
        // A paused lease waits for its lanes' results, not for the clock.
        let is_resting = self.pause.is_none() && self.has_waiting_work();
        let free = self
            .lanes
            .iter()
            .filter(|lane| is_resting && !lane.busy && !lane.is_retired());
        let rests = free.map(|lane| lane.rest_until);
        let link = self
            .link
            .deadline()
            .filter(|_| self.online || !self.link.is_backoff());
        rests.chain(link).chain(self.finish_by).min()
    }

    fn start(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.stopped.take().is_none() {
            return;
        }
        self.started_at = now;
        self.finish_by = None;
        self.pause = None;
        self.revive_lanes(effects);
        self.link = Link::Backoff { until: now };
    }

    /// Does whatever is due.
    fn advance(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.stopped.is_some() {
            return;
        }
        self.advance_link(now, effects);
        self.advance_works(now, effects);
        self.announce_lanes(effects);
        self.announce(effects);
        self.advance_finish(now, effects);
    }

    /// Tells the server whether this worker wants leases, when that changed.
    fn announce(&mut self, effects: &mut Vec<Effect>) {
        let Some(run) = self.run.filter(|run| run.loaded && self.link.is_up()) else {
            return;
        };
        match self.pause {
            Some(reason) if self.announced_ready && self.works.is_empty() => {
                self.announced_ready = false;
                effects.push(Effect::Send(ClientMessage::Pause { reason }));
            }
            None if !self.announced_ready && self.finish_by.is_none() => {
                self.announced_ready = true;
                let run_id = run.id;
                effects.push(Effect::Send(ClientMessage::Ready { run_id }));
            }
            _ => {}
        }
    }

    fn advance_finish(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(finish_by) = self.finish_by else {
            return;
        };
        let nothing_open = self.works.is_empty() && self.unanswered.is_empty();
        if nothing_open || now >= finish_by || !self.link.is_up() {
            let message = "Finished. Thank you for your help!".to_owned();
            self.stop(StopCode::Finished, message, effects);
        }
    }

    /// Ends the session; a new start begins a new one with the same counts.
    fn stop(&mut self, code: StopCode, message: String, effects: &mut Vec<Effect>) {
        self.drop_works(effects);
        self.forget_unanswered(effects);
        if self.link.is_up() {
            effects.push(Effect::Send(ClientMessage::Goodbye));
            self.token = None;
        }
        if !matches!(self.link, Link::Down | Link::Backoff { .. }) {
            effects.push(Effect::CloseSocket);
        }
        self.link = Link::Down;
        self.connection_state_reset();
        self.stopped = Some((code, message));
    }

    fn forget_unanswered(&mut self, effects: &mut Vec<Effect>) {
        let kept = self.unanswered.drain(..).filter(|update| update.kept);
        effects.extend(kept.map(|Unanswered { lease_id, .. }| Effect::ForgetUpdate { lease_id }));
    }
}

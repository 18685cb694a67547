//! The session itself: what each input means, and what follows from where things stand.
//!
//! Inputs change the state; [`Session::advance`] then looks at the whole state and does whatever is due. So no
//! path can forget to hand out the next task or to announce a pause.

mod lanes;
mod link;
mod messages;
mod report;

use tabswarm_protocol::client::{PauseReason, ReleaseReason};
use tabswarm_protocol::server::IdleReason;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId, Timestamp, Token};

use crate::backoff::Backoff;
use crate::effect::Effect;
use crate::input::{Config, Input, TaskFault, TaskResult};
use crate::limits::{FINISH_TIMEOUT_MS, MAX_KEPT_UPDATES, MAX_UNANSWERED};
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
    params: Option<(RunId, ParamVersion)>,
    work: Option<Work>,
    /// Updates without a receipt, oldest first: receipts come when a step is durable, and work goes on
    /// meanwhile.
    unanswered: Vec<Unanswered>,
    lanes: Vec<Lane>,
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
            params: None,
            work: None,
            unanswered: Vec::new(),
            lanes: vec![Lane::default(); usize::from(config.lanes.max(1))],
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

    /// When to call again if nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.stopped.is_some() {
            return None;
        }
        // A paused lease waits for its lanes' results, not for the clock.
        let resting = self
            .work
            .as_ref()
            .filter(|work| self.pause.is_none() && work.data_ready && work.waiting() > 0);
        let rests = resting.into_iter().flat_map(|_| {
            self.lanes
                .iter()
                .filter(|lane| !lane.busy && !lane.is_retired())
                .map(|lane| lane.rest_until)
        });
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
        self.advance_work(now, effects);
        self.announce(effects);
        self.advance_finish(now, effects);
    }

    fn advance_work(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let lanes = self.working_lanes();
        let Some(work) = &mut self.work else {
            return;
        };
        if self.pause.is_none() && work.data_ready {
            for (lane_idx, lane) in (0..).zip(&mut self.lanes) {
                if lane.busy || lane.is_retired() || lane.rest_until > now {
                    continue;
                }
                let size = self.pace.task_size(work.waiting(), lanes);
                let Some(task) = work.take(lane_idx, size) else {
                    break;
                };
                lane.busy = true;
                effects.push(Effect::Compute {
                    lane: lane_idx,
                    task,
                });
            }
        }
        let ended = work.is_complete() || (self.pause.is_some() && !work.in_flight());
        if ended {
            self.end_work(effects);
        }
    }

    /// Answers the lease with what is done of it.
    fn end_work(&mut self, effects: &mut Vec<Effect>) {
        let Some(work) = self.work.take() else {
            return;
        };
        let lease_id = work.lease_id();
        if work.done() == 0 {
            let reason = ReleaseReason::Paused;
            effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
            effects.push(Effect::DropLease { lease_id });
            return;
        }
        let update = work.update();
        self.forget_oldest_update(effects);
        self.unanswered.push(Unanswered {
            lease_id,
            samples: update.samples,
            kept: true,
        });
        effects.push(Effect::SendUpdate(update));
    }

    /// Makes room for one more update.
    fn forget_oldest_update(&mut self, effects: &mut Vec<Effect>) {
        if self.unanswered.len() >= MAX_UNANSWERED {
            self.unanswered.remove(0);
        }
        let n_kept = self.unanswered.iter().filter(|update| update.kept).count();
        if n_kept >= MAX_KEPT_UPDATES
            && let Some(oldest) = self.unanswered.iter_mut().find(|update| update.kept)
        {
            oldest.kept = false;
            let lease_id = oldest.lease_id;
            effects.push(Effect::ForgetUpdate { lease_id });
        }
    }

    /// Gives the lease back, for a reason.
    fn release(&mut self, reason: ReleaseReason, effects: &mut Vec<Effect>) {
        if let Some(work) = self.work.take() {
            let lease_id = work.lease_id();
            effects.push(Effect::Send(ClientMessage::Release { lease_id, reason }));
            effects.push(Effect::DropLease { lease_id });
        }
    }

    /// Forgets the lease without telling the server.
    fn drop_work(&mut self, effects: &mut Vec<Effect>) {
        if let Some(work) = self.work.take() {
            let lease_id = work.lease_id();
            effects.push(Effect::DropLease { lease_id });
        }
    }

    /// Tells the server whether this worker wants leases, when that changed.
    fn announce(&mut self, effects: &mut Vec<Effect>) {
        let Some(run) = self.run.filter(|run| run.loaded && self.link.is_up()) else {
            return;
        };
        match self.pause {
            Some(reason) if self.announced_ready && self.work.is_none() => {
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
        let nothing_open = self.work.is_none() && self.unanswered.is_empty();
        if nothing_open || now >= finish_by || !self.link.is_up() {
            let message = "Finished. Thank you for your help!".to_owned();
            self.stop(StopCode::Finished, message, effects);
        }
    }

    /// Ends the session; a new start begins a new one with the same counts.
    fn stop(&mut self, code: StopCode, message: String, effects: &mut Vec<Effect>) {
        self.drop_work(effects);
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

    fn data_ready(&mut self, lease_id: LeaseId) {
        if let Some(work) = self
            .work
            .as_mut()
            .filter(|work| work.lease_id() == lease_id)
        {
            work.data_ready = true;
        }
    }

    fn data_failed(
        &mut self,
        now: Timestamp,
        lease_id: LeaseId,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        if self
            .work
            .as_ref()
            .is_some_and(|work| work.lease_id() == lease_id)
        {
            self.release(ReleaseReason::DataUnavailable, effects);
            self.drop_link(now, message, effects);
        }
    }

    fn task_done(&mut self, now: Timestamp, result: &TaskResult, effects: &mut Vec<Effect>) {
        let rest_until = self.pace_task(now, result);
        if let Some(lane) = self.lanes.get_mut(usize::from(result.lane)) {
            lane.busy = false;
            lane.rest_until = rest_until;
        }
        let had_it = self
            .work
            .as_mut()
            .filter(|work| work.lease_id() == result.lease_id)
            .is_some_and(|work| work.end_flight(result));
        match &result.outcome {
            Err(TaskFault::Engine { message }) => {
                // Another lane takes the micro-batches, unless the lease is over.
                if let Some(work) = self.work.as_mut().filter(|_| had_it) {
                    work.give_back(result);
                }
                self.lane_failed(result.lane, message, effects);
            }
            _ if !had_it => {}
            Ok(()) => self.task_finished(now, result),
            Err(TaskFault::Overflow { fits }) => {
                let (lease_id, fits) = (result.lease_id, fits.clone());
                self.drop_work(effects);
                effects.push(Effect::Send(ClientMessage::Overflow { lease_id, fits }));
            }
        }
    }

    fn task_finished(&mut self, now: Timestamp, result: &TaskResult) {
        if let Some(work) = &mut self.work {
            work.finish(result);
        }
        self.last_computed = Some(now);
        self.stats.computed(now, result.samples, result.elapsed_us);
        if let Some(lane) = self.lanes.get_mut(usize::from(result.lane)) {
            lane.failures = 0;
        }
    }

    fn pace_task(&mut self, now: Timestamp, result: &TaskResult) -> Timestamp {
        match result.outcome {
            Ok(()) => self
                .pace
                .task_done(now, result.range.count, result.elapsed_us),
            Err(_) => now,
        }
    }
}

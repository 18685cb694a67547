//! The lanes: which are at work, and what becomes of those that fail.
//!
//! A lane that fails costs its task, which another lane computes again, and is replaced. One that fails again and
//! again is retired and the others go on; the last one takes the session with it.

use tabswarm_protocol::ClientMessage;
use tabswarm_protocol::Timestamp;
use tabswarm_protocol::client::ReleaseReason;

use super::Session;
use crate::effect::Effect;
use crate::limits::{FORGIVING_TASKS, MAX_LANE_FAILURES};
use crate::status::StopCode;

/// What the session knows of a lane.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lane {
    pub(super) busy: bool,
    pub(super) rest_until: Timestamp,
    /// Tasks without failure that would make up for its failures.
    debt: u32,
}

impl Lane {
    /// Whether it failed too often and gets no more work.
    pub(super) fn is_retired(self) -> bool {
        self.debt > (MAX_LANE_FAILURES - 1) * FORGIVING_TASKS
    }

    /// It did a task.
    pub(super) fn succeeded(&mut self) {
        self.debt = self.debt.saturating_sub(1);
    }

    fn failed(&mut self) {
        self.debt = self.debt.saturating_add(FORGIVING_TASKS);
    }
}

impl Session {
    /// Lanes that are not retired.
    pub(super) fn working_lanes(&self) -> u16 {
        let working = self.lanes.iter().filter(|lane| !lane.is_retired());
        u16::try_from(working.count()).expect("lanes are counted in u16")
    }

    /// Changes the number of lanes. Those that were retired get another chance: their owner may have changed
    /// what made them fail.
    pub(super) fn set_lanes(&mut self, lanes: u16, effects: &mut Vec<Effect>) {
        self.lanes
            .resize(usize::from(lanes.max(1)), Lane::default());
        self.revive_lanes(effects);
    }

    /// Tells the server how many lanes there are, when that changed.
    pub(super) fn announce_lanes(&mut self, effects: &mut Vec<Effect>) {
        let lanes = self.working_lanes();
        if self.link.is_up() && lanes != self.announced_lanes {
            self.announced_lanes = lanes;
            effects.push(Effect::Send(ClientMessage::Lanes { lanes }));
        }
    }

    /// Gives all lanes all attempts again.
    pub(super) fn revive_lanes(&mut self, effects: &mut Vec<Effect>) {
        for (lane_idx, lane) in (0..).zip(&mut self.lanes) {
            if lane.is_retired() {
                effects.push(Effect::RestartLane { lane: lane_idx });
            }
            lane.debt = 0;
        }
    }

    /// Replaces a lane that failed, or retires it.
    pub(super) fn lane_failed(&mut self, lane_idx: u16, message: &str, effects: &mut Vec<Effect>) {
        let lane = self.lanes.get_mut(usize::from(lane_idx));
        // A session that is stopped has no use for it; a new start tries it again.
        let Some(lane) = lane.filter(|_| self.stopped.is_none()) else {
            return;
        };
        lane.failed();
        let is_retired = lane.is_retired();
        self.lose_shard(lane_idx);
        if !is_retired {
            effects.push(Effect::RestartLane { lane: lane_idx });
            return;
        }
        effects.push(Effect::RetireLane {
            lane: lane_idx,
            message: format!("Lane {lane_idx} keeps failing and gets no more work: {message}"),
        });
        if self.working_lanes() == 0 {
            self.release_all(ReleaseReason::EngineFailed, effects);
            let message = match self.lanes.len() {
                1 => format!("The engine keeps failing: {message}"),
                lanes => format!("Each of the {lanes} lanes keeps failing: {message}"),
            };
            self.stop(StopCode::EngineFailed, message, effects);
        }
    }
}

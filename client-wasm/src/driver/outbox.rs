//! Updates that were sent and not answered yet: a new connection may have to send them again.

use std::collections::VecDeque;

use tabswarm_client_core::limits::MAX_KEPT_UPDATES;
use tabswarm_protocol::LeaseId;

/// The frames of unanswered updates.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    updates: VecDeque<(LeaseId, Vec<Vec<u8>>)>,
}

impl Outbox {
    /// Keeps an update's frames.
    pub(crate) fn keep(&mut self, lease_id: LeaseId, frames: Vec<Vec<u8>>) {
        if self.updates.len() == MAX_KEPT_UPDATES {
            self.updates.pop_front();
        }
        self.updates.push_back((lease_id, frames));
    }

    /// The frames of a lease's update; none where it was answered.
    pub(crate) fn frames(&self, lease_id: LeaseId) -> &[Vec<u8>] {
        let found = self.updates.iter().find(|(kept, _)| *kept == lease_id);
        found.map_or(&[], |(_, frames)| frames)
    }

    /// Forgets an answered update.
    pub(crate) fn forget(&mut self, lease_id: LeaseId) {
        self.updates.retain(|(kept, _)| *kept != lease_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_kept_until_answered_and_never_too_many() {
        let mut outbox = Outbox::default();
        for id in 1..=5 {
            outbox.keep(LeaseId(u64::from(id)), vec![vec![id]]);
        }
        assert!(outbox.frames(LeaseId(1)).is_empty());
        assert_eq!(outbox.frames(LeaseId(3)), [vec![3]]);
        assert_eq!(outbox.frames(LeaseId(5)), [vec![5]]);
        outbox.forget(LeaseId(3));
        assert!(outbox.frames(LeaseId(3)).is_empty());
        assert_eq!(outbox.frames(LeaseId(2)), [vec![2]]);
    }
}

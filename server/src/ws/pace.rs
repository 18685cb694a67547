//! How fast a socket is read: a worker that sends more than its share is slowed down, not punished.

use std::time::{Duration, Instant};

use crate::limits::{WS_BYTES_PER_S, WS_MESSAGES_PER_S};

/// What may be used in one go after a quiet time, in seconds' worth.
const BURST: Duration = Duration::from_secs(2);

/// The allowance of one socket: a point in time up to which it is used.
#[derive(Debug)]
pub(super) struct Pace {
    used_until: Instant,
}

impl Pace {
    /// A full allowance.
    pub(super) fn new(now: Instant) -> Self {
        Self { used_until: now }
    }

    /// Charges a message; returns when the next one may be read, if that is not now.
    pub(super) fn charge(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let cost = Duration::from_secs(1) / WS_MESSAGES_PER_S
            + Duration::from_secs(1).mul_f64(f64::from(bytes) / f64::from(WS_BYTES_PER_S));
        self.used_until = self.used_until.max(now) + cost;
        let resume_at = self.used_until.checked_sub(BURST)?;
        (resume_at > now).then_some(resume_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for n in 0..WS_MESSAGES_PER_S * 2 {
            assert_eq!(pace.charge(start, 0), None, "message {n}");
        }
        let resume_at = pace.charge(start, 0).unwrap();
        assert!(resume_at - start <= Duration::from_secs(1) / WS_MESSAGES_PER_S * 2);
        let later = start + Duration::from_secs(10);
        assert_eq!(pace.charge(later, 0), None);
    }

    #[test]
    fn bytes_count_too() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.charge(start, WS_BYTES_PER_S as usize), None);
        let resume_at = pace.charge(start, WS_BYTES_PER_S as usize * 2).unwrap();
        assert!((resume_at - start).abs_diff(Duration::from_secs(1)) < Duration::from_millis(10));
    }
}

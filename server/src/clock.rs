//! The server's monotonic clock, as the coordinator sees time.

use std::time::{Duration, Instant};

use tabswarm_protocol::Timestamp;

/// Milliseconds since the server started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time.
    pub(crate) fn now(self) -> Timestamp {
        Timestamp(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When a timestamp will be.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        self.start + Duration::from_millis(at.0)
    }
}

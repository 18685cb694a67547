//! Waits between connection attempts: exponential with full jitter, so that a thousand workers that lost the
//! same server do not come back in the same second (Brooker, "Exponential backoff and jitter", 2015).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::limits::{BACKOFF_BASE_MS, BACKOFF_CAP_MS, BACKOFF_FLOOR_MS};

/// The state of the waits.
#[derive(Debug)]
pub(crate) struct Backoff {
    rng: ChaCha8Rng,
    attempts: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            attempts: 0,
        }
    }

    /// The wait before the next attempt.
    pub(crate) fn next_ms(&mut self) -> u64 {
        let bound = BACKOFF_BASE_MS
            .saturating_mul(1 << self.attempts.min(16))
            .min(BACKOFF_CAP_MS);
        self.attempts += 1;
        BACKOFF_FLOOR_MS.max(self.below(bound))
    }

    /// The wait that a restarting server asked for, plus a random part of as much again.
    pub(crate) fn after_restart_ms(&mut self, reconnect_in_ms: u64) -> u64 {
        reconnect_in_ms + self.below(reconnect_in_ms)
    }

    /// The connection proved useful.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(1);
        for attempt in 0..40 {
            let bound = BACKOFF_CAP_MS.min(BACKOFF_BASE_MS << attempt.min(20));
            let wait = backoff.next_ms();
            assert!(
                (BACKOFF_FLOOR_MS..=bound).contains(&wait),
                "{attempt}: {wait}"
            );
        }
        backoff.reset();
        assert!(backoff.next_ms() <= BACKOFF_BASE_MS);
    }

    #[test]
    fn workers_spread_over_the_whole_interval() {
        let waits: Vec<u64> = (0..100)
            .map(|seed| Backoff::new(seed).after_restart_ms(1_000))
            .collect();
        assert!(waits.iter().all(|wait| (1_000..2_000).contains(wait)));
        let early = waits.iter().filter(|&&wait| wait < 1_500).count();
        assert!((30..70).contains(&early), "{early}");
    }
}

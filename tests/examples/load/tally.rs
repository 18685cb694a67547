//! What all workers did, added up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// Different errors that are told; their number is counted in any case.
const MAX_ERRORS_TOLD: usize = 8;

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of a swarm.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ready: Count,
    /// In thousandths, as leases are cut off anywhere.
    pub(crate) computed_millisamples: Count,
    pub(crate) acknowledged: Count,
    pub(crate) rejected: Count,
    pub(crate) overflows: Count,
    pub(crate) revoked: Count,
    pub(crate) killed: Count,
    pub(crate) sent_bytes: Count,
    pub(crate) received_bytes: Count,
    pub(crate) errors: Count,
    latencies: Mutex<Vec<Duration>>,
    told: Mutex<Vec<String>>,
}

/// The counters at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) computed_samples: f64,
    pub(crate) acknowledged: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

impl Tally {
    pub(crate) fn read(&self) -> Reading {
        Reading {
            computed_samples: self.computed_millisamples.get() as f64 / 1e3,
            acknowledged: self.acknowledged.get(),
            sent_bytes: self.sent_bytes.get(),
            received_bytes: self.received_bytes.get(),
        }
    }

    pub(crate) fn acknowledge(&self, took: Duration) {
        self.acknowledged.add(1);
        let latencies = self.latencies.lock();
        latencies.unwrap_or_else(PoisonError::into_inner).push(took);
    }

    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.errors.add(1);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{error:#}");
        if told.len() < MAX_ERRORS_TOLD && !told.contains(&text) {
            told.push(text);
        }
    }

    /// Forgets latencies: what counts begins now.
    pub(crate) fn begin(&self) {
        let mut latencies = self.latencies.lock();
        latencies
            .as_mut()
            .map_or_else(|poisoned| poisoned.get_mut().clear(), |all| all.clear());
    }

    /// Latencies and errors.
    pub(crate) fn report(&self) -> Value {
        let latencies = self.latencies.lock();
        let mut latencies = latencies.unwrap_or_else(PoisonError::into_inner).clone();
        latencies.sort_unstable();
        let at = |percent: usize| {
            let idx = latencies.len().saturating_sub(1) * percent / 100;
            latencies.get(idx).map(|took| took.as_secs_f64() * 1e3)
        };
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        json!({
            "ack_p50_ms": at(50),
            "ack_p99_ms": at(99),
            "rejected": self.rejected.get(),
            "overflows": self.overflows.get(),
            "revoked": self.revoked.get(),
            "killed": self.killed.get(),
            "errors": self.errors.get(),
            "errors_told": *told,
        })
    }
}

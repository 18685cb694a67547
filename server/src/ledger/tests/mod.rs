//! The ledger on real files.

mod damage;
mod disk_full;
mod projection;
mod records;
mod volunteers;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::owner::Settings;
use super::{CreditBatch, LEDGER_FILE, Leaderboard, Ledger, LedgerError};
use crate::scratch::Scratch;

const RUN: RunId = RunId(7);

/// A folder with a ledger.
struct Bed {
    scratch: Scratch,
    settings: Settings,
    /// Runs that were asked for, in order.
    wanted: Arc<Mutex<Vec<RunId>>>,
}

impl Bed {
    fn new(name: &str) -> Self {
        Self {
            scratch: Scratch::new(&format!("ledger-{name}")),
            settings: Settings {
                flush_interval: Duration::from_millis(10),
                retry_pause_max: Duration::from_millis(40),
                reminder: Duration::from_millis(50),
                ..Settings::default()
            },
            wanted: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join(LEDGER_FILE)
    }

    async fn try_open(&self) -> Result<Ledger, LedgerError> {
        let wanted = Arc::clone(&self.wanted);
        Ledger::open_with(&self.path(), self.settings.clone(), move |run| {
            wanted.lock().unwrap().push(run);
        })
        .await
    }

    async fn open(&self) -> Ledger {
        self.try_open().await.unwrap()
    }

    /// Pages that the file may have from the next connection on; 0 for any number.
    fn limit_pages(&self, pages: u64) {
        self.settings.max_pages.store(pages, Ordering::Relaxed);
    }

    fn wanted(&self) -> Vec<RunId> {
        self.wanted.lock().unwrap().clone()
    }
}

fn identity(number: u64) -> Digest {
    Digest::of(&number.to_le_bytes())
}

/// What entry `sequence` of the tests' log credits: every third is a change of phase, which credits nobody.
fn deltas(sequence: u64) -> Vec<(Digest, u64)> {
    if sequence.is_multiple_of(3) {
        return Vec::new();
    }
    vec![
        (identity(sequence % 4), 10 + sequence),
        (identity(100 + sequence), 1),
    ]
}

/// The credits of entries 1 to `sequence`, sorted by identity.
fn credits_at(sequence: u64) -> Vec<(Digest, u64)> {
    let mut credits = std::collections::BTreeMap::new();
    for (identity, samples) in (1..=sequence).flat_map(deltas) {
        *credits.entry(identity).or_default() += samples;
    }
    credits.into_iter().collect()
}

fn samples_at(sequence: u64) -> u64 {
    credits_at(sequence)
        .iter()
        .map(|(_, samples)| samples)
        .sum()
}

/// Entries `after + 1` to `through` as one batch.
fn batch(after: u64, through: u64) -> CreditBatch {
    CreditBatch {
        run: RUN,
        after,
        through,
        deltas: (after + 1..=through).flat_map(deltas).collect(),
    }
}

fn samples_of(board: &Leaderboard) -> Vec<(Digest, u64)> {
    let credits = board.credits.iter();
    credits
        .map(|credit| (credit.identity, credit.samples))
        .collect()
}

/// The ledger has exactly the credits of the log at `sequence`.
async fn assert_credits(ledger: &Ledger, sequence: u64) {
    let samples = samples_at(sequence);
    assert_eq!(ledger.standing(RUN).await.unwrap(), (sequence, samples));
    let board = ledger.leaderboard(Some(RUN), None, u32::MAX).await.unwrap();
    assert_eq!((board.sequence, board.samples), (Some(sequence), samples));
    let mut stored = samples_of(&board);
    assert!(stored.is_sorted_by_key(|(identity, samples)| (u64::MAX - samples, *identity)));
    stored.sort();
    assert_eq!(stored, credits_at(sequence));
    for (identity, samples) in stored {
        let of = ledger.credits_of(identity).await.unwrap();
        assert_eq!(of, [(RUN, samples)]);
    }
}

/// Waits for something that a timer brings about.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}: not within 10 s");
}

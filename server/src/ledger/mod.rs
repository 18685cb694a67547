//! The ledger: who contributed what, which tokens are valid, what happened. `ledger.db`, with SQLite.
//!
//! It is a *projection*. A run's credits have one source, its log and snapshots; the ledger repeats them so that
//! they can be asked for by identity and in order. Per run it holds the log sequence up to which its credits
//! are those of the log (`credited_sequence`), written in the transaction that writes the credits. A batch that
//! does not join on to that sequence is not written: the run is asked for all its credits instead. So
//! whatever a crash, a full disk or a lost file takes from the ledger, it never disagrees for long, and it can
//! be thrown away at any time at the price of events, audits and tokens.
//!
//! One task owns the connection that writes. Requests go to it through a bounded queue and nobody waits for them,
//! except those who want an answer; the coordinator's thread never does. Readers have connections of their
//! own and see the latest transaction.
//!
//! What it does not do: decide about credit, or keep the only copy of anything that was promised to a worker.

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "audits are stored here, and nothing makes any yet"
    )
)]

mod bans;
mod error;
mod identities;
pub(crate) mod limits;
mod link;
mod open;
mod owner;
mod pending;
mod read;
mod records;
#[cfg(test)]
mod tests;
mod tokens;
mod volunteers;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sqlx::SqlitePool;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use tokio::sync::{Notify, mpsc, oneshot};

pub(crate) use bans::Ban;
pub(crate) use error::LedgerError;
pub(crate) use identities::Known;
use limits::QUEUE_REQUESTS;
pub(crate) use link::LedgerLink;
use owner::{Owner, Request, Settings};
use pending::{Record, RunRecord};
pub(crate) use records::unix_ms;
pub(crate) use records::{
    Audit, CreditBatch, IdentityKind, Leaderboard, Place, Reconciled, Sighting, StoredAudit,
    StoredEvent,
};
use records::{bounded_detail, bounded_text};
pub(crate) use tokens::{NewToken, StoredToken, TokenKind};
pub(crate) use volunteers::{Leader, Named, Naming, Standing};

/// Name of the file in the data directory.
pub(crate) const LEDGER_FILE: &str = "ledger.db";

/// A handle on the ledger. Clones share its task, which ends when the last one is dropped or with
/// [`Ledger::close`].
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    path: PathBuf,
    requests: mpsc::Sender<Request>,
    readers: SqlitePool,
    shared: Arc<Shared>,
    /// Where a damaged ledger was put when this one was opened.
    set_aside: Option<PathBuf>,
}

/// How the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerStatus {
    /// Why nothing can be written at the moment, with what to do.
    pub(crate) degraded: Option<String>,
    /// Events and audits that wait to be written.
    pub(crate) records_waiting: usize,
    /// Events and audits that were dropped since the start, because too many waited.
    pub(crate) records_dropped: u64,
    /// Runs whose credits here are older than their logs until they are reconciled.
    pub(crate) out_of_step: Vec<RunId>,
}

/// What the task and the handles share.
#[derive(Debug, Default)]
struct Shared {
    degraded: Mutex<Option<String>>,
    out_of_step: Mutex<BTreeSet<RunId>>,
    /// Runs of which a batch found the queue full, with the sequence that it reached.
    lost_batches: Mutex<BTreeMap<RunId, u64>>,
    /// Tells the task about those.
    batch_lost: Notify,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

impl Ledger {
    /// Opens the file, made if missing, and starts the task. Needs a tokio runtime.
    ///
    /// `wanted` is called on the task with a run whose credits should come whole, by [`Self::reconcile`] or
    /// [`Self::submit_reconcile`], and again after a while if they don't. It must not block.
    ///
    /// # Errors
    /// Where the file can't be made or read, or a newer program wrote it. A damaged one is no error: it is set
    /// aside, see [`Self::set_aside`].
    pub(crate) async fn open(
        path: &Path,
        wanted: impl Fn(RunId) + Send + 'static,
    ) -> Result<Self, LedgerError> {
        Self::open_with(path, Settings::default(), wanted).await
    }

    async fn open_with(
        path: &Path,
        settings: Settings,
        wanted: impl Fn(RunId) + Send + 'static,
    ) -> Result<Self, LedgerError> {
        let opened = open::open(path, settings.max_pages()).await?;
        let (requests, queue) = mpsc::channel(QUEUE_REQUESTS);
        let shared = Arc::new(Shared::default());
        let owner = Owner::new(
            path.to_owned(),
            settings,
            Arc::clone(&shared),
            wanted,
            opened.connection,
        );
        tokio::spawn(owner.run(queue));
        let ledger = Self {
            path: path.to_owned(),
            requests,
            readers: open::readers(path),
            shared,
            set_aside: opened.damaged,
        };
        if let Some(aside) = &ledger.set_aside {
            let aside = aside.display().to_string();
            ledger.event(
                "ledger-damaged",
                None,
                &serde_json::json!({ "set_aside": aside }),
            );
        }
        Ok(ledger)
    }

    /// Where a damaged ledger was put when this one was opened: its events, audits and tokens are lost.
    pub(crate) fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// How it is. Does not wait.
    pub(crate) fn status(&self) -> LedgerStatus {
        let mut out_of_step = locked(&self.shared.out_of_step).clone();
        out_of_step.extend(locked(&self.shared.lost_batches).keys());
        LedgerStatus {
            degraded: self.shared.degraded(),
            records_waiting: self.shared.waiting.load(Ordering::Relaxed),
            records_dropped: self.shared.records_dropped(),
            out_of_step: out_of_step.into_iter().collect(),
        }
    }

    /// Records a run that is hosted. Does not wait.
    pub(crate) fn record_run(&self, run: RunId, name: &str) {
        let record = RunRecord {
            name: bounded_text(name),
            at_ms: unix_ms(),
        };
        // With a full queue it stays unrecorded until the next start, which changes nothing else.
        self.requests.try_send(Request::Run(run, record)).ok();
    }

    /// Records that an identity was seen. Does not wait; with a full queue the next sighting counts.
    pub(crate) fn note_identity(&self, identity: Digest, sighting: &Sighting) {
        let sighting = Sighting {
            software: bounded_text(&sighting.software),
            ..*sighting
        };
        self.requests
            .try_send(Request::Identity(identity, sighting))
            .ok();
    }

    /// Adds credits that are durable in the run's log. Does not wait.
    pub(crate) fn credit(&self, batch: CreditBatch) {
        let (run, through) = (batch.run, batch.through);
        if self.requests.try_send(Request::Credit(batch)).is_err() {
            self.shared.lose_batch(run, through);
        }
    }

    /// Makes a run's credits those that it has at `sequence` of its log, when it is hosted and whenever they are
    /// wanted. All batches up to there must have been submitted before.
    ///
    /// # Errors
    /// Where they can't be written; they will be wanted when they can.
    pub(crate) async fn reconcile(
        &self,
        run: RunId,
        sequence: u64,
        credits: &[(Digest, u64)],
    ) -> Result<Reconciled, LedgerError> {
        let credits = credits.iter().copied().collect();
        self.ask(|answer| Request::Reconcile {
            run,
            sequence,
            credits,
            answer: Some(answer),
        })
        .await
    }

    /// The same without waiting. With a full queue they will be wanted again.
    pub(crate) fn submit_reconcile(&self, run: RunId, sequence: u64, credits: &[(Digest, u64)]) {
        let request = Request::Reconcile {
            run,
            sequence,
            credits: credits.iter().copied().collect(),
            answer: None,
        };
        if self.requests.try_send(request).is_err() {
            self.shared.lose_batch(run, sequence);
        }
    }

    /// Records that something happened now. Does not wait; dropped and counted where too many wait.
    pub(crate) fn event(&self, kind: &str, run: Option<RunId>, detail: &Value) {
        self.record(Record::Event {
            at_ms: unix_ms(),
            kind: bounded_text(kind),
            run,
            detail: bounded_detail(detail),
        });
    }

    /// Records an audit that was made now. Does not wait; dropped and counted where too many wait.
    pub(crate) fn audit(&self, audit: Audit) {
        self.record(Record::Audit {
            at_ms: unix_ms(),
            audit: Box::new(Audit {
                outcome: bounded_text(&audit.outcome),
                ..audit
            }),
        });
    }

    fn record(&self, record: Record) {
        if self.requests.try_send(Request::Record(record)).is_err() {
            self.shared.count_dropped_record();
        }
    }

    /// Waits until everything that was submitted before has been written, or failed to be.
    ///
    /// # Errors
    /// Where it failed; it will be tried again.
    pub(crate) async fn flush(&self) -> Result<(), LedgerError> {
        self.ask(Request::Flush).await
    }

    /// Writes what waits and ends the task; further requests are dropped.
    ///
    /// # Errors
    /// Where it can't be written. Credits are taken from the runs at the next start.
    pub(crate) async fn close(&self) -> Result<(), LedgerError> {
        // Readers first, so that the last connection is the one that can tidy up the file.
        self.readers.close().await;
        self.ask(Request::Close).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Request,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(request(answer)).await;
        sent.map_err(|_closed| LedgerError::Busy)?;
        answered.await.map_err(|_closed| LedgerError::Busy)?
    }
}

/// Reads. They go on while nothing can be written.
impl Ledger {
    /// Samples of an identity by run.
    ///
    /// # Errors
    /// Where the file can't be read; as for all reads.
    pub(crate) async fn credits_of(
        &self,
        identity: Digest,
    ) -> Result<Vec<(RunId, u64)>, LedgerError> {
        let read = read::credits_of(&self.readers, identity).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Identities with the most samples of a run or of all runs, most first, behind a place if one is
    /// given; at most [`limits::MAX_ROWS`].
    pub(crate) async fn leaderboard(
        &self,
        run: Option<RunId>,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Leaderboard, LedgerError> {
        let read = read::leaderboard(&self.readers, run, after, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// The log sequence up to which a run's credits are those of its log, and the sum of its samples.
    pub(crate) async fn standing(&self, run: RunId) -> Result<(u64, u64), LedgerError> {
        let read = read::standing(&self.readers, run).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Events with ids larger than `after`, oldest first; at most [`limits::MAX_ROWS`].
    pub(crate) async fn events(
        &self,
        after: u64,
        limit: u32,
        run: Option<RunId>,
    ) -> Result<Vec<StoredEvent>, LedgerError> {
        let read = read::events(&self.readers, after, limit, run).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// The newest events, oldest of them first; at most [`limits::MAX_ROWS`].
    pub(crate) async fn newest_events(
        &self,
        limit: u32,
        run: Option<RunId>,
    ) -> Result<Vec<StoredEvent>, LedgerError> {
        let read = read::newest_events(&self.readers, limit, run).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Volunteers who chose a name, with the most samples of a run or of all runs, most first.
    pub(crate) async fn leaders(
        &self,
        run: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<Leader>, LedgerError> {
        let read = volunteers::leaders(&self.readers, run, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// How an identity stands in a run.
    pub(crate) async fn standing_of(
        &self,
        run: RunId,
        identity: Digest,
    ) -> Result<Standing, LedgerError> {
        let read = volunteers::standing(&self.readers, run, identity).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Audits of an identity with ids larger than `after`, oldest first; at most [`limits::MAX_ROWS`].
    pub(crate) async fn audits(
        &self,
        identity: Digest,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredAudit>, LedgerError> {
        let read = read::audits(&self.readers, identity, after, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// The token with this hash; whether it is still valid is in it.
    pub(crate) async fn lookup_token(
        &self,
        hash: Digest,
    ) -> Result<Option<StoredToken>, LedgerError> {
        let read = tokens::lookup(&self.readers, hash).await;
        read.map_err(LedgerError::reading(&self.path))
    }

    /// Tokens with ids larger than `after`, void ones too; at most [`limits::MAX_ROWS`].
    pub(crate) async fn list_tokens(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredToken>, LedgerError> {
        let read = tokens::list(&self.readers, after, limit).await;
        read.map_err(LedgerError::reading(&self.path))
    }
}

/// Writes that are on stable storage when they return, or an error: they are never tried again.
impl Ledger {
    /// Stores a token; its id.
    ///
    /// # Errors
    /// Where it can't be written, or there are too many.
    pub(crate) async fn issue_token(&self, token: NewToken) -> Result<u64, LedgerError> {
        self.ask(|answer| Request::Issue(token, answer)).await
    }

    /// Names a volunteer.
    ///
    /// # Errors
    /// Where it can't be written.
    pub(crate) async fn name_volunteer(&self, naming: Naming) -> Result<Named, LedgerError> {
        self.ask(|answer| Request::Name(naming, answer)).await
    }

    /// Forgets a volunteer's name; whether there was one.
    ///
    /// # Errors
    /// Where it can't be written: then it is still there.
    pub(crate) async fn forget_volunteer(&self, volunteer: Digest) -> Result<bool, LedgerError> {
        self.ask(|answer| Request::Forget(volunteer, answer)).await
    }

    /// Revokes a token; whether there is one with this id.
    ///
    /// # Errors
    /// Where it can't be written: then it is still valid.
    pub(crate) async fn revoke_token(&self, id: u64) -> Result<bool, LedgerError> {
        let now_ms = unix_ms();
        self.ask(|answer| Request::Revoke { id, now_ms, answer })
            .await
    }
}

impl Shared {
    fn degraded(&self) -> Option<String> {
        locked(&self.degraded).clone()
    }

    fn set_degraded(&self, reason: Option<String>) {
        *locked(&self.degraded) = reason;
    }

    fn set_out_of_step(&self, runs: BTreeSet<RunId>) {
        *locked(&self.out_of_step) = runs;
    }

    fn lose_batch(&self, run: RunId, through: u64) {
        let mut lost = locked(&self.lost_batches);
        let needed = lost.entry(run).or_default();
        *needed = through.max(*needed);
        self.batch_lost.notify_one();
    }

    fn take_lost_batches(&self) -> BTreeMap<RunId, u64> {
        std::mem::take(&mut locked(&self.lost_batches))
    }

    fn set_waiting(&self, records: usize) {
        self.waiting.store(records, Ordering::Relaxed);
    }

    fn count_dropped_record(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn records_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// A panic elsewhere leaves these values whole: each is replaced in one go.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

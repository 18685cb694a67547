//! The one task that writes.
//!
//! It gathers what may wait ([`Pending`]) and writes it in one transaction. After an error it drops the
//! connection, because what a failed fsync left behind is unknown, pauses ever longer, and tries again with
//! everything that has gathered meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::SqliteConnection;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::Shared;
use super::bans::{self, Ban};
use super::error::LedgerError;
use super::limits::{FLUSH_INTERVAL, RECONCILE_REMINDER, RETRY_PAUSE_MAX};
use super::open::{connect, is_damage};
use super::pending::{Pending, Record, RunRecord};
use super::records::{CreditBatch, Reconciled, Sighting, unix_ms};
use super::tokens::{self, Issued, NewToken};
use super::volunteers::{self, Named, Naming};
use super::write;

/// Something for the task to do.
#[derive(Debug)]
pub(super) enum Request {
    Run(RunId, RunRecord),
    Identity(Digest, Sighting),
    Credit(CreditBatch),
    Record(Record),
    Reconcile {
        run: RunId,
        sequence: u64,
        credits: BTreeMap<Digest, u64>,
        answer: Option<oneshot::Sender<Result<Reconciled, LedgerError>>>,
    },
    Issue(NewToken, oneshot::Sender<Result<u64, LedgerError>>),
    Revoke {
        id: u64,
        now_ms: u64,
        answer: oneshot::Sender<Result<bool, LedgerError>>,
    },
    Ban(Ban, oneshot::Sender<Result<(), LedgerError>>),
    Unban(Digest, oneshot::Sender<Result<bool, LedgerError>>),
    Name(Naming, oneshot::Sender<Result<Named, LedgerError>>),
    Forget(Digest, oneshot::Sender<Result<bool, LedgerError>>),
    /// Write what waits now; answered when that has been tried.
    Flush(oneshot::Sender<Result<(), LedgerError>>),
    /// The same, and end.
    Close(oneshot::Sender<Result<(), LedgerError>>),
}

/// How the task works; tests are more impatient than servers.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) flush_interval: Duration,
    pub(super) retry_pause_max: Duration,
    pub(super) reminder: Duration,
    /// Largest size of the file in pages; 0 for any. Read at each connection.
    pub(super) max_pages: Arc<AtomicU64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_interval: FLUSH_INTERVAL,
            retry_pause_max: RETRY_PAUSE_MAX,
            reminder: RECONCILE_REMINDER,
            max_pages: Arc::default(),
        }
    }
}

impl Settings {
    pub(super) fn max_pages(&self) -> Option<u32> {
        match self.max_pages.load(Ordering::Relaxed) {
            0 => None,
            pages => u32::try_from(pages).ok(),
        }
    }
}

/// The task's state.
pub(super) struct Owner<F> {
    path: PathBuf,
    settings: Settings,
    shared: Arc<Shared>,
    /// Called with each run whose credits have to come whole.
    wanted: F,
    /// None after a failure, until the next attempt.
    connection: Option<SqliteConnection>,
    pending: Pending,
    /// When to write, or to try again.
    flush_at: Option<Instant>,
    remind_at: Option<Instant>,
    /// The pause after the latest failure; none while writing works.
    pause: Option<Duration>,
}

impl<F: Fn(RunId)> Owner<F> {
    pub(super) fn new(
        path: PathBuf,
        settings: Settings,
        shared: Arc<Shared>,
        wanted: F,
        connection: SqliteConnection,
    ) -> Self {
        Self {
            path,
            settings,
            shared,
            wanted,
            connection: Some(connection),
            pending: Pending::default(),
            flush_at: None,
            remind_at: None,
            pause: None,
        }
    }

    /// Works until it is told to close or nobody can tell it anything any more.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let shared = Arc::clone(&self.shared);
        let closing = loop {
            let flush_at = self.flush_at;
            let remind_at = self.remind_at;
            tokio::select! {
                // Time goes first: an endless stream of requests must not keep them in memory.
                biased;
                () = until(flush_at) => {
                    // Logged and shown there; the next attempt has its time.
                    self.flush().await.ok();
                }
                () = until(remind_at) => self.remind(),
                () = shared.batch_lost.notified() => self.note_lost_batches(),
                request = requests.recv() => match request {
                    Some(Request::Close(answer)) => break Some(answer),
                    Some(request) => self.take(request).await,
                    None => break None,
                },
            }
        };
        requests.close();
        self.note_lost_batches();
        let written = self.flush().await;
        if written.is_err() {
            let events = self.pending.records.len();
            warn!(
                events,
                "the ledger could not be written before the end: these events are lost, credits will be taken from the runs"
            );
        }
        if let Some(connection) = self.connection.take() {
            write::close(&self.path, connection).await;
        }
        if let Some(answer) = closing {
            answer.send(written).ok();
        }
    }

    async fn take(&mut self, request: Request) {
        match request {
            Request::Run(run, record) => self.pending.run(run, record),
            Request::Identity(identity, sighting) => self.pending.identity(identity, sighting),
            Request::Record(record) => {
                if !self.pending.record(record) {
                    self.shared.count_dropped_record();
                }
            }
            Request::Credit(batch) => {
                let was_in_step = self.pending.out_of_step().all(|run| run != batch.run);
                if !self.pending.credit(&batch) && was_in_step {
                    self.lose_step(batch.run, batch.through);
                }
            }
            Request::Reconcile {
                run,
                sequence,
                credits,
                answer,
            } => {
                let result = self.reconcile(run, sequence, credits).await;
                // Whoever asked may have gone away, and failures are logged and shown already.
                answer.map(|answer| answer.send(result).ok());
            }
            Request::Issue(token, answer) => {
                answer.send(self.issue(token).await).ok();
            }
            Request::Revoke { id, now_ms, answer } => {
                answer.send(self.revoke(id, now_ms).await).ok();
            }
            Request::Ban(ban, answer) => {
                answer.send(self.ban(&ban).await).ok();
            }
            Request::Unban(identity, answer) => {
                answer.send(self.unban(identity).await).ok();
            }
            Request::Name(naming, answer) => {
                answer.send(self.name(&naming).await).ok();
            }
            Request::Forget(volunteer, answer) => {
                answer.send(self.forget(volunteer).await).ok();
            }
            Request::Flush(answer) => {
                let result = self.flush().await;
                answer.send(result).ok();
            }
            // Handled by the caller.
            Request::Close(_) => {}
        }
        if self.flush_at.is_none() && !self.pending.is_empty() {
            self.flush_at = Some(Instant::now() + self.settings.flush_interval);
        }
        self.shared.set_waiting(self.pending.records.len());
    }

    /// Writes what waits. After a failure this also finds out whether the disk works again.
    async fn flush(&mut self) -> Result<(), LedgerError> {
        self.flush_at = None;
        self.note_recovery();
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.connected().await {
            return Err(self.fail(error));
        }
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        match write::flush(connection, &self.pending).await {
            Ok(out_of_step) => {
                // First, because what waited of these runs says how far their credits must reach.
                for run in out_of_step {
                    self.lose_step(run, 0);
                }
                self.pending.written();
                self.shared.set_waiting(0);
                self.succeed();
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The first transaction after a failure, if it can be written, says that there was one.
    fn note_recovery(&mut self) {
        if self.pause.is_none() {
            return;
        }
        let kind = "ledger-recovered";
        self.pending
            .records
            .retain(|record| !matches!(record, Record::Event { kind: noted, .. } if noted == kind));
        let detail = serde_json::json!({
            "reason": self.shared.degraded(),
            "records_dropped": self.shared.records_dropped(),
        });
        // Not bounded by the queue's limit: there is one of it.
        self.pending.records.push_back(Record::Event {
            at_ms: unix_ms(),
            kind: kind.to_owned(),
            run: None,
            detail: detail.to_string(),
        });
    }

    async fn reconcile(
        &mut self,
        run: RunId,
        sequence: u64,
        credits: BTreeMap<Digest, u64>,
    ) -> Result<Reconciled, LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => write::reconcile(connection, run, sequence, credits).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(reconciled) => {
                self.pending.found_step(run, sequence);
                if reconciled.rows_corrected > 0 {
                    info!(
                        run_id = %run, sequence, rows = reconciled.rows_corrected,
                        sequence_before = reconciled.sequence_before,
                        "the ledger's credits were corrected from the run"
                    );
                }
                self.show_out_of_step();
                Ok(reconciled)
            }
            Err(error) => {
                let error = self.fail(error);
                self.lose_step(run, sequence);
                Err(error)
            }
        }
    }

    async fn issue(&mut self, token: NewToken) -> Result<u64, LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => tokens::issue(connection, &token).await,
            Err(error) => Err(error),
        };
        match result.map_err(|error| self.fail(error))? {
            Issued::As(id) => Ok(id),
            Issued::TooMany => Err(LedgerError::TooManyTokens),
            Issued::Twice => Err(LedgerError::TokenExists),
        }
    }

    async fn revoke(&mut self, id: u64, now_ms: u64) -> Result<bool, LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => tokens::revoke(connection, id, now_ms).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error))
    }

    async fn ban(&mut self, ban: &Ban) -> Result<(), LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => bans::put(connection, ban).await,
            Err(error) => Err(error),
        };
        if result.map_err(|error| self.fail(error))? {
            Ok(())
        } else {
            Err(LedgerError::TooManyBans)
        }
    }

    async fn unban(&mut self, identity: Digest) -> Result<bool, LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => bans::lift(connection, identity).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error))
    }

    /// What waits is written first: the credit that a name needs may be in it.
    async fn name(&mut self, naming: &Naming) -> Result<Named, LedgerError> {
        self.flush().await?;
        let result = match self.connected().await {
            Ok(connection) => volunteers::name(connection, naming).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error))
    }

    async fn forget(&mut self, volunteer: Digest) -> Result<bool, LedgerError> {
        let result = match self.connected().await {
            Ok(connection) => volunteers::forget(connection, volunteer).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| self.fail(error))
    }

    async fn connected(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.path, false, self.settings.max_pages()).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Batches that found the queue full.
    fn note_lost_batches(&mut self) {
        for (run, through) in self.shared.take_lost_batches() {
            self.lose_step(run, through);
        }
    }

    fn lose_step(&mut self, run: RunId, needed: u64) {
        self.pending.lose_step(run, needed);
        self.show_out_of_step();
        if self.pause.is_none() {
            (self.wanted)(run);
            self.remind_at
                .get_or_insert_with(|| Instant::now() + self.settings.reminder);
        }
    }

    fn show_out_of_step(&mut self) {
        let runs: BTreeSet<RunId> = self.pending.out_of_step().collect();
        let none = runs.is_empty();
        self.shared.set_out_of_step(runs);
        if none {
            self.remind_at = None;
        }
    }

    /// Asks for the credits of all runs that are out of step, unless they could not be written anyway.
    fn remind(&mut self) {
        self.remind_at = None;
        if self.pause.is_some() {
            return;
        }
        for run in self.pending.out_of_step() {
            (self.wanted)(run);
            self.remind_at = Some(Instant::now() + self.settings.reminder);
        }
    }

    fn succeed(&mut self) {
        if self.pause.take().is_some() {
            info!(path = %self.path.display(), "the ledger can be written again");
            self.shared.set_degraded(None);
            self.remind();
        }
    }

    fn fail(&mut self, error: sqlx::Error) -> LedgerError {
        // What a failed write or fsync left behind is unknown; a fresh connection reads what is really there.
        self.connection = None;
        let remedy = if is_damage(&error) {
            "restart the server: a damaged ledger is set aside and its credits are taken from the runs"
        } else {
            "check its disk; writing is tried again"
        };
        let reason = format!(
            "the ledger {} can't be written: {error}; {remedy}",
            self.path.display()
        );
        if self.pause.is_none() {
            error!(reason, "the ledger is degraded");
        }
        self.shared.set_degraded(Some(reason));
        let pause = match self.pause {
            None => self.settings.flush_interval,
            Some(pause) => (2 * pause).min(self.settings.retry_pause_max),
        };
        self.pause = Some(pause);
        self.flush_at = Some(Instant::now() + pause);
        LedgerError::writing(&self.path)(error)
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

//! The server's way to the ledger, which may not be open yet: a server starts and trains without one.
//!
//! While it is off, credits are left to the runs and taken from them once it opens; events are dropped and
//! counted. Nothing here waits, except for opening, closing and reading.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use serde_json::Value;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::limits::{CLOSE_TIMEOUT, OPEN_RETRY};
use super::{CreditBatch, Ledger, LedgerError, LedgerStatus, Sighting, locked};

/// The ledger, once it is open.
#[derive(Debug)]
pub(crate) struct LedgerLink {
    path: PathBuf,
    ledger: OnceLock<Ledger>,
    /// Why it is off, while it is.
    reason: Mutex<String>,
    /// Events that came while it was off.
    dropped: AtomicU64,
}

impl LedgerLink {
    /// A ledger that is off.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            ledger: OnceLock::new(),
            reason: Mutex::new("the ledger is not open yet".to_owned()),
            dropped: AtomicU64::new(0),
        }
    }

    /// Opens the file. Where that fails for a reason that may pass, such as a full disk, it stays off and is
    /// tried again and again.
    ///
    /// `wanted` is called with a run whose credits should come whole, or with none where those of all runs
    /// should; false if that can't be asked for now. It must not block.
    ///
    /// # Errors
    /// Where another program's file lies there: only an operator can decide about it.
    pub(crate) async fn open(
        self: &Arc<Self>,
        wanted: impl Fn(Option<RunId>) -> bool + Send + Sync + Clone + 'static,
    ) -> Result<(), LedgerError> {
        match self.try_open(wanted.clone()).await {
            Err(problem) if !problem.is_foreign_file() => {
                error!(%problem, "the server starts without its ledger; opening it is tried again");
                self.note_problem(&problem);
                tokio::spawn(open_later(Arc::downgrade(self), wanted));
                Ok(())
            }
            opened => opened,
        }
    }

    async fn try_open(
        &self,
        wanted: impl Fn(Option<RunId>) -> bool + Send + 'static,
    ) -> Result<(), LedgerError> {
        let ledger = Ledger::open(&self.path, move |run| {
            // It is wanted again after a while.
            wanted(Some(run));
        })
        .await?;
        // Opened once only.
        self.ledger.set(ledger).ok();
        Ok(())
    }

    fn note_problem(&self, problem: &LedgerError) {
        *locked(&self.reason) = problem.to_string();
    }

    /// The ledger for reading.
    ///
    /// # Errors
    /// Why it is off.
    pub(crate) fn read(&self) -> Result<&Ledger, String> {
        self.ledger
            .get()
            .ok_or_else(|| locked(&self.reason).clone())
    }

    /// How it is.
    pub(crate) fn status(&self) -> LedgerStatus {
        let dropped = self.dropped.load(Ordering::Relaxed);
        match self.read() {
            Ok(ledger) => {
                let mut status = ledger.status();
                status.records_dropped += dropped;
                status
            }
            Err(reason) => LedgerStatus {
                degraded: Some(reason),
                records_waiting: 0,
                records_dropped: dropped,
                out_of_step: Vec::new(),
            },
        }
    }

    /// See [`Ledger::record_run`].
    pub(crate) fn record_run(&self, run: RunId, name: &str) {
        if let Some(ledger) = self.ledger.get() {
            ledger.record_run(run, name);
        }
    }

    /// See [`Ledger::note_identity`].
    pub(crate) fn note_identity(&self, identity: Digest, sighting: &Sighting) {
        if let Some(ledger) = self.ledger.get() {
            ledger.note_identity(identity, sighting);
        }
    }

    /// See [`Ledger::credit`].
    pub(crate) fn credit(&self, batch: CreditBatch) {
        if let Some(ledger) = self.ledger.get() {
            ledger.credit(batch);
        }
    }

    /// See [`Ledger::submit_reconcile`].
    pub(crate) fn submit_reconcile(&self, run: RunId, sequence: u64, credits: &[(Digest, u64)]) {
        if let Some(ledger) = self.ledger.get() {
            ledger.submit_reconcile(run, sequence, credits);
        }
    }

    /// See [`Ledger::event`].
    pub(crate) fn event(&self, kind: &str, run: Option<RunId>, detail: &Value) {
        match self.ledger.get() {
            Some(ledger) => ledger.event(kind, run, detail),
            None => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes what waits and ends the ledger's task, if a failing disk lets it in time.
    pub(crate) async fn close(&self) {
        let Some(ledger) = self.ledger.get() else {
            return;
        };
        match timeout(CLOSE_TIMEOUT, ledger.close()).await {
            // A failure was logged by the task.
            Ok(_) => {}
            Err(_elapsed) => {
                warn!("the ledger was not written in time; the next start makes up for it");
            }
        }
    }
}

/// Tries to open the file until it can be, or the server is gone.
async fn open_later(
    link: Weak<LedgerLink>,
    wanted: impl Fn(Option<RunId>) -> bool + Send + Sync + Clone + 'static,
) {
    loop {
        sleep(OPEN_RETRY).await;
        let Some(link) = link.upgrade() else { return };
        match link.try_open(wanted.clone()).await {
            Ok(()) => {
                info!("the ledger is open");
                let status = link.status();
                let detail = serde_json::json!({
                    "reason": *locked(&link.reason),
                    "records_dropped": status.records_dropped,
                });
                link.event("ledger-opened-late", None, &detail);
                while !wanted(None) {
                    sleep(OPEN_RETRY).await;
                }
                return;
            }
            Err(problem) => link.note_problem(&problem),
        }
    }
}

//! Entries on their way to stable storage: kept until they are there, however often the disk fails.

use std::collections::VecDeque;

use tabswarm_coordinator::LogEntry;
use tabswarm_model::master::AppliedSums;

use super::Log;
use crate::error::StoreError;

/// A log with the entries that it does not hold durably yet.
///
/// Who owns it calls [`LogQueue::write`] and [`LogQueue::sync`] by turns: what is pushed between two syncs is
/// one group. After a failure of either it waits a while and begins again with [`LogQueue::write`].
#[derive(Debug)]
pub struct LogQueue {
    log: Log,
    /// Entries that are not durable, oldest first.
    entries: VecDeque<Waiting>,
    /// So many of them are appended.
    appended: usize,
}

#[derive(Debug)]
struct Waiting {
    entry: Box<LogEntry>,
    sums: Option<AppliedSums>,
}

impl LogQueue {
    /// A log that holds everything there is.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            entries: VecDeque::new(),
            appended: 0,
        }
    }

    /// The log.
    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Queues the next entry, with a step's sums where the run wants them logged.
    pub fn push(&mut self, entry: Box<LogEntry>, sums: Option<AppliedSums>) {
        self.entries.push_back(Waiting { entry, sums });
    }

    /// Whether everything that was queued is durable.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sequence of the last entry that is not durable.
    pub fn newest(&self) -> Option<u64> {
        self.entries.back().map(|waiting| waiting.entry.sequence)
    }

    /// Appends what is new; after a failure, begins again behind what is certainly durable. True if the log
    /// had to be opened again for that.
    ///
    /// # Errors
    /// As [`Log::append`] and [`Log::reopen_after_failure`]; all entries stay queued.
    pub fn write(&mut self) -> Result<bool, StoreError> {
        let was_degraded = self.log.is_degraded();
        if was_degraded {
            self.log.reopen_after_failure()?;
            self.appended = 0;
        }
        for waiting in self.entries.iter().skip(self.appended) {
            // A sync may have made it durable and failed afterwards.
            if waiting.entry.sequence > self.log.last() {
                self.log.append(&waiting.entry, waiting.sums.as_ref())?;
            }
            self.appended += 1;
        }
        Ok(was_degraded)
    }

    /// Makes everything durable that was appended. Says through which entry, and gives back the sums of those
    /// that wait no longer.
    ///
    /// # Errors
    /// As [`Log::sync`]; all entries stay queued.
    pub fn sync(&mut self) -> Result<(u64, Vec<AppliedSums>), StoreError> {
        let durable = self.log.sync()?;
        let mut spare = Vec::new();
        while let Some(waiting) = self
            .entries
            .pop_front_if(|waiting| waiting.entry.sequence <= durable)
        {
            self.appended = self.appended.saturating_sub(1);
            spare.extend(waiting.sums);
        }
        Ok((durable, spare))
    }
}

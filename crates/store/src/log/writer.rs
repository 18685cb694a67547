//! Appending to the log, and what happens when the disk refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabswarm_coordinator::LogEntry;
use tabswarm_model::master::AppliedSums;
use tabswarm_protocol::RunId;

use super::record::{Encoder, Mark};
use super::segment::{self, SegmentHeader};
use crate::disk::{Disk, DiskFile};
use crate::error::StoreError;
use crate::limits::SEGMENT_BYTES;

/// How a log is written.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// A segment with so many bytes is followed by a new one.
    pub segment_bytes: u64,
    /// Random and never told: segments' marks follow from it, which workers must not be able to guess.
    pub secret: u64,
}

impl LogOptions {
    /// The usual size of segments.
    pub fn new(secret: u64) -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            secret,
        }
    }
}

/// The log of a run, open for appending.
///
/// After any failed write or sync the file is closed and not used again: the system may have forgotten what it
/// could not write, and a second sync would say that all is well. [`Log::reopen_after_failure`] goes on in a
/// new segment behind the last entry that is certainly durable; the caller appends the later ones again.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    run_id: RunId,
    options: LogOptions,
    encoder: Encoder,
    /// Firsts of the segments behind which the current one comes, ascending.
    older: Vec<u64>,
    current: Current,
    last: u64,
    durable: u64,
    /// The newest record says that everything before it is durable.
    is_sealed: bool,
}

#[derive(Debug)]
enum Current {
    Open(OpenSegment),
    Failed { first: u64, cause: String },
}

#[derive(Debug)]
struct OpenSegment {
    file: Box<dyn DiskFile>,
    first: u64,
    mark: Mark,
    bytes: u64,
    has_unsynced: bool,
}

/// Where and how a log goes on.
#[derive(Debug)]
pub(crate) struct Start {
    /// The file system.
    pub(crate) disk: Arc<dyn Disk>,
    /// Folder of the segments.
    pub(crate) dir: PathBuf,
    /// Whose log it is.
    pub(crate) run_id: RunId,
    /// Sequence of the new segment's first record; what earlier segments hold from here on is superseded.
    pub(crate) first: u64,
    /// The new segment's first records: what can't be proved to be durable.
    pub(crate) carried: Vec<u8>,
    /// Sequence of the last of them, or `first - 1`.
    pub(crate) last: u64,
}

impl Log {
    /// Begins a segment; its carried records are durable after that.
    pub(crate) fn start(start: Start, options: LogOptions) -> Result<Self, StoreError> {
        let Start {
            disk,
            dir,
            run_id,
            first,
            carried,
            last,
        } = start;
        let mut older = segment::list(&*disk, &dir).map_err(StoreError::io(&dir))?;
        older.retain(|&other| other != first);
        let mark = segment::mark(options.secret, first);
        let header = SegmentHeader {
            run_id,
            first,
            mark,
        };
        let file = segment::create(&*disk, &dir, header, &carried)
            .map_err(|error| StoreError::io(&dir.join(segment::name(first)))(error.source))?;
        Ok(Self {
            disk,
            dir,
            run_id,
            options,
            encoder: Encoder::default(),
            older,
            current: Current::Open(OpenSegment {
                file,
                first,
                mark,
                bytes: (segment::HEADER_BYTES + carried.len()) as u64,
                has_unsynced: false,
            }),
            last,
            durable: last,
            is_sealed: last < first,
        })
    }

    /// Sequence of the last entry that was appended.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Sequence of the last entry on stable storage: what may be acknowledged.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether a failure has closed it.
    pub fn is_degraded(&self) -> bool {
        matches!(self.current, Current::Failed { .. })
    }

    /// Appends an entry, with a step's sums where the run wants them logged. It is not durable yet.
    ///
    /// # Errors
    /// [`StoreError::Sequence`] and [`StoreError::TooLarge`], with the log as before; [`StoreError::Io`] once,
    /// after which the log is degraded; [`StoreError::Degraded`].
    pub fn append(
        &mut self,
        entry: &LogEntry,
        sums: Option<&AppliedSums>,
    ) -> Result<(), StoreError> {
        if entry.sequence != self.last + 1 {
            return Err(StoreError::Sequence {
                last: self.last,
                got: entry.sequence,
            });
        }
        let open = open(&mut self.current, &self.dir)?;
        let record = self.encoder.entry(open.mark, entry, sums, self.durable)?;
        write(&mut self.current, record, &self.dir)?;
        self.last = entry.sequence;
        self.is_sealed = false;
        Ok(())
    }

    /// Makes everything durable that was appended, and says through which entry.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn sync(&mut self) -> Result<u64, StoreError> {
        let open = open(&mut self.current, &self.dir)?;
        if open.has_unsynced {
            if let Err(source) = open.file.sync() {
                return Err(fail(&mut self.current, source, &self.dir));
            }
            open.has_unsynced = false;
            self.durable = self.last;
        }
        if open.bytes >= self.options.segment_bytes && self.last >= open.first {
            self.rotate();
        }
        Ok(self.durable)
    }

    /// Makes everything durable and writes down that it is, so that damage to the newest records can be told
    /// from a torn tail. For quiet moments and the end.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn seal(&mut self) -> Result<u64, StoreError> {
        self.sync()?;
        let open = open(&mut self.current, &self.dir)?;
        if !self.is_sealed && self.last >= open.first {
            let record = self.encoder.sync(open.mark, self.last);
            write(&mut self.current, record, &self.dir)?;
            self.is_sealed = true;
            self.sync()?;
        }
        Ok(self.durable)
    }

    /// Removes segments that hold nothing behind `sequence`; a snapshot at or behind it must be durable, and
    /// so should all others that are kept.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the log goes on.
    pub fn remove_behind(&mut self, sequence: u64) -> Result<(), StoreError> {
        let mut removed = false;
        while let Some(&oldest) = self.older.first() {
            let next = self.older.get(1).copied().unwrap_or(self.current.first());
            if next > sequence + 1 {
                break;
            }
            let path = self.dir.join(segment::name(oldest));
            self.disk
                .remove_file(&path)
                .map_err(StoreError::io(&path))?;
            self.older.remove(0);
            removed = true;
        }
        if removed {
            self.disk
                .sync_dir(&self.dir)
                .map_err(StoreError::io(&self.dir))?;
        }
        Ok(())
    }

    /// Begins a new segment now, so that [`Log::remove_behind`] can remove all before it.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub(crate) fn begin_segment(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let open = open(&mut self.current, &self.dir)?;
        if self.last >= open.first {
            self.rotate();
        }
        open_error(&self.current, &self.dir).map_or(Ok(()), Err)
    }

    /// Goes on after a failure, in a new segment. Everything up to the returned sequence is durable; the caller
    /// appends what comes behind it again.
    ///
    /// What the old file holds behind that does not count any more, whatever of it reached the disk: reading it
    /// back would tell what the system remembers, not what is stored.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the log stays degraded and this can be called again.
    pub fn reopen_after_failure(&mut self) -> Result<u64, StoreError> {
        let Current::Failed { first, .. } = self.current else {
            return Ok(self.durable);
        };
        let next = self.durable + 1;
        let open = self
            .create(next)
            .map_err(|error| StoreError::io(&self.dir.join(segment::name(next)))(error.source))?;
        if first != next {
            self.older.push(first);
        }
        self.current = Current::Open(open);
        self.last = self.durable;
        self.is_sealed = true;
        Ok(self.durable)
    }

    /// Goes on in a new segment. Where that fails before anything has changed the old one just grows on.
    fn rotate(&mut self) {
        let next = self.last + 1;
        let first = self.current.first();
        match self.create(next) {
            Ok(open) => {
                self.older.push(first);
                self.current = Current::Open(open);
                self.is_sealed = true;
            }
            Err(error) if error.may_exist => {
                // What is appended to the old one might not count: it must take nothing more.
                let cause = error.source.to_string();
                self.current = Current::Failed { first, cause };
            }
            Err(_) => {}
        }
    }

    fn create(&self, first: u64) -> Result<OpenSegment, segment::CreateError> {
        let mark = segment::mark(self.options.secret, first);
        let header = SegmentHeader {
            run_id: self.run_id,
            first,
            mark,
        };
        Ok(OpenSegment {
            file: segment::create(&*self.disk, &self.dir, header, &[])?,
            first,
            mark,
            bytes: segment::HEADER_BYTES as u64,
            has_unsynced: false,
        })
    }
}

impl Current {
    fn first(&self) -> u64 {
        match self {
            Self::Open(OpenSegment { first, .. }) | Self::Failed { first, .. } => *first,
        }
    }
}

fn open<'a>(current: &'a mut Current, dir: &Path) -> Result<&'a mut OpenSegment, StoreError> {
    if let Some(error) = open_error(current, dir) {
        return Err(error);
    }
    match current {
        Current::Open(open) => Ok(open),
        Current::Failed { .. } => unreachable!("that is an error"),
    }
}

fn open_error(current: &Current, dir: &Path) -> Option<StoreError> {
    match current {
        Current::Open(_) => None,
        Current::Failed { cause, .. } => Some(StoreError::Degraded {
            path: dir.to_owned(),
            cause: cause.clone(),
        }),
    }
}

fn write(current: &mut Current, record: &[u8], dir: &Path) -> Result<(), StoreError> {
    let open = open(current, dir)?;
    match open.file.write_all(record) {
        Ok(()) => {
            open.bytes += record.len() as u64;
            open.has_unsynced = true;
            Ok(())
        }
        Err(source) => Err(fail(current, source, dir)),
    }
}

/// Closes the file for good.
fn fail(current: &mut Current, source: std::io::Error, dir: &Path) -> StoreError {
    let first = current.first();
    let cause = source.to_string();
    *current = Current::Failed { first, cause };
    StoreError::io(&dir.join(segment::name(first)))(source)
}

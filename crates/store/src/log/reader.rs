//! Reading a log: what each segment holds, and which of it is the run's history.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tabswarm_coordinator::LogEntry;
use tabswarm_protocol::RunId;

use super::record::{self, Header, Mark, Record};
use super::segment::{self, Beginning};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::limits::SCAN_ATTEMPTS;

/// Where a record is, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    /// First sequence of its segment.
    pub(crate) segment: u64,
    /// In the file, in bytes.
    pub(crate) offset: u64,
    /// Its header.
    pub(crate) header: Header,
    mark: Mark,
    /// Its entry; none for a sync record.
    pub(crate) entry: Option<LogEntry>,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadBytes {
    /// First sequence of the segment.
    pub(crate) segment: u64,
    /// In the file.
    pub(crate) offset: u64,
    /// So many.
    pub(crate) bytes: u64,
    /// The entry that should be here.
    pub(crate) expected: u64,
}

/// What a log's files say, taken together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    /// Folder of the segments.
    pub(crate) dir: PathBuf,
    /// First sequences of the segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Entries that are not superseded, by sequence.
    pub(crate) entries: BTreeMap<u64, Located>,
    /// Bytes that should have been records, where they are not superseded.
    pub(crate) bad: Vec<BadBytes>,
    /// Bytes that are no record where nothing counts any more: torn tails of the past.
    pub(crate) superseded_bytes: u64,
    /// Everything up to here was certainly on stable storage: some record or segment says so.
    pub(crate) proved: u64,
    /// Length of all segments in bytes.
    pub(crate) bytes: u64,
    /// Records with right checksums.
    pub(crate) records: u64,
}

/// Reads all segments of a folder; a folder that does not exist has none.
///
/// The log of a run that goes on loses segments that a new snapshot makes needless: where one goes between the
/// list and the reading, all is read once more.
pub(crate) fn scan(disk: &dyn Disk, dir: &Path, run_id: RunId) -> Result<Scan, StoreError> {
    for _ in 1..SCAN_ATTEMPTS {
        match scan_once(disk, dir, run_id) {
            Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            scanned => return scanned,
        }
    }
    scan_once(disk, dir, run_id)
}

fn scan_once(disk: &dyn Disk, dir: &Path, run_id: RunId) -> Result<Scan, StoreError> {
    let mut scan = Scan {
        dir: dir.to_owned(),
        ..Scan::default()
    };
    if !disk.exists(dir).map_err(StoreError::io(dir))? {
        return Ok(scan);
    }
    scan.segments = segment::list(disk, dir).map_err(StoreError::io(dir))?;
    for idx in 0..scan.segments.len() {
        let first = scan.segments[idx];
        let superseded_from = scan.segments.get(idx + 1).copied().unwrap_or(u64::MAX);
        let path = dir.join(segment::name(first));
        let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
        // Its name appeared when everything before it was durable.
        scan.proved = scan.proved.max(first.saturating_sub(1));
        scan.read_segment(&path, &bytes, run_id, first..superseded_from)?;
    }
    Ok(scan)
}

impl Scan {
    fn read_segment(
        &mut self,
        path: &Path,
        bytes: &[u8],
        run_id: RunId,
        live: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        let mut at = segment::HEADER_BYTES;
        let mark = match segment::SegmentHeader::parse(bytes) {
            Beginning::Newer(found) => {
                return Err(StoreError::NewerFormat {
                    path: path.to_owned(),
                    found,
                });
            }
            Beginning::Known(header) if header.run_id != run_id => {
                return Err(StoreError::Foreign {
                    path: path.to_owned(),
                    problem: format!("it belongs to run {}, not {}", header.run_id.0, run_id.0),
                });
            }
            Beginning::Known(header) if header.first == live.start => header.mark,
            Beginning::Known(_) | Beginning::Damaged => {
                self.push_bad(&live, 0, at.min(bytes.len()), live.start);
                // The first record begins with the mark, and proves it by its checksum.
                match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
                    Some(mark) => *mark,
                    None => return Ok(()),
                }
            }
        };
        let mut expected = live.start;
        while at < bytes.len() {
            let found = Record::parse(&bytes[at..], mark)
                .and_then(|record| self.push(&live, at, &record, mark, expected));
            match found {
                Some((len, sequence)) => {
                    at += len;
                    expected = sequence + 1;
                }
                None => {
                    let next = next_record(bytes, at + 1, mark);
                    self.push_bad(&live, at, next - at, expected);
                    at = next;
                }
            }
        }
        Ok(())
    }

    /// Takes a record; its length and sequence, unless it says impossible things.
    fn push(
        &mut self,
        live: &std::ops::Range<u64>,
        at: usize,
        record: &Record<'_>,
        mark: Mark,
        expected: u64,
    ) -> Option<(usize, u64)> {
        let header = record.header;
        let entry = record.entry().ok()?;
        let follows = match &entry {
            Some(_) => header.sequence >= expected,
            None => header.sequence + 1 >= expected,
        };
        if !follows {
            return None;
        }
        self.records += 1;
        self.proved = self.proved.max(header.synced_through);
        if entry.is_some() && header.sequence < live.end {
            let located = Located {
                segment: live.start,
                offset: at as u64,
                header,
                mark,
                entry,
            };
            self.entries.insert(header.sequence, located);
        }
        Some((header.record_bytes(), header.sequence))
    }

    fn push_bad(&mut self, live: &std::ops::Range<u64>, at: usize, len: usize, expected: u64) {
        if len > 0 && expected >= live.end && at > 0 {
            self.superseded_bytes += len as u64;
        } else if len > 0 {
            self.bad.push(BadBytes {
                segment: live.start,
                offset: at as u64,
                bytes: len as u64,
                expected,
            });
        }
    }

    /// The entry of a sequence.
    pub(crate) fn entry(&self, sequence: u64) -> Option<&LogEntry> {
        self.entries.get(&sequence)?.entry.as_ref()
    }

    /// Entries behind `sequence` without a gap.
    pub(crate) fn chain(&self, sequence: u64) -> impl Iterator<Item = &Located> {
        (sequence + 1..).map_while(|next| self.entries.get(&next))
    }

    /// Where an entry is, or should be: file and offset.
    pub(crate) fn place_of(&self, sequence: u64) -> (PathBuf, u64) {
        let bad = || self.bad.iter().rfind(|bad| bad.expected == sequence);
        let before = || self.entries.range(..sequence).next_back();
        let (segment, offset) = if let Some(located) = self.entries.get(&sequence) {
            (located.segment, located.offset)
        } else if let Some(bad) = bad() {
            (bad.segment, bad.offset)
        } else if let Some((_, located)) = before() {
            let behind = located.offset + located.header.record_bytes() as u64;
            (located.segment, behind)
        } else {
            (self.segments.first().copied().unwrap_or(sequence), 0)
        };
        (self.dir.join(segment::name(segment)), offset)
    }
}

/// Where the next whole record begins, or the end.
fn next_record(bytes: &[u8], from: usize, mark: Mark) -> usize {
    (from..bytes.len().saturating_sub(record::HEADER_BYTES - 1))
        .filter(|&at| bytes[at..].starts_with(&mark))
        .find(|&at| Record::parse(&bytes[at..], mark).is_some())
        .unwrap_or(bytes.len())
}

/// Reads a record's bytes again and checks them again.
pub(crate) fn read_record(
    disk: &dyn Disk,
    dir: &Path,
    located: &Located,
) -> Result<Vec<u8>, StoreError> {
    let path = dir.join(segment::name(located.segment));
    let bytes = disk
        .read_range(&path, located.offset, located.header.record_bytes())
        .map_err(StoreError::io(&path))?;
    if Record::parse(&bytes, located.mark).is_none() {
        return Err(StoreError::Io {
            path,
            source: std::io::Error::other("a record reads differently than a moment ago"),
        });
    }
    Ok(bytes)
}

impl Located {
    /// The record in bytes that [`read_record`] gave.
    pub(crate) fn record<'a>(&self, bytes: &'a [u8]) -> Record<'a> {
        Record::parse(bytes, self.mark).expect("it was checked when it was read")
    }
}

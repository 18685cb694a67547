//! Segment files: their names and headers, and how one appears.

use std::io;
use std::path::{Path, PathBuf};

use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::record::{Mark, u32_at, u64_at};
use crate::disk::{self, Disk, DiskFile};
use crate::error::FORMAT;

/// Length of a segment's header.
pub(crate) const HEADER_BYTES: usize = 40;
const CHECKED: usize = HEADER_BYTES - 4;
const MAGIC: &[u8; 8] = b"TABSLOG\n";

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Of which run.
    pub(crate) run_id: RunId,
    /// Sequence of its first record; all before it are durable elsewhere, in a segment or a snapshot.
    pub(crate) first: u64,
    /// Begins every record.
    pub(crate) mark: Mark,
}

/// What the beginning of a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// A header.
    Known(SegmentHeader),
    /// Of a later format.
    Newer(u32),
    /// Something else.
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn write(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.run_id.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.mark);
        let crc = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Beginning {
        let Some(bytes) = bytes.get(..HEADER_BYTES) else {
            return Beginning::Damaged;
        };
        if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..CHECKED]) != u32_at(bytes, CHECKED) {
            return Beginning::Damaged;
        }
        match u32_at(bytes, 8) {
            FORMAT => Beginning::Known(Self {
                run_id: RunId(u32_at(bytes, 12)),
                first: u64_at(bytes, 16),
                mark: std::array::from_fn(|idx| bytes[24 + idx]),
            }),
            newer => Beginning::Newer(newer),
        }
    }
}

/// A mark that nobody without the secret can tell.
pub(crate) fn mark(secret: u64, first: u64) -> Mark {
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&secret.to_le_bytes());
    seed[8..].copy_from_slice(&first.to_le_bytes());
    let digest = Digest::of(&seed);
    std::array::from_fn(|idx| digest.0[idx])
}

/// Name of the segment that begins with a sequence.
pub(crate) fn name(first: u64) -> String {
    format!("{first:016x}.log")
}

/// The sequence in a segment's name.
pub(crate) fn first_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".log")?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    (name(first) == file_name).then_some(first)
}

/// The segments of a folder by their first sequence, ascending.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let names = disk.list(dir)?;
    let mut all: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    all.sort_unstable();
    Ok(all)
}

/// How far putting a segment in place got before it failed.
#[derive(Debug)]
pub(crate) struct CreateError {
    /// The system's message.
    pub(crate) source: io::Error,
    /// The segment may be in the folder, and supersedes what it supersedes.
    pub(crate) may_exist: bool,
}

/// Puts a segment with these records in place, durably and all at once, to be appended to.
pub(crate) fn create(
    disk: &dyn Disk,
    dir: &Path,
    header: SegmentHeader,
    records: &[u8],
) -> Result<Box<dyn DiskFile>, CreateError> {
    let path: PathBuf = dir.join(name(header.first));
    let prepare = || {
        let unfinished = disk::unfinished(disk, &path)?;
        let mut file = disk.create_new(&unfinished)?;
        file.write_all(&header.write())?;
        file.write_all(records)?;
        file.sync()?;
        Ok((unfinished, file))
    };
    let (unfinished, file) = prepare().map_err(|source| CreateError {
        source,
        may_exist: false,
    })?;
    let placed = disk
        .rename(&unfinished, &path)
        .and_then(|()| disk.sync_dir(dir));
    placed.map_err(|source| CreateError {
        source,
        may_exist: true,
    })?;
    Ok(file)
}

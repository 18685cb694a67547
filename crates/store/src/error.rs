//! What can go wrong with stored runs. Every message says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use tabswarm_coordinator::SettingsError;
use thiserror::Error;

/// Newest format of stored runs that this crate reads and writes.
pub const FORMAT: u32 = 2;

/// Why the store can't do what it was asked to.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// A file's content is not what was written.
    #[error("{} is damaged: {problem}; {}", path.display(), repair_hint(dir))]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The run's folder.
        dir: PathBuf,
    },
    /// A file is damaged that nothing else can stand in for.
    #[error("{} is damaged: {problem}; restore it from a backup", path.display())]
    Irreplaceable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Changes that were on stable storage can't be read any more.
    #[error(
        "{} is damaged at byte {offset}: changes {first_lost} to {last_lost} of the run were stored and can't be read; restore the folder from a backup, or give them up with `tabswarm store repair {}`",
        path.display(), dir.display()
    )]
    LogDamaged {
        /// The segment that should have the first of them.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Sequence of the first lost entry.
        first_lost: u64,
        /// Sequence of the last entry that was certainly stored.
        last_lost: u64,
        /// The run's folder.
        dir: PathBuf,
    },
    /// There is nothing that the run's log could be applied to.
    #[error(
        "{}: no usable snapshot reaches back to version {version}; restore the snapshots from a backup, or {}",
        dir.display(), repair_hint(dir)
    )]
    NoBase {
        /// The version that has to be restored.
        version: u64,
        /// The run's folder.
        dir: PathBuf,
    },
    /// The stored form is newer than this program.
    #[error(
        "{} has format {found}, this program reads up to {FORMAT}: use the program that wrote it, or a newer one",
        path.display()
    )]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The stored form is older than what can be looked at without changing it.
    #[error("{} has format {found}: start the server once, which brings it to format {FORMAT}", path.display())]
    OlderFormat {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A replayed step does not give the parameters that it gave the first time.
    #[error(
        "{}: replaying the step to version {version} gives other parameters than it gave before: the run file or the program has changed; go back to what wrote the log, or to a snapshot with `tabswarm store rollback {} --to VERSION`",
        dir.display(), dir.display()
    )]
    ReplayDiffers {
        /// The version.
        version: u64,
        /// The run's folder.
        dir: PathBuf,
    },
    /// The files belong to another run, or do not fit the run file.
    #[error("{}: {problem}; put the file back that belongs here", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// An entry does not follow the one before it: the caller's mistake.
    #[error("entry {got} was to be written behind entry {last}")]
    Sequence {
        /// The last one.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// A record would be larger than any reader accepts.
    #[error("entry {sequence} takes {bytes} bytes, at most {limit} fit a record")]
    TooLarge {
        /// Of the entry.
        sequence: u64,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The log had a failure and takes nothing until it is opened again.
    #[error(
        "the log in {} takes nothing since a failure ({cause}); free space or replace the disk, it is tried again",
        path.display()
    )]
    Degraded {
        /// The log's folder.
        path: PathBuf,
        /// The failure.
        cause: String,
    },
    /// The version asked for can't be restored.
    #[error("version {version} of {} can't be restored; `tabswarm store versions {}` lists those that can", dir.display(), dir.display())]
    NoSuchVersion {
        /// The version.
        version: u64,
        /// The run's folder.
        dir: PathBuf,
    },
}

/// Why a run's settings were not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// They can't be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The run's files.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn repair_hint(dir: &Path) -> String {
    format!(
        "restore it from a backup, or set it aside with `tabswarm store repair {}`",
        dir.display()
    )
}

impl StoreError {
    /// Makes the system's error one with a path, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

//! Runs that are put away: out of memory and of all lists, with all their files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tabswarm_store::{RunStore, UNFINISHED};
use thiserror::Error;
use tracing::warn;

use super::Hosts;
use crate::actor::PreparedRun;
use crate::view::RunFacts;

/// Why a run can't be put away or taken back.
#[derive(Debug, Error)]
pub(crate) enum ArchiveError {
    /// There is no such run.
    #[error("there is no archived run named {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A file can't be moved or read.
    #[error("{}: {source}; check the data directory's permissions and free space", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// It was moved, but can't be hosted, and lies where it lay.
    #[error("the run {name:?} can't be restored: {problem}")]
    Unusable {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl Hosts {
    /// Moves the folder of a run that nobody uses any more.
    pub(crate) fn archive(&self, run: &RunFacts) -> Result<(), ArchiveError> {
        let archive = self.store.archive_path();
        let name = &run.run.name;
        let moved = self.disk.create_dir_all(&archive).and_then(|()| {
            // It may be new, and nothing in it lasts unless its own name does.
            if let Some(data_dir) = archive.parent() {
                self.disk.sync_dir(data_dir)?;
            }
            self.move_run(run.store.dir(), &archive.join(name))
        });
        moved.map_err(|source| ArchiveError::File {
            path: archive.join(name),
            source,
        })
    }

    /// The names of all runs that were put away, sorted.
    pub(crate) fn archived(&self) -> Result<Vec<String>, ArchiveError> {
        let path = self.store.archive_path();
        let listed = match self.disk.exists(&path) {
            Ok(false) => return Ok(Vec::new()),
            Ok(true) => self.disk.list(&path),
            Err(error) => Err(error),
        };
        let mut names = listed.map_err(|source| ArchiveError::File { path, source })?;
        names.retain(|name| !name.starts_with(UNFINISHED));
        names.sort_unstable();
        Ok(names)
    }

    /// Takes a run back that was put away.
    pub(crate) fn unarchive(&self, name: &str) -> Result<PreparedRun, ArchiveError> {
        // Also keeps names out that would lead elsewhere.
        if !self.archived()?.iter().any(|known| known == name) {
            let name = name.to_owned();
            return Err(ArchiveError::Unknown { name });
        }
        let (away, dir) = (
            self.store.archive_path().join(name),
            self.store.run_dir(name),
        );
        let failed = |source| ArchiveError::File {
            path: dir.clone(),
            source,
        };
        self.move_run(&away, &dir).map_err(failed)?;
        match self.restore(name, &dir) {
            Ok(run) => Ok(run),
            Err(problem) => {
                self.move_run(&dir, &away).map_err(failed)?;
                Err(ArchiveError::Unusable {
                    name: name.to_owned(),
                    problem: format!("{problem:#}"),
                })
            }
        }
    }

    fn move_run(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        for folder in [to.parent(), from.parent()].into_iter().flatten() {
            self.disk.sync_dir(folder)?;
        }
        Ok(())
    }

    /// Ids are never used twice, also not those of runs that were put away.
    pub(super) fn pass_archived_ids(&self) {
        let names = self.archived().unwrap_or_else(|error| {
            warn!(%error, "the archive can't be read");
            Vec::new()
        });
        for name in names {
            let dir = self.store.archive_path().join(&name);
            match RunStore::open(Arc::clone(&self.disk), &dir) {
                Ok(run) => {
                    let after = run.hosting().run_id.0 + 1;
                    self.next_run_id.fetch_max(after, Ordering::Relaxed);
                }
                Err(error) => warn!(run = name, %error, "an archived run can't be read"),
            }
        }
    }
}

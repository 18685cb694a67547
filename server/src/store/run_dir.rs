//! What is stored of one run.
//!
//! ```text
//! run.toml       the run file as the operator sent it
//! hosting.json   the run's id and the digests of its data
//! phase.json     the phase, written at every change: snapshots are rarer
//! history.json   loss curve and evaluations, written with every snapshot
//! snapshots/     see `snapshot`
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tabswarm_coordinator::RunPhase;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use thiserror::Error;

use super::atomic;
use super::snapshot::SnapshotDir;
use crate::history::History;

const FORMAT: u32 = 1;

/// Why a run's files can't be used.
#[derive(Debug, Error)]
pub(crate) enum RunDirError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// A file's content is not of the expected form.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What of a run never changes but is not in its run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hosting {
    /// Its id.
    pub(crate) run_id: RunId,
    /// The training set's manifest.
    pub(crate) dataset: Digest,
    /// The test set's manifest.
    pub(crate) test_set: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHosting {
    format: u32,
    run_id: u32,
    dataset: Digest,
    test_set: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPhase {
    phase: String,
}

/// A run's folder.
#[derive(Debug, Clone)]
pub(crate) struct RunDir {
    path: PathBuf,
}

impl RunDir {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether there is a run of this name.
    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Stores a new run: all of it or nothing.
    pub(crate) fn create(&self, run_toml: &str, hosting: Hosting) -> Result<(), RunDirError> {
        let unfinished = Self::new(atomic::unfinished_path(&self.path));
        let made = unfinished.fill(run_toml, hosting).and_then(|()| {
            let renamed = std::fs::rename(&unfinished.path, &self.path)
                .and_then(|()| atomic::sync_folder(self.path.parent().unwrap_or(Path::new("."))));
            renamed.map_err(|source| io_error(&self.path, source))
        });
        if made.is_err() {
            // The error above is the one to tell; the next start removes what is left.
            drop(std::fs::remove_dir_all(&unfinished.path));
        }
        made
    }

    fn fill(&self, run_toml: &str, hosting: Hosting) -> Result<(), RunDirError> {
        let snapshots = self.snapshots().path().to_owned();
        std::fs::create_dir_all(&snapshots).map_err(|source| io_error(&snapshots, source))?;
        let stored = StoredHosting {
            format: FORMAT,
            run_id: hosting.run_id.0,
            dataset: hosting.dataset,
            test_set: hosting.test_set,
        };
        self.write("run.toml", run_toml.as_bytes())?;
        self.write_json("hosting.json", &stored)?;
        self.write_phase(RunPhase::Created)
    }

    /// The run file.
    pub(crate) fn run_toml(&self) -> Result<String, RunDirError> {
        let path = self.path.join("run.toml");
        std::fs::read_to_string(&path).map_err(|source| io_error(&path, source))
    }

    /// The run's id and data.
    pub(crate) fn hosting(&self) -> Result<Hosting, RunDirError> {
        let stored: StoredHosting = self.read_json("hosting.json")?;
        if stored.format != FORMAT {
            return Err(RunDirError::Unreadable {
                path: self.path.join("hosting.json"),
                problem: format!("format {} instead of {FORMAT}", stored.format),
            });
        }
        Ok(Hosting {
            run_id: RunId(stored.run_id),
            dataset: stored.dataset,
            test_set: stored.test_set,
        })
    }

    /// The phase at its last change.
    pub(crate) fn phase(&self) -> Result<RunPhase, RunDirError> {
        let stored: StoredPhase = self.read_json("phase.json")?;
        RunPhase::from_word(&stored.phase).ok_or_else(|| RunDirError::Unreadable {
            path: self.path.join("phase.json"),
            problem: format!("the phase {:?} is unknown", stored.phase),
        })
    }

    /// Stores a changed phase.
    pub(crate) fn write_phase(&self, phase: RunPhase) -> Result<(), RunDirError> {
        self.write_json(
            "phase.json",
            &StoredPhase {
                phase: phase.as_str().to_owned(),
            },
        )
    }

    /// The loss curve; empty if none was stored yet.
    pub(crate) fn history(&self) -> Result<History, RunDirError> {
        if !self.path.join("history.json").exists() {
            return Ok(History::default());
        }
        self.read_json("history.json")
    }

    /// Stores the loss curve.
    pub(crate) fn write_history(&self, history: &History) -> Result<(), RunDirError> {
        self.write_json("history.json", history)
    }

    /// The snapshots.
    pub(crate) fn snapshots(&self) -> SnapshotDir {
        SnapshotDir::new(self.path.join("snapshots"))
    }

    pub(super) fn remove_leftovers(&self) -> io::Result<()> {
        atomic::remove_unfinished(&self.path)?;
        let snapshots = self.path.join("snapshots");
        if snapshots.exists() {
            atomic::remove_unfinished(&snapshots)
        } else {
            Ok(())
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirError> {
        let path = self.path.join(name);
        atomic::write(&path, bytes).map_err(|source| io_error(&path, source))
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RunDirError> {
        let json = serde_json::to_vec(value).expect("stored forms have string keys only");
        self.write(name, &json)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunDirError> {
        let path = self.path.join(name);
        let bytes = std::fs::read(&path).map_err(|source| io_error(&path, source))?;
        serde_json::from_slice(&bytes).map_err(|error| RunDirError::Unreadable {
            path,
            problem: error.to_string(),
        })
    }
}

fn io_error(path: &Path, source: io::Error) -> RunDirError {
    RunDirError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_run_is_stored_whole() {
        let scratch = Scratch::new("run-dir");
        let dir = RunDir::new(scratch.path().join("digits"));
        let hosting = Hosting {
            run_id: RunId(3),
            dataset: Digest([1; 32]),
            test_set: Digest([2; 32]),
        };
        dir.create("name = \"digits\"", hosting).unwrap();
        assert_eq!(dir.hosting().unwrap(), hosting);
        assert_eq!(dir.phase().unwrap(), RunPhase::Created);
        assert_eq!(dir.history().unwrap(), History::default());
        dir.write_phase(RunPhase::Running).unwrap();
        assert_eq!(dir.phase().unwrap(), RunPhase::Running);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unknown_phase_is_named() {
        let scratch = Scratch::new("run-dir-phase");
        let dir = RunDir::new(scratch.path().to_owned());
        std::fs::write(scratch.path().join("phase.json"), r#"{"phase":"dancing"}"#).unwrap();
        let message = dir.phase().unwrap_err().to_string();
        assert!(
            message.contains("dancing") && message.contains("phase.json"),
            "{message}"
        );
    }
}

//! `hosting.json`: what of a run never changes but is not in its run file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use crate::disk::{self, Disk};
use crate::error::{FORMAT, StoreError};
use crate::sealed::{self, SealError};

/// Name of the file.
pub(crate) const FILE: &str = "hosting.json";

/// What of a run never changes but is not in its run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hosting {
    /// Its id.
    pub run_id: RunId,
    /// The training set's manifest.
    pub dataset: Digest,
    /// The test set's manifest.
    pub test_set: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    run_id: u32,
    dataset: Digest,
    test_set: Digest,
    /// Of `run.toml`, which people might edit.
    run_file: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFormat1 {
    #[serde(rename = "format")]
    _format: u32,
    run_id: u32,
    dataset: Digest,
    test_set: Digest,
}

/// A read file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    /// Of today's format, with the run file's digest.
    Current(Hosting, Digest),
    /// To be migrated.
    Format1(Hosting),
}

/// Reads the file of a run's folder.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Found, StoreError> {
    let path = dir.join(FILE);
    let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
    let damaged = |problem: String| StoreError::Irreplaceable {
        path: path.clone(),
        problem,
    };
    if sealed::format_of(&bytes) == Some(1) && !sealed::is_sealed(&bytes) {
        let stored: StoredFormat1 =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        return Ok(Found::Format1(Hosting {
            run_id: RunId(stored.run_id),
            dataset: stored.dataset,
            test_set: stored.test_set,
        }));
    }
    let stored: Stored = sealed::unseal(&bytes, FORMAT).map_err(|error| match error {
        SealError::Damaged(problem) => damaged(problem),
        SealError::Newer(found) => StoreError::NewerFormat {
            path: path.clone(),
            found,
        },
    })?;
    let hosting = Hosting {
        run_id: RunId(stored.run_id),
        dataset: stored.dataset,
        test_set: stored.test_set,
    };
    Ok(Found::Current(hosting, stored.run_file))
}

/// Writes the file durably.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    hosting: Hosting,
    run_file: &str,
) -> Result<(), StoreError> {
    let stored = Stored {
        run_id: hosting.run_id.0,
        dataset: hosting.dataset,
        test_set: hosting.test_set,
        run_file: Digest::of(run_file.as_bytes()),
    };
    let path = dir.join(FILE);
    disk::replace(disk, &path, sealed::seal(&stored).as_bytes()).map_err(StoreError::io(&path))
}

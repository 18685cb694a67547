//! Where runs keep their snapshots: in their folders, or in a bucket, one prefix for each run.
//!
//! The data directory's file `snapshots.json` records a bucket, so that no start looks in the wrong place and
//! finds runs without snapshots. The bucket has an object that says whose it is, so that no two data
//! directories, whose runs have the same ids, share one prefix.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tabswarm_model::digest::Digest;
use tabswarm_store::{Disk, Objects, RunStore, StoreError, UNFINISHED};
use thiserror::Error;
use tokio::runtime::Handle;

use crate::auth::{TokenError, random_bytes};
use crate::object_storage::{Location, ObjectStorage, ObjectStorageError};
use crate::store::atomic;
use crate::store::run_folders;

/// The data directory's file.
const FILE: &str = "snapshots.json";
/// The bucket's object.
const OWNER: &str = "tabswarm-owner.json";
const SNAPSHOT_DIR: &str = "snapshots";

/// Why snapshots can't be kept where they should be.
#[derive(Debug, Error)]
pub(crate) enum SnapshotPlaceError {
    /// The URL or the variables.
    #[error(transparent)]
    Storage(#[from] ObjectStorageError),
    /// A run's files.
    #[error(transparent)]
    Run(#[from] StoreError),
    /// No random number.
    #[error(transparent)]
    Random(#[from] TokenError),
    /// The bucket can't be used. The message says what to check.
    #[error("snapshots can't be kept at {url}: {source}")]
    Unreachable {
        /// The place.
        url: String,
        /// What failed.
        source: io::Error,
    },
    /// Something below the data directory can't be read or written.
    #[error("{}: {source}; check the data directory's permissions and free space", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// The record of the place is not what was written.
    #[error(
        "{} is damaged ({problem}); restore it from a backup: it says where the runs' snapshots are", path.display()
    )]
    Damaged {
        /// Which file or object.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Another place is recorded.
    #[error(
        "the snapshots of {} are at {recorded}: give --snapshots {recorded}, or set TABSWARM_SNAPSHOTS to it", root.display()
    )]
    Elsewhere {
        /// The data directory.
        root: PathBuf,
        /// The place.
        recorded: String,
    },
    /// No place is recorded, and there are runs.
    #[error(
        "the runs of {} keep their snapshots in their folders, not at {url}: leave out --snapshots (and TABSWARM_SNAPSHOTS), or choose a new data directory for runs with snapshots there",
        root.display()
    )]
    InFolders {
        /// The data directory.
        root: PathBuf,
        /// The place that was given.
        url: String,
    },
    /// The bucket's prefix is another data directory's.
    #[error(
        "{url} has snapshots of another data directory than {}: choose another prefix, or start with the data directory that they belong to",
        root.display()
    )]
    OthersPlace {
        /// The place.
        url: String,
        /// The data directory.
        root: PathBuf,
    },
    /// The bucket's prefix is nobody's, and there are runs.
    #[error(
        "{url} is not where the runs of {} have their snapshots: it has no {OWNER}; check AWS_ENDPOINT_URL and the bucket, or restore its objects from a backup",
        root.display()
    )]
    WrongPlace {
        /// The place.
        url: String,
        /// The data directory.
        root: PathBuf,
    },
    /// A new run's objects are there before it.
    #[error(
        "{place} has objects of an earlier run, or of one that was only half made: remove them, or choose another name for the run"
    )]
    NotEmpty {
        /// The run's place.
        place: String,
    },
    /// A run has snapshots in its folder although they are kept in a bucket.
    #[error(
        "{} has snapshots, but the snapshots of this data directory are kept in a bucket: move them to {place}, or out of the way",
        dir.display()
    )]
    Stray {
        /// The folder.
        dir: PathBuf,
        /// Where they would belong.
        place: String,
    },
}

/// Where the snapshots of all runs of a data directory are.
#[derive(Debug, Clone)]
pub(crate) enum SnapshotPlace {
    /// In the runs' folders.
    Folders,
    /// In a bucket.
    Bucket(ObjectStorage),
}

/// What may be done about a place that was not used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstUse {
    /// It becomes the data directory's.
    Claim,
    /// Nothing: it has to be the recorded one.
    Refuse,
}

/// Content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    snapshots: String,
    owner: String,
}

/// Content of the object.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    owner: String,
}

impl SnapshotPlace {
    /// Whether a bucket could be asked at all: its address is one, and `AWS_*` variables say what is needed.
    pub(crate) fn check(url: &str, runtime: Handle) -> Result<(), SnapshotPlaceError> {
        ObjectStorage::s3(Location::parse(url)?, variables(), runtime)?;
        Ok(())
    }

    /// The place of a data directory, which must be the recorded one. A bucket is asked whether it is the right
    /// one, with a configuration from `AWS_*` variables. Blocks, and must not be called on a thread of
    /// `runtime`.
    pub(crate) fn open(
        root: &Path,
        url: Option<&str>,
        runtime: Handle,
        first_use: FirstUse,
    ) -> Result<Self, SnapshotPlaceError> {
        let recorded = read_record(root)?;
        let Some(url) = url else {
            return match recorded {
                None => Ok(Self::Folders),
                Some(Recorded { snapshots, .. }) => Err(SnapshotPlaceError::Elsewhere {
                    root: root.to_owned(),
                    recorded: snapshots,
                }),
            };
        };
        let location = Location::parse(url)?;
        // Without what people write differently at its end.
        let url = location.to_string();
        if let Some(recorded) = &recorded
            && recorded.snapshots != url
        {
            return Err(SnapshotPlaceError::Elsewhere {
                root: root.to_owned(),
                recorded: recorded.snapshots.clone(),
            });
        }
        let storage = ObjectStorage::s3(location, variables(), runtime)?;
        let bucket = Bucket { root, url, storage };
        match recorded {
            Some(recorded) => bucket.check(&recorded)?,
            None if first_use == FirstUse::Claim => bucket.claim()?,
            None => return Err(bucket.in_folders()),
        }
        Ok(Self::Bucket(bucket.storage))
    }

    /// The objects of a run, if they are not in its folder, by the folder's name.
    pub(crate) fn of_run(
        &self,
        dir: &Path,
    ) -> Result<Option<Arc<dyn Objects>>, SnapshotPlaceError> {
        let Self::Bucket(storage) = self else {
            return Ok(None);
        };
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(Arc::new(storage.below(&name)?)))
    }

    /// The same for a run that is about to be made: there must be none yet.
    pub(crate) fn of_new_run(
        &self,
        dir: &Path,
    ) -> Result<Option<Arc<dyn Objects>>, SnapshotPlaceError> {
        let Some(objects) = self.of_run(dir)? else {
            return Ok(None);
        };
        let place = objects.place("").display().to_string();
        match objects.list() {
            Ok(names) if names.is_empty() => Ok(Some(objects)),
            Ok(_) => Err(SnapshotPlaceError::NotEmpty { place }),
            Err(source) => Err(SnapshotPlaceError::Unreachable { url: place, source }),
        }
    }

    /// Opens a stored run with its snapshots.
    pub(crate) fn open_run(
        &self,
        disk: &Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<RunStore, SnapshotPlaceError> {
        let Some(objects) = self.of_run(dir)? else {
            return Ok(RunStore::open(Arc::clone(disk), dir)?);
        };
        // Before anything is migrated into it.
        let stray = dir.join(SNAPSHOT_DIR);
        let io = |source| SnapshotPlaceError::File {
            path: stray.clone(),
            source,
        };
        if disk.exists(&stray).map_err(io)? {
            let names = disk.list(&stray).map_err(io)?;
            if names.iter().any(|name| !name.starts_with(UNFINISHED)) {
                let place = objects.place("").display().to_string();
                return Err(SnapshotPlaceError::Stray { dir: stray, place });
            }
        }
        Ok(RunStore::open(Arc::clone(disk), dir)?.with_objects(objects))
    }
}

/// A bucket in question.
struct Bucket<'a> {
    root: &'a Path,
    url: String,
    storage: ObjectStorage,
}

impl Bucket<'_> {
    /// Makes an unused place this data directory's.
    fn claim(&self) -> Result<(), SnapshotPlaceError> {
        if self.has_runs()? {
            return Err(self.in_folders());
        }
        self.probe()?;
        if self.owner()?.is_some() {
            return Err(self.others());
        }
        let recorded = Recorded {
            snapshots: self.url.clone(),
            owner: Digest::of(&random_bytes()?).to_string(),
        };
        // The record first: a crash between leaves a data directory without runs, whose next start goes on.
        write_record(self.root, &recorded)?;
        self.put_owner(&recorded)
    }

    /// The place is the one that this data directory has used before.
    fn check(&self, recorded: &Recorded) -> Result<(), SnapshotPlaceError> {
        match self.owner()? {
            Some(owner) if owner.owner == recorded.owner => self.probe(),
            Some(_) => Err(self.others()),
            None if self.has_runs()? => Err(SnapshotPlaceError::WrongPlace {
                url: self.url.clone(),
                root: self.root.to_owned(),
            }),
            None => {
                self.probe()?;
                self.put_owner(recorded)
            }
        }
    }

    fn put_owner(&self, recorded: &Recorded) -> Result<(), SnapshotPlaceError> {
        let owner = Owner {
            owner: recorded.owner.clone(),
        };
        let bytes = serde_json::to_vec(&owner).expect("a struct of strings");
        let put = self.storage.put(OWNER, &bytes);
        put.map_err(|source| self.unreachable(source))?;
        // Another server may have done the same at the same moment.
        if self.owner()? == Some(owner) {
            Ok(())
        } else {
            Err(self.others())
        }
    }

    fn owner(&self) -> Result<Option<Owner>, SnapshotPlaceError> {
        match self.storage.get(OWNER) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(owner) => Ok(Some(owner)),
                Err(problem) => Err(SnapshotPlaceError::Damaged {
                    path: self.storage.place(OWNER),
                    problem: problem.to_string(),
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.unreachable(source)),
        }
    }

    fn probe(&self) -> Result<(), SnapshotPlaceError> {
        let probed = self.storage.probe();
        probed.map_err(|source| self.unreachable(source))
    }

    fn has_runs(&self) -> Result<bool, SnapshotPlaceError> {
        match run_folders(self.root) {
            Ok(folders) => Ok(!folders.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(SnapshotPlaceError::File {
                path: self.root.to_owned(),
                source,
            }),
        }
    }

    fn unreachable(&self, source: io::Error) -> SnapshotPlaceError {
        SnapshotPlaceError::Unreachable {
            url: self.url.clone(),
            source,
        }
    }

    fn others(&self) -> SnapshotPlaceError {
        SnapshotPlaceError::OthersPlace {
            url: self.url.clone(),
            root: self.root.to_owned(),
        }
    }

    fn in_folders(&self) -> SnapshotPlaceError {
        SnapshotPlaceError::InFolders {
            root: self.root.to_owned(),
            url: self.url.clone(),
        }
    }
}

/// The process's variables that are text; no other can be meant for us.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.into_string().ok()?))
    })
}

fn read_record(root: &Path) -> Result<Option<Recorded>, SnapshotPlaceError> {
    let path = root.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SnapshotPlaceError::File { path, source }),
    };
    match serde_json::from_slice(&bytes) {
        Ok(recorded) => Ok(Some(recorded)),
        Err(problem) => Err(SnapshotPlaceError::Damaged {
            path,
            problem: problem.to_string(),
        }),
    }
}

fn write_record(root: &Path, recorded: &Recorded) -> Result<(), SnapshotPlaceError> {
    let path = root.join(FILE);
    let text = serde_json::to_string(recorded).expect("a struct of strings");
    atomic::write_file(&path, text.as_bytes())
        .and_then(|()| atomic::sync_folder(root))
        .map_err(|source| SnapshotPlaceError::File { path, source })
}

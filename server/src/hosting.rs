//! From a run file, or from a run's folder, to a run that the coordinator's thread can host.
//!
//! Blocking: files are read, hashed and written here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use tabswarm_coordinator::{NewRun, RunPhase, RunState};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;
use tabswarm_model::run_file::RunFileError;
use tabswarm_protocol::RunId;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::actor::PreparedRun;
use crate::dataset::{IngestError, Ingested, TestSet, ingest};
use crate::history::History;
use crate::store::Store;
use crate::store::chunks::StoredSetError;
use crate::store::run_dir::{Hosting, RunDir, RunDirError};
use crate::store::snapshot::{Snapshot, SnapshotInfo};
use crate::view::RunFacts;

/// Why a run can't be created.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    /// The run file is wrong.
    #[error(transparent)]
    RunFile(#[from] RunFileError),
    /// The name is taken.
    #[error("there is a run named {name:?} already; give this one another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// The data can't be used.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The data set that was just written can't be read.
    #[error(transparent)]
    Stored(#[from] StoredSetError),
    /// The run's folder can't be written.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
}

/// Makes runs ready.
#[derive(Debug)]
pub(crate) struct Hosts {
    store: Arc<Store>,
    datasets_dir: PathBuf,
    next_run_id: AtomicU32,
}

impl Hosts {
    /// Runs of a data directory.
    pub(crate) fn new(store: Arc<Store>, datasets_dir: PathBuf) -> Self {
        Self {
            store,
            datasets_dir,
            next_run_id: AtomicU32::new(1),
        }
    }

    /// Validates a run file, ingests its data and stores the run.
    pub(crate) fn create(&self, run_toml: &str) -> Result<PreparedRun, CreateError> {
        let run = Run::from_toml(run_toml)?;
        let dir = self.store.run_dir(&run.name);
        if dir.exists() {
            return Err(CreateError::Exists { name: run.name });
        }
        let Ingested {
            dataset,
            manifest,
            test_set,
        } = ingest(&run, &self.datasets_dir, &self.store)?;
        let run_id = RunId(self.next_run_id.fetch_add(1, Ordering::Relaxed));
        let hosting = Hosting {
            run_id,
            dataset,
            test_set,
        };
        let test_set = TestSet::load(&self.store, test_set)?;
        dir.create(run_toml, hosting)?;
        let master = Master::new(&run);
        let state = RunState::fresh(&run);
        info!(run = run.name, %run_id, samples = manifest.samples, "run created");
        let parts = Parts {
            run,
            hosting,
            manifest,
            test_set,
            state,
            master,
        };
        Ok(parts.prepare(dir, History::default(), Vec::new()))
    }

    /// All stored runs. One that can't be restored is logged and left alone; its name stays taken.
    pub(crate) fn restore_all(&self) -> anyhow::Result<Vec<PreparedRun>> {
        let names = self
            .store
            .run_names()
            .context("the folder of runs can't be read")?;
        let mut prepared = Vec::new();
        for name in names {
            let dir = self.store.run_dir(&name);
            if let Ok(hosting) = dir.hosting() {
                // Also of runs that can't be restored now: ids are never used twice.
                self.next_run_id
                    .fetch_max(hosting.run_id.0 + 1, Ordering::Relaxed);
            }
            match self.restore(&name, dir) {
                Ok(run) => prepared.push(run),
                Err(error) => {
                    error!(
                        run = name,
                        error = format!("{error:#}"),
                        "run can't be restored"
                    );
                }
            }
        }
        Ok(prepared)
    }

    fn restore(&self, name: &str, dir: RunDir) -> anyhow::Result<PreparedRun> {
        let run = Run::from_toml(&dir.run_toml()?).context("its run file is not valid any more")?;
        if run.name != name {
            bail!(
                "its folder is named {name:?}, but its run file says {:?}",
                run.name
            );
        }
        let hosting = dir.hosting()?;
        let (manifest, test_set) = self.restore_data(&run, hosting)?;
        let snapshots = dir.snapshots();
        let (mut state, master) = match snapshots.load_newest(&run)? {
            Some(Snapshot {
                state,
                params,
                optimizer,
                ..
            }) => (state, Master::restore(&run, params.to_vec(), optimizer)),
            None => (RunState::fresh(&run), Master::new(&run)),
        };
        let steps_total = BatchPlan::new(&run, manifest.samples).steps_total();
        match dir.phase() {
            // It finished, but the snapshot of the end was not durable: the last steps are done again.
            Ok(RunPhase::Finished) if state.version.0 < steps_total => {
                state.phase = RunPhase::Running;
            }
            Ok(phase) => state.phase = phase,
            Err(error) => warn!(run = name, %error, "phase unreadable, taking the snapshot's"),
        }
        let mut history = dir.history().unwrap_or_else(|error| {
            warn!(run = name, %error, "loss curve unreadable, beginning a new one");
            History::default()
        });
        history.rewind(state.version.0);
        info!(run = name, version = %state.version, phase = %state.phase, "run restored");
        let list = snapshots.list()?;
        let parts = Parts {
            run,
            hosting,
            manifest,
            test_set,
            state,
            master,
        };
        Ok(parts.prepare(dir, history, list))
    }

    /// The run's data, made again from the operator's files where the data directory's are damaged.
    fn restore_data(&self, run: &Run, hosting: Hosting) -> anyhow::Result<(Manifest, TestSet)> {
        let stored = self
            .store
            .training
            .verify(hosting.dataset)
            .and_then(|manifest| Ok((manifest, TestSet::load(&self.store, hosting.test_set)?)));
        let problem = match stored {
            Ok(data) => return Ok(data),
            Err(problem) => problem,
        };
        warn!(run = run.name, %problem, "stored data set unusable, reading the original files again");
        let ingested = ingest(run, &self.datasets_dir, &self.store)?;
        if (ingested.dataset, ingested.test_set) != (hosting.dataset, hosting.test_set) {
            bail!("the files of its data set have changed since it was created");
        }
        let manifest = self.store.training.verify(hosting.dataset)?;
        Ok((manifest, TestSet::load(&self.store, hosting.test_set)?))
    }
}

/// A checked run before it is split between its owners.
struct Parts {
    run: Run,
    hosting: Hosting,
    manifest: Manifest,
    test_set: TestSet,
    state: RunState,
    master: Master,
}

impl Parts {
    fn prepare(self, dir: RunDir, history: History, snapshots: Vec<SnapshotInfo>) -> PreparedRun {
        let Self {
            run,
            hosting,
            manifest,
            test_set,
            state,
            master,
        } = self;
        let graph = run.graph();
        let facts = RunFacts {
            run_id: hosting.run_id,
            run_json: run.to_json(),
            dataset: hosting.dataset,
            parameters: graph.layout.len(),
            classes: graph.classes,
            steps_per_epoch: BatchPlan::new(&run, manifest.samples).steps_per_epoch(),
            snapshots: dir.snapshots(),
            run: Arc::new(run),
        };
        let new_run = NewRun {
            run_id: hosting.run_id,
            run: Arc::clone(&facts.run),
            dataset: hosting.dataset,
            samples: manifest.samples,
            state,
            params_digest: Digest::of_params(master.params()),
        };
        PreparedRun {
            new_run,
            master,
            facts: Arc::new(facts),
            dir,
            test_set,
            history,
            snapshots,
        }
    }
}

//! From a run file, or from a run's folder, to a run that the coordinator's thread can host.
//!
//! Blocking: files are read, hashed and written here.

mod archive;
mod renamed;

pub(crate) use archive::ArchiveError;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail};
use tabswarm_coordinator::{NewRun, RunState};
use tabswarm_model::Run;
use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::run_file::RunFileError;
use tabswarm_protocol::{ParamVersion, RunId};
use tabswarm_store::{
    ChangeError, Disk, Hosting, LogOptions, Recovered, RecoveryReport, RunStore, SnapshotInfo,
    StoreError, UNFINISHED, create_with_params,
};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::actor::{Origin, PreparedRun};
use crate::dataset::{IngestError, Ingested, TestSet, ingest};
use crate::history::History;
use crate::initial::{self, InitialError};
use crate::ledger::unix_ms;
use crate::snapshot_place::{SnapshotPlace, SnapshotPlaceError};
use crate::store::Store;
use crate::store::chunks::StoredSetError;
use crate::view::RunFacts;
use renamed::renamed;

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
    /// The parameters to begin with can't be used.
    #[error(transparent)]
    Initial(#[from] InitialError),
    /// The data can't be used.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The data set that was just written can't be read.
    #[error(transparent)]
    Stored(#[from] StoredSetError),
    /// The run's folder can't be written.
    #[error(transparent)]
    RunStore(#[from] StoreError),
    /// Its snapshots have no place.
    #[error(transparent)]
    Snapshots(#[from] SnapshotPlaceError),
}

/// Makes runs ready.
#[derive(Debug)]
pub(crate) struct Hosts {
    store: Arc<Store>,
    disk: Arc<dyn Disk>,
    datasets_dir: PathBuf,
    log_options: LogOptions,
    snapshots: SnapshotPlace,
    next_run_id: AtomicU32,
}

impl Hosts {
    /// Runs of a data directory.
    pub(crate) fn new(
        store: Arc<Store>,
        disk: Arc<dyn Disk>,
        datasets_dir: PathBuf,
        log_options: LogOptions,
        snapshots: SnapshotPlace,
    ) -> Self {
        Self {
            store,
            disk,
            datasets_dir,
            log_options,
            snapshots,
            next_run_id: AtomicU32::new(1),
        }
    }

    /// Validates a run file, ingests its data and stores the run.
    pub(crate) fn create(&self, run_toml: &str) -> Result<PreparedRun, CreateError> {
        let run = Run::from_toml(run_toml)?;
        let dir = self.store.run_dir(&run.name);
        if self.is_taken(&dir) {
            return Err(CreateError::Exists { name: run.name });
        }
        // Before the data, which takes longer.
        let params = initial::read(&run, &self.datasets_dir)?;
        let objects = self.snapshots.of_new_run(&dir)?;
        let Ingested {
            dataset,
            manifest,
            test_set,
            ..
        } = ingest(&run, &self.data_root(&run), &self.store)?;
        let run_id = RunId(self.next_run_id.fetch_add(1, Ordering::Relaxed));
        let hosting = Hosting {
            run_id,
            dataset,
            test_set,
        };
        let test_set = TestSet::load(&self.store, test_set)?;
        let run_store = match params {
            Some(params) => {
                let files = (run_toml, hosting);
                create_with_params(&self.disk, &dir, &run, params, files, objects, unix_ms())?
            }
            None => {
                let created = RunStore::create(Arc::clone(&self.disk), &dir, run_toml, hosting)?;
                match objects {
                    Some(objects) => created.with_objects(objects),
                    None => created,
                }
            }
        };
        let recovered = run_store.recover(&run, self.log_options)?;
        let snapshots = run_store.snapshots().list()?;
        info!(run = run.name, %run_id, samples = manifest.samples, "run created");
        let parts = Parts {
            run,
            manifest,
            test_set,
            recovered,
        };
        Ok(parts.prepare(run_store, History::default(), snapshots, Origin::Created))
    }

    /// Whether there is a run in a folder, or one that lay there before it was put away. Where that can't be told,
    /// making one fails and says why.
    fn is_taken(&self, dir: &Path) -> bool {
        let is_there = |dir: &Path| self.disk.exists(dir).unwrap_or(false);
        is_there(dir)
            || dir
                .file_name()
                .is_some_and(|name| is_there(&self.store.archive_path().join(name)))
    }

    /// The folder below which a run's data is: the operator's, or that of uploads where it is only there.
    fn data_root(&self, run: &Run) -> PathBuf {
        let uploads = self.store.uploads_path();
        if !self.datasets_dir.join(&run.data.path).exists() && uploads.join(&run.data.path).exists()
        {
            uploads
        } else {
            self.datasets_dir.clone()
        }
    }

    /// All stored runs. One that can't be restored is logged and left alone; its name stays taken.
    pub(crate) fn restore_all(&self) -> anyhow::Result<Vec<PreparedRun>> {
        let names = self
            .run_names()
            .context("the folder of runs can't be read")?;
        self.pass_archived_ids();
        let mut prepared = Vec::new();
        for name in names {
            let dir = self.store.run_dir(&name);
            match self.restore(&name, &dir) {
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

    /// The names of all stored runs, sorted; what a crash left half made is removed.
    fn run_names(&self) -> io::Result<Vec<String>> {
        let runs = self.store.runs_path();
        self.disk.create_dir_all(&runs)?;
        // It may be new, and nothing in it lasts unless its own name does.
        if let Some(data_dir) = runs.parent() {
            self.disk.sync_dir(data_dir)?;
        }
        let (unfinished, names): (Vec<_>, Vec<_>) = self
            .disk
            .list(&runs)?
            .into_iter()
            .partition(|name| name.starts_with(UNFINISHED));
        for name in unfinished {
            self.disk.remove_dir_all(&runs.join(name))?;
        }
        Ok(names)
    }

    fn restore(&self, name: &str, dir: &Path) -> anyhow::Result<PreparedRun> {
        let run_store = self.snapshots.open_run(&self.disk, dir)?;
        let hosting = run_store.hosting();
        // Also of runs that can't be restored now: ids are never used twice.
        self.next_run_id
            .fetch_max(hosting.run_id.0 + 1, Ordering::Relaxed);
        let run =
            Run::from_toml(run_store.run_file()).context("its run file is not valid any more")?;
        if run.name != name {
            bail!(
                "its folder is named {name:?}, but its run file says {:?}",
                run.name
            );
        }
        let (manifest, test_set) = self.restore_data(&run, hosting)?;
        let recovered = run_store.recover(&run, self.log_options)?;
        tell_recovery(&run, &recovered);
        let history = restore_history(&run, &run_store, &recovered);
        let snapshots = run_store.snapshots().list()?;
        let parts = Parts {
            run,
            manifest,
            test_set,
            recovered,
        };
        Ok(parts.prepare(run_store, history, snapshots, Origin::Restored))
    }

    /// Takes a resting run back to an earlier version, on the disk. Nobody else works on its files.
    pub(crate) fn roll_back(
        &self,
        run: &RunFacts,
        to: ParamVersion,
    ) -> Result<(), SnapshotPlaceError> {
        // Opened anew: what earlier failures left is tidied up.
        let run_store = self.snapshots.open_run(&self.disk, run.store.dir())?;
        let state =
            tabswarm_store::rollback(&run_store, &run.base, to, self.log_options, unix_ms())?;
        info!(run = run.run.name, version = %state.version, "run rolled back");
        Ok(())
    }

    /// Gives a resting run other settings, on the disk. Nobody else works on its files.
    pub(crate) fn change(&self, run: &RunFacts, to: &Run) -> Result<(), SettingsChangeError> {
        let run_store = self.snapshots.open_run(&self.disk, run.store.dir())?;
        let wanted = (to, run.samples);
        tabswarm_store::change(&run_store, &run.base, wanted, self.log_options, unix_ms())?;
        Ok(())
    }

    /// Reads a run's files again after work on them.
    pub(crate) fn reopen(&self, run: &RunFacts) -> Result<Reopened, StoreError> {
        let recovered = run.store.recover(&run.base, self.log_options)?;
        let history = restore_history(&run.run, &run.store, &recovered);
        let snapshots = run.store.snapshots().list()?;
        let facts = Arc::new(run.with_settings_of(&recovered.state));
        Ok(Reopened {
            facts,
            recovered,
            history,
            snapshots,
        })
    }

    /// Begins another run at a version of this one.
    pub(crate) fn fork(
        &self,
        of: &RunFacts,
        at: ParamVersion,
        name: &str,
    ) -> Result<PreparedRun, CreateError> {
        let run_toml = renamed(of.store.run_file(), name);
        let run = Run::from_toml(&run_toml)?;
        let dir = self.store.run_dir(&run.name);
        if self.is_taken(&dir) {
            return Err(CreateError::Exists { name: run.name });
        }
        let hosting = Hosting {
            run_id: RunId(self.next_run_id.fetch_add(1, Ordering::Relaxed)),
            ..of.store.hosting()
        };
        let manifest = self.store.training.verify(hosting.dataset)?;
        let test_set = TestSet::load(&self.store, hosting.test_set)?;
        let objects = self.snapshots.of_new_run(&dir)?;
        let files = (&*run.name, &*run_toml, hosting);
        let run_store =
            tabswarm_store::fork(&of.store, &of.base, at, &dir, files, objects, unix_ms())?;
        let recovered = run_store.recover(&run, self.log_options)?;
        let snapshots = run_store.snapshots().list()?;
        info!(run = run.name, of = of.run.name, version = %at, "run forked");
        let parts = Parts {
            run,
            manifest,
            test_set,
            recovered,
        };
        let origin = Origin::Forked {
            of: of.run.name.clone(),
            at,
        };
        Ok(parts.prepare(run_store, History::default(), snapshots, origin))
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
        let ingested = ingest(run, &self.data_root(run), &self.store)?;
        if (ingested.dataset, ingested.test_set) != (hosting.dataset, hosting.test_set) {
            bail!("the files of its data set have changed since it was created");
        }
        let manifest = self.store.training.verify(hosting.dataset)?;
        Ok((manifest, TestSet::load(&self.store, hosting.test_set)?))
    }
}

/// Says what was found on the disk, and what was wrong with it.
fn tell_recovery(run: &Run, recovered: &Recovered) {
    let Recovered { state, report, .. } = recovered;
    let RecoveryReport {
        snapshot,
        entries,
        replayed,
        torn_bytes,
        torn_records,
        ..
    } = report;
    let from_version = snapshot.map_or(0, |id| id.version);
    let (steps, elapsed_ms) = (replayed.len(), report.elapsed.as_millis());
    info!(run = run.name, version = %state.version, phase = %state.phase, from_version, entries, steps, elapsed_ms, "run recovered");
    if *torn_bytes > 0 {
        warn!(
            run = run.name,
            torn_bytes,
            torn_records,
            "the end of the log was half written: nobody had been told of it"
        );
    }
    if let Some((had, rollback)) = &report.rolled_back {
        warn!(run = run.name, %had, version = %rollback.version, "the log has no updates: the steps since the snapshot are computed again");
    }
    for alarm in &report.alarms {
        error!(run = run.name, %alarm, "stored data was damaged, recovery found a way around: check the disk");
    }
}

/// The loss curve up to the recovered version; the log fills in what came after it was stored.
fn restore_history(run: &Run, run_store: &RunStore, recovered: &Recovered) -> History {
    let stored = run_store.read_history().unwrap_or_else(|error| {
        warn!(run = run.name, %error, "loss curve unreadable, beginning a new one");
        None
    });
    let mut history: History = stored.unwrap_or_default();
    history.rewind(recovered.state.version.0);
    for step in &recovered.report.replayed {
        history.catch_up(step);
    }
    history
}

/// Why a run has no other settings.
#[derive(Debug, Error)]
pub(crate) enum SettingsChangeError {
    /// They can't change so, or the run's files can't be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Its snapshots can't be had.
    #[error(transparent)]
    Snapshots(#[from] SnapshotPlaceError),
}

/// A run's files, read again.
#[derive(Debug)]
pub(crate) struct Reopened {
    /// With the settings that hold in the state.
    pub(crate) facts: Arc<RunFacts>,
    /// State, master and log.
    pub(crate) recovered: Recovered,
    /// Loss curve up to the state's version.
    pub(crate) history: History,
    /// Snapshots, newest first.
    pub(crate) snapshots: Vec<SnapshotInfo>,
}

impl RunFacts {
    /// The same with the settings that hold in a state.
    fn with_settings_of(&self, state: &RunState) -> Self {
        let run = match state.settings.last() {
            Some(settings) => Arc::clone(&settings.run),
            None => Arc::clone(&self.base),
        };
        Self {
            run_json: run.to_public_json(),
            plan: RoundPlan::new(&run, self.samples),
            run,
            examples: self.examples.clone(),
            base: Arc::clone(&self.base),
            store: Arc::clone(&self.store),
            ..*self
        }
    }
}

/// A checked run before it is split between its owners.
struct Parts {
    run: Run,
    manifest: Manifest,
    test_set: TestSet,
    recovered: Recovered,
}

impl Parts {
    fn prepare(
        self,
        run_store: RunStore,
        history: History,
        snapshots: Vec<SnapshotInfo>,
        origin: Origin,
    ) -> PreparedRun {
        let Self {
            run,
            manifest,
            test_set,
            recovered,
        } = self;
        let Recovered {
            state,
            master,
            log,
            report,
        } = recovered;
        let hosting = run_store.hosting();
        let graph = run.graph();
        let run = Arc::new(run);
        let facts = RunFacts {
            run_id: hosting.run_id,
            run_json: run.to_public_json(),
            dataset: hosting.dataset,
            samples: manifest.samples,
            parameters: graph.layout.len(),
            classes: graph.classes,
            plan: RoundPlan::new(&run, manifest.samples),
            examples: test_set.examples().map(|bytes| (Digest::of(&bytes), bytes)),
            store: Arc::new(run_store),
            base: Arc::clone(&run),
            run,
        };
        let facts = facts.with_settings_of(&state);
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
            log,
            test_set,
            history,
            snapshots,
            origin,
            report,
        }
    }
}

//! Everything that is stored of one run.
//!
//! ```text
//! run.toml       the run file as the operator sent it
//! hosting.json   the run's id, the digests of its data and of its run file
//! history.json   loss curve and evaluations, written with every snapshot
//! log/           every change of the run, in order
//! snapshots/     the run after some of them
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tabswarm_coordinator::RunState;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;

use crate::disk::{self, Disk, UNFINISHED};
use crate::error::{FORMAT, StoreError};
use crate::hosting::{self, Found, Hosting};
use crate::log::writer::Start;
use crate::log::{Log, LogOptions, reader, segment};
use crate::migrate;
use crate::objects::{DiskObjects, Objects};
use crate::recover::{self, Alarm, Places, RecoveryReport, Survey, Tolerance};
use crate::sealed::{self, SealError};
use crate::snapshot::{Snapshot, Snapshots};

pub(crate) const RUN_FILE: &str = "run.toml";
pub(crate) const HISTORY_FILE: &str = "history.json";
pub(crate) const LOG_DIR: &str = "log";
pub(crate) const SNAPSHOT_DIR: &str = "snapshots";

/// The stored form of a run.
#[derive(Debug)]
pub struct RunStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    hosting: Hosting,
    run_file: String,
    snapshots: Snapshots,
}

/// A run as its files say it is, with its log open for what comes next.
#[derive(Debug)]
pub struct Recovered {
    /// The coordinator's part.
    pub state: RunState,
    /// Parameters and optimizer.
    pub master: Master,
    /// The log.
    pub log: Log,
    /// What happened.
    pub report: RecoveryReport,
}

impl RunStore {
    /// Stores a new run: all of it or nothing. The folder above `dir` must exist, `dir` must not.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        run_file: &str,
        hosting: Hosting,
    ) -> Result<Self, StoreError> {
        fill_and_place(&*disk, dir, |unfinished| {
            let path = unfinished.join(RUN_FILE);
            disk::replace(&*disk, &path, run_file.as_bytes()).map_err(StoreError::io(&path))?;
            hosting::write(&*disk, unfinished, hosting, run_file)
        })?;
        Ok(Self::new(disk, dir, hosting, run_file.to_owned()))
    }

    /// Opens a run's folder. One of an older format is migrated; leftovers of a crash are removed.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Irreplaceable`], [`StoreError::NewerFormat`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        // What is seen after a process was killed need not be durable yet: nothing may rest on it before it is.
        sync_names(&*disk, dir)?;
        if let Found::Format1(hosting) = hosting::read(&*disk, dir)? {
            migrate::migrate(&disk, dir, hosting)?;
        }
        let store = Self::open_as_it_is(disk, dir)?;
        migrate::clean_up(&store)?;
        for below in ["", LOG_DIR, SNAPSHOT_DIR] {
            remove_unfinished(&*store.disk, &dir.join(below))?;
        }
        Ok(store)
    }

    /// Opens a folder of today's format without writing anything.
    pub(crate) fn open_as_it_is(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, StoreError> {
        let damaged = |name: &str, problem: &str| StoreError::Irreplaceable {
            path: dir.join(name),
            problem: problem.to_owned(),
        };
        let Found::Current(hosting, digest) = hosting::read(&*disk, dir)? else {
            return Err(StoreError::OlderFormat {
                path: dir.join(hosting::FILE),
                found: 1,
            });
        };
        let path = dir.join(RUN_FILE);
        let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
        if Digest::of(&bytes) != digest {
            return Err(damaged(RUN_FILE, "it is not the file that was stored"));
        }
        let text = String::from_utf8(bytes);
        let run_file = text.map_err(|error| damaged(RUN_FILE, &error.to_string()))?;
        Ok(Self::new(disk, dir, hosting, run_file))
    }

    fn new(disk: Arc<dyn Disk>, dir: &Path, hosting: Hosting, run_file: String) -> Self {
        let objects = DiskObjects::new(disk.clone(), dir.join(SNAPSHOT_DIR));
        Self {
            disk,
            dir: dir.to_owned(),
            hosting,
            run_file,
            snapshots: Snapshots::new(Arc::new(objects), hosting.run_id, dir.to_owned()),
        }
    }

    /// Keeps snapshots somewhere else than in the folder.
    #[must_use]
    pub fn with_objects(self, objects: Arc<dyn Objects>) -> Self {
        Self {
            snapshots: Snapshots::new(objects, self.hosting.run_id, self.dir.clone()),
            ..self
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What never changes.
    pub fn hosting(&self) -> Hosting {
        self.hosting
    }

    /// The run file's text.
    pub fn run_file(&self) -> &str {
        &self.run_file
    }

    /// The snapshots.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn places(&self) -> Places<'_> {
        Places {
            disk: &*self.disk,
            dir: &self.dir,
            snapshots: &self.snapshots,
        }
    }

    pub(crate) fn survey(&self, run: &Run, tolerance: Tolerance) -> Result<Survey, StoreError> {
        let log_dir = self.dir.join(LOG_DIR);
        let scan = reader::scan(&*self.disk, &log_dir, self.hosting.run_id)?;
        recover::survey(self.places(), run, scan, tolerance)
    }

    /// Brings the run back and opens its log. Everything in the returned state is on stable storage.
    ///
    /// # Errors
    /// Where what was stored can't be had any more; see [`StoreError`].
    pub fn recover(&self, run: &Run, options: LogOptions) -> Result<Recovered, StoreError> {
        let begun = Instant::now();
        let survey = self.survey(run, Tolerance::Refuse)?;
        let mut replayed = Vec::new();
        let steps = survey.plan.replayable();
        let master = survey.replay(self.places(), run, steps, |step| replayed.push(step))?;
        let mut log = self.open_log(&survey, options)?;
        let mut state = survey.plan.state.clone();
        let correction = survey.plan.correction();
        let rolled_back =
            (!correction.is_empty()).then(|| (state.version, survey.plan.after(steps).clone()));
        for entry in &correction {
            log.append(entry, None)?;
            let applied = state.apply(entry);
            applied.expect("the correction follows the state that it was made from");
        }
        log.sync()?;
        let (torn_bytes, torn_records) = survey.torn();
        let mut alarms = survey.alarms;
        for &id in &survey.damaged {
            // It is told again at the next start; no reason not to go on now.
            if let Err(error) = self.snapshots.set_aside(id) {
                alarms.push(Alarm {
                    path: self.dir.join(SNAPSHOT_DIR),
                    problem: format!("a damaged snapshot could not be set aside: {error}"),
                });
            }
        }
        // Their versions were rolled back: no entry leads on from them.
        self.snapshots.remove(&survey.discarded)?;
        let report = RecoveryReport {
            snapshot: survey.base.as_ref().map(Snapshot::id),
            fallbacks: survey.damaged,
            entries: survey.plan.entries,
            replayed,
            torn_bytes,
            torn_records,
            rolled_back,
            alarms,
            elapsed: begun.elapsed(),
        };
        Ok(Recovered {
            state,
            master,
            log,
            report,
        })
    }

    /// Begins the segment in which the log goes on.
    pub(crate) fn open_log(&self, survey: &Survey, options: LogOptions) -> Result<Log, StoreError> {
        let dir = self.dir.join(LOG_DIR);
        self.make_dir(&dir)?;
        self.make_dir(&self.dir.join(SNAPSHOT_DIR))?;
        let first = survey.scan.proved.min(survey.end) + 1;
        let mark = segment::mark(options.secret, first);
        let start = Start {
            disk: self.disk.clone(),
            dir,
            run_id: self.hosting.run_id,
            first,
            carried: survey.carried(&*self.disk, mark, first)?,
            last: survey.end,
        };
        Log::start(start, options)
    }

    fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        // They were made with the run; somebody may have removed an empty one.
        if self.disk.exists(dir).map_err(StoreError::io(dir))? {
            return Ok(());
        }
        let made = self.disk.create_dir_all(dir);
        made.and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(StoreError::io(dir))
    }

    /// The loss curve, or whatever the caller keeps there; none if nothing was stored yet.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], after which the caller can begin a new one; [`StoreError::Io`].
    pub fn read_history<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let path = self.dir.join(HISTORY_FILE);
        if !self.disk.exists(&path).map_err(StoreError::io(&path))? {
            return Ok(None);
        }
        let bytes = self.disk.read(&path).map_err(StoreError::io(&path))?;
        match sealed::unseal(&bytes, FORMAT) {
            Ok(history) => Ok(Some(history)),
            Err(SealError::Newer(found)) => Err(StoreError::NewerFormat { path, found }),
            Err(SealError::Damaged(problem)) => Err(StoreError::Damaged {
                path,
                problem,
                dir: self.dir.clone(),
            }),
        }
    }

    /// Stores the loss curve.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_history<T: Serialize>(&self, history: &T) -> Result<(), StoreError> {
        let path = self.dir.join(HISTORY_FILE);
        disk::replace(&*self.disk, &path, sealed::seal(history).as_bytes())
            .map_err(StoreError::io(&path))
    }
}

/// Makes a run's folder under another name, fills it, and puts it in place.
pub(crate) fn fill_and_place(
    disk: &dyn Disk,
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let io = |error| StoreError::io(dir)(error);
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = dir.with_file_name(format!("{UNFINISHED}{name}"));
    if disk.exists(&unfinished).map_err(io)? {
        disk.remove_dir_all(&unfinished).map_err(io)?;
    }
    for below in [LOG_DIR, SNAPSHOT_DIR] {
        disk.create_dir_all(&unfinished.join(below)).map_err(io)?;
    }
    fill(&unfinished)?;
    disk.sync_dir(&unfinished)
        .and_then(|()| disk.rename(&unfinished, dir))
        .map_err(io)?;
    let above = dir.parent().unwrap_or(Path::new("."));
    disk.sync_dir(above).map_err(|error| {
        // Its name is seen but may not be stored: nobody must find a run there. The first error is the one to
        // tell, and the next attempt removes what is left.
        drop(disk.rename(dir, &unfinished));
        io(error)
    })
}

/// Makes the names durable that a run's folder has and that lead to it.
fn sync_names(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let above = dir.parent().unwrap_or(Path::new("."));
    disk.sync_dir(above).map_err(StoreError::io(above))?;
    disk.sync_dir(dir).map_err(StoreError::io(dir))?;
    for below in [LOG_DIR, SNAPSHOT_DIR] {
        let path = dir.join(below);
        if disk.exists(&path).map_err(StoreError::io(&path))? {
            disk.sync_dir(&path).map_err(StoreError::io(&path))?;
        }
    }
    Ok(())
}

fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let io = |error| StoreError::io(dir)(error);
    if !disk.exists(dir).map_err(io)? {
        return Ok(());
    }
    for name in disk.list(dir).map_err(io)? {
        if name.starts_with(UNFINISHED) {
            let path = dir.join(name);
            disk.remove_file(&path).map_err(StoreError::io(&path))?;
        }
    }
    Ok(())
}

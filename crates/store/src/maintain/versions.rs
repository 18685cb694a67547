//! Going to another version of a run, or beginning another run at one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tabswarm_coordinator::{Change, LogEntry, Rollback, RunPhase, RunState, Settings};
use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;
use tabswarm_model::optim::Optimizer;
use tabswarm_model::{Layout, Run};
use tabswarm_protocol::ParamVersion;

use crate::disk::{self, Disk};
use crate::error::{ChangeError, StoreError};
use crate::hosting::{self, Hosting};
use crate::log::LogOptions;
use crate::log::reader;
use crate::objects::{DiskObjects, Objects};
use crate::recover::{Base, Survey, plan_of, rollback_of};
use crate::run_store::{LOG_DIR, RUN_FILE, Recovered, RunStore, SNAPSHOT_DIR, fill_and_place};
use crate::snapshot::{Snapshot, Snapshots};

impl RunStore {
    /// The versions that can be restored, with their digests: those of snapshots, and those of logged steps
    /// behind one.
    ///
    /// # Errors
    /// [`StoreError::Io`] and others that say why the log can't be read; damaged snapshots just do not count.
    pub fn versions(&self, run: &Run) -> Result<BTreeMap<ParamVersion, Digest>, StoreError> {
        let mut all = BTreeMap::new();
        self.for_each_base(run, |survey| {
            let reached = std::iter::once(&survey.plan.base)
                .chain(survey.plan.replayable().iter().map(|step| &step.at));
            all.extend(reached.map(|at| (at.version, at.digest)));
            Ok(None::<()>)
        })?;
        Ok(all)
    }

    /// Digest of a version's parameters.
    ///
    /// # Errors
    /// [`StoreError::NoSuchVersion`] and those of [`RunStore::versions`].
    pub fn digest(&self, run: &Run, version: ParamVersion) -> Result<Digest, StoreError> {
        let digest = self.versions(run)?.remove(&version);
        digest.ok_or_else(|| self.no_such(version))
    }

    fn no_such(&self, version: ParamVersion) -> StoreError {
        StoreError::NoSuchVersion {
            version: version.0,
            dir: self.dir().to_owned(),
        }
    }

    /// A version's parameters and optimizer, and what else holds there. The log must be synced.
    ///
    /// # Errors
    /// [`StoreError::NoSuchVersion`]; others that say why files can't be read.
    pub fn restore_version(
        &self,
        run: &Run,
        version: ParamVersion,
    ) -> Result<(Rollback, Master), StoreError> {
        let (at, master, _) = self.restore_with_settings(run, version)?;
        Ok((at, master))
    }

    /// The same with all settings up to those that hold there.
    fn restore_with_settings(
        &self,
        run: &Run,
        version: ParamVersion,
    ) -> Result<(Rollback, Master, Vec<Settings>), StoreError> {
        let restored = self.for_each_base(run, |survey| {
            let Some(steps) = survey.plan.steps_to(version) else {
                return Ok(None);
            };
            let master = survey.replay(self.places(), run, steps, |_| ())?;
            let mut settings = survey.plan.state.settings.clone();
            settings.retain(|settings| settings.version() <= version);
            Ok(Some((survey.plan.after(steps).clone(), master, settings)))
        })?;
        restored.ok_or_else(|| self.no_such(version))
    }

    /// The same settings for a run of another name.
    fn renamed(&self, settings: &[Settings], name: &str) -> Result<Vec<Settings>, StoreError> {
        let renamed = settings.iter().map(|settings| {
            let renamed = settings.run.renamed(name);
            let again = renamed.and_then(|run| Settings::parse(&run.to_json()));
            again.map_err(|error| StoreError::Foreign {
                path: self.dir().to_owned(),
                problem: format!("its settings can't be those of a run named {name:?}: {error}"),
            })
        });
        renamed.collect()
    }

    /// Looks at the run from each usable snapshot, newest first, and from the beginning if that is in the log,
    /// until `look` finds something.
    fn for_each_base<T>(
        &self,
        run: &Run,
        mut look: impl FnMut(&Survey) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let log_dir = self.dir().join(LOG_DIR);
        let scan = reader::scan(&**self.disk(), &log_dir, self.hosting().run_id)?;
        let mut bases: Vec<Option<_>> = self.snapshots().ids()?.into_iter().map(Some).collect();
        if bases.is_empty() || scan.entry(1).is_some() {
            bases.push(None);
        }
        for id in bases {
            let snapshot = match id.map(|id| self.snapshots().load(id, run)).transpose() {
                Ok(snapshot) => snapshot,
                Err(StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            let (state, digest) = match &snapshot {
                Some(snapshot) => (snapshot.state.clone(), snapshot.params_digest),
                None => {
                    let digest = Digest::of_params(Master::new(run).params());
                    (RunState::fresh(run), digest)
                }
            };
            let base = Base {
                state: &state,
                digest,
            };
            // A snapshot of a discarded version has no plan.
            let Ok(plan) = plan_of(&scan, &base) else {
                continue;
            };
            let survey = Survey::of(scan.clone(), snapshot, plan);
            if let Some(found) = look(&survey)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Stores a snapshot of a recovered run and lets go of the log that no kept snapshot needs.
    fn settle(
        &self,
        base: &Run,
        recovered: &mut Recovered,
        now_ms: u64,
    ) -> Result<u64, StoreError> {
        recovered.log.seal()?;
        let snapshot = Snapshot::of(recovered.state.clone(), &recovered.master).made_at(now_ms);
        let kept = recovered.state.run(base).snapshots_kept;
        let keep = usize::try_from(kept).unwrap_or(usize::MAX);
        self.snapshots()
            .put(&snapshot, recovered.master.layout(), keep)
    }
}

/// Goes back to an earlier version. Samples stay credited. A finished run is paused after that.
/// `now_ms` is the time of the snapshot that this makes, in milliseconds since 1970; so it is below.
///
/// # Errors
/// [`StoreError::NoSuchVersion`]; others of [`RunStore::recover`].
pub fn rollback(
    store: &RunStore,
    run: &Run,
    to: ParamVersion,
    options: LogOptions,
    now_ms: u64,
) -> Result<RunState, StoreError> {
    let mut recovered = store.recover(run, options)?;
    let (at, master) = store.restore_version(run, to)?;
    let mut changes = vec![Change::RolledBack(at)];
    if recovered.state.phase == RunPhase::Finished {
        changes.push(Change::Phase {
            phase: RunPhase::Paused,
            reason: Some(format!("rolled back to version {}", to.0)),
        });
    }
    record(&mut recovered, changes)?;
    recovered.master = master;
    store.snapshots().discard_behind(to)?;
    let oldest = store.settle(run, &mut recovered, now_ms)?;
    recovered.log.remove_behind(oldest)?;
    Ok(recovered.state)
}

/// Gives a resting run the settings of `to` from its version on. Nothing is written where they hold already.
/// `samples` is the size of its training set.
///
/// # Errors
/// [`ChangeError::Settings`] where they can't change so; others of [`RunStore::recover`].
pub fn change(
    store: &RunStore,
    base: &Run,
    (to, samples): (&Run, u32),
    options: LogOptions,
    now_ms: u64,
) -> Result<RunState, ChangeError> {
    let mut recovered = store.recover(base, options)?;
    let from = recovered.state.run(base).clone();
    let changes = recovered.state.change_settings(base, to, samples)?;
    if changes.is_empty() {
        return Ok(recovered.state);
    }
    record(&mut recovered, changes)?;
    recovered.master = recovered.master.changed(&from, recovered.state.run(base));
    let oldest = store.settle(base, &mut recovered, now_ms)?;
    recovered.log.remove_behind(oldest)?;
    Ok(recovered.state)
}

/// Appends changes without sums to the log and makes them durable.
fn record(recovered: &mut Recovered, changes: Vec<Change>) -> Result<(), StoreError> {
    for change in changes {
        let sequence = recovered.state.sequence + 1;
        let entry = LogEntry { sequence, change };
        recovered.log.append(&entry, None)?;
        let applied = recovered.state.apply(&entry);
        applied.expect("the change was made for this state");
    }
    recovered.log.sync()?;
    Ok(())
}

/// Replaces the log by a snapshot at its end.
///
/// # Errors
/// Those of [`RunStore::recover`].
pub fn compact(
    store: &RunStore,
    run: &Run,
    options: LogOptions,
    now_ms: u64,
) -> Result<RunState, StoreError> {
    let mut recovered = store.recover(run, options)?;
    store.settle(run, &mut recovered, now_ms)?;
    recovered.log.begin_segment()?;
    recovered.log.remove_behind(recovered.state.sequence)?;
    Ok(recovered.state)
}

/// Begins another run at a version of this one, or at a pinned copy: its parameters, optimizer, settings and place in
/// the schedule, without credits. `new_run_file` must be the same but for its name.
///
/// `objects` are where the new run keeps its snapshots, if not in its folder. They must be empty.
///
/// # Errors
/// [`StoreError::NoSuchVersion`]; [`StoreError::Io`].
pub fn fork(
    store: &RunStore,
    run: &Run,
    at: ParamVersion,
    new_dir: &Path,
    (new_name, new_run_file, new_hosting): (&str, &str, Hosting),
    objects: Option<Arc<dyn Objects>>,
    now_ms: u64,
) -> Result<RunStore, StoreError> {
    let (at, master, settings) = match store.restore_with_settings(run, at) {
        Err(StoreError::NoSuchVersion { .. }) => {
            let pinned = store.snapshots().load_pinned(at, run)?;
            let at = rollback_of(&pinned.state, pinned.params_digest);
            let master = pinned.master(run);
            (at, master, pinned.state.settings)
        }
        restored => restored?,
    };
    let settings = store.renamed(&settings, new_name)?;
    let state = RunState {
        // As if the fork had been its first change: a run without entries begins at version 0.
        sequence: 1,
        version: at.version,
        phase: RunPhase::Created,
        samples_committed: at.samples_committed,
        samples_verified: 0,
        exponents: at.exponents,
        exponent_rises: at.exponent_rises,
        missing_batches: at.missing_batches,
        credits: Vec::new(),
        settings,
    };
    let files = (new_run_file, new_hosting);
    place(
        store.disk(),
        new_dir,
        files,
        objects,
        &Snapshot::of(state, &master).made_at(now_ms),
        master.layout(),
    )
}

/// Stores a new run that begins with parameters of its own instead of those that follow from its seed.
///
/// `objects` are where it keeps its snapshots, if not in its folder. They must be empty.
///
/// # Errors
/// [`StoreError::Io`].
///
/// # Panics
/// Where the parameters are another model's.
pub fn create_with_params(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    run: &Run,
    params: Vec<f32>,
    files: (&str, Hosting),
    objects: Option<Arc<dyn Objects>>,
    now_ms: u64,
) -> Result<RunStore, StoreError> {
    let optimizer = Optimizer::new(run.master_optimizer(), params.len());
    let master = Master::restore(run, params, optimizer);
    let state = RunState {
        // As if the parameters had been its first change: a run without entries begins with those of its seed.
        sequence: 1,
        ..RunState::fresh(run)
    };
    place(
        disk,
        dir,
        files,
        objects,
        &Snapshot::of(state, &master).made_at(now_ms),
        master.layout(),
    )
}

/// Stores a run that begins with a snapshot: all of it or nothing.
fn place(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    (run_file, hosting): (&str, Hosting),
    objects: Option<Arc<dyn Objects>>,
    snapshot: &Snapshot,
    layout: &Layout,
) -> Result<RunStore, StoreError> {
    fill_and_place(&**disk, dir, |unfinished| {
        let path = unfinished.join(RUN_FILE);
        disk::replace(&**disk, &path, run_file.as_bytes()).map_err(StoreError::io(&path))?;
        let in_folder = || DiskObjects::new(disk.clone(), unfinished.join(SNAPSHOT_DIR));
        let place = objects.clone().unwrap_or_else(|| Arc::new(in_folder()));
        let snapshots = Snapshots::new(place, hosting.run_id, dir.to_owned());
        snapshots.put(snapshot, layout, 1)?;
        hosting::write(&**disk, unfinished, hosting, run_file)
    })?;
    let store = RunStore::open(disk.clone(), dir)?;
    Ok(match objects {
        Some(objects) => store.with_objects(objects),
        None => store,
    })
}

//! Format 1, which had no log, becomes format 2.
//!
//! Snapshots are stored again under their new names, with the version as sequence; a phase that is newer than
//! the newest of them becomes the log's first entry. Writing the new `hosting.json` decides: before that the
//! folder is one of format 1 and this starts over, after that what is left of format 1 is cleaned up. The file
//! `phase.json`, which goes last, says that something may be left.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tabswarm_coordinator::{Change, LogEntry, RunPhase};
use tabswarm_model::digest::Digest;

use crate::disk::{self, Disk};
use crate::error::StoreError;
use crate::hosting::{self, Hosting};
use crate::log::record::Encoder;
use crate::log::segment::{self, SegmentHeader};
use crate::objects::DiskObjects;
use crate::run_store::{HISTORY_FILE, LOG_DIR, RUN_FILE, RunStore, SNAPSHOT_DIR};
use crate::sealed::{self, SealError};
use crate::snapshot::{SnapshotId, Snapshots, StoredSnapshot};

const PHASE_FILE: &str = "phase.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseFormat1 {
    phase: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotFormat1 {
    version: u64,
    phase: String,
    samples_committed: u64,
    exponents: Vec<i8>,
    exponent_rises: Vec<u32>,
    credits: Vec<(Digest, u64)>,
    beta_power_bits: [u64; 2],
    params_digest: Digest,
    tensors_file: String,
    tensors_digest: Digest,
    tensors_bytes: u64,
}

/// Migrates a run's folder; an earlier attempt may have got anywhere.
pub(crate) fn migrate(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    hosting: Hosting,
) -> Result<(), StoreError> {
    let io = |error| StoreError::io(dir)(error);
    let log_dir = dir.join(LOG_DIR);
    if disk.exists(&log_dir).map_err(io)? {
        disk.remove_dir_all(&log_dir).map_err(io)?;
    }
    for below in [LOG_DIR, SNAPSHOT_DIR] {
        disk.create_dir_all(&dir.join(below)).map_err(io)?;
    }
    disk.sync_dir(dir).map_err(io)?;
    let (last, stored_phase) = migrate_snapshots(disk, dir, hosting)?;
    let phase = read_phase(&**disk, dir)?;
    let entry = (phase != stored_phase).then(|| LogEntry {
        sequence: last + 1,
        change: Change::Phase {
            phase,
            reason: None,
        },
    });
    // Nothing in this segment comes from outside, so its mark need not be a secret.
    let header = SegmentHeader {
        run_id: hosting.run_id,
        first: last + 1,
        mark: segment::mark(0, last + 1),
    };
    let mut encoder = Encoder::default();
    let record = match &entry {
        Some(entry) => encoder.entry(header.mark, entry, None, last)?,
        None => &[],
    };
    segment::create(&**disk, &log_dir, header, record)
        .map_err(|error| StoreError::io(&log_dir)(error.source))?;
    let path = dir.join(RUN_FILE);
    let run_file = disk.read(&path).map_err(StoreError::io(&path))?;
    let run_file = String::from_utf8(run_file)
        .map_err(|error| irreplaceable(dir, RUN_FILE, error.to_string()))?;
    hosting::write(&**disk, dir, hosting, &run_file)
}

/// Stores the snapshots again; sequence and phase of the newest.
fn migrate_snapshots(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    hosting: Hosting,
) -> Result<(u64, RunPhase), StoreError> {
    let snapshot_dir = dir.join(SNAPSHOT_DIR);
    let objects = DiskObjects::new(disk.clone(), snapshot_dir.clone());
    let snapshots = Snapshots::new(Arc::new(objects), hosting.run_id, dir.to_owned());
    let mut newest = None;
    let mut problem = None;
    for (name, version) in manifests(&**disk, dir)? {
        match read_snapshot(&**disk, dir, &name, version) {
            Ok((old, tensors)) => {
                let phase = RunPhase::from_word(&old.phase).unwrap_or(RunPhase::Created);
                newest = Some((version, phase));
                let id = SnapshotId {
                    sequence: version,
                    version,
                };
                snapshots.put_parts(id, &mut old.converted(hosting), &tensors)?;
            }
            Err(error @ StoreError::Damaged { .. }) => problem = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (newest, problem) {
        (None, Some(StoreError::Damaged { path, problem, .. })) => {
            Err(StoreError::Irreplaceable { path, problem })
        }
        (newest, _) => Ok(newest.unwrap_or((0, RunPhase::Created))),
    }
}

impl SnapshotFormat1 {
    fn converted(self, hosting: Hosting) -> StoredSnapshot {
        StoredSnapshot {
            run_id: hosting.run_id.0,
            sequence: self.version,
            version: self.version,
            phase: self.phase,
            samples_committed: self.samples_committed,
            // No step was ever discarded.
            samples_verified: self.samples_committed,
            exponents: self.exponents,
            exponent_rises: self.exponent_rises,
            missing_batches: Vec::new(),
            credits: self.credits,
            settings: Vec::new(),
            made_ms: None,
            beta_power_bits: self.beta_power_bits,
            params_digest: self.params_digest,
            published_digest: self.params_digest,
            files: Vec::new(),
        }
    }
}

/// Manifests of format 1, oldest first.
fn manifests(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let snapshot_dir = dir.join(SNAPSHOT_DIR);
    let names = disk
        .list(&snapshot_dir)
        .map_err(StoreError::io(&snapshot_dir))?;
    let mut all: Vec<(String, u64)> = names
        .into_iter()
        .filter_map(|name| {
            let version = name
                .strip_prefix('v')?
                .strip_suffix(".json")?
                .parse()
                .ok()?;
            Some((name, version))
        })
        .collect();
    all.sort_unstable_by_key(|&(_, version)| version);
    Ok(all)
}

fn read_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    version: u64,
) -> Result<(SnapshotFormat1, Vec<u8>), StoreError> {
    let path = dir.join(SNAPSHOT_DIR).join(name);
    let wrong = |problem: String| StoreError::Damaged {
        path: path.clone(),
        problem,
        dir: dir.to_owned(),
    };
    let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
    let manifest: SnapshotFormat1 = sealed::unseal(&bytes, 1).map_err(|error| match error {
        SealError::Damaged(problem) => wrong(problem),
        SealError::Newer(found) => StoreError::NewerFormat {
            path: path.clone(),
            found,
        },
    })?;
    if manifest.version != version || manifest.tensors_file.contains(['/', '\\']) {
        return Err(wrong("it belongs to another snapshot".to_owned()));
    }
    if RunPhase::from_word(&manifest.phase).is_none() {
        return Err(wrong(format!("the phase {:?} is unknown", manifest.phase)));
    }
    let tensors_path = dir.join(SNAPSHOT_DIR).join(&manifest.tensors_file);
    let tensors = match disk.read(&tensors_path) {
        Ok(tensors) => tensors,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(wrong(format!("{} is missing", manifest.tensors_file)));
        }
        Err(error) => return Err(StoreError::io(&tensors_path)(error)),
    };
    if tensors.len() as u64 != manifest.tensors_bytes
        || Digest::of(&tensors) != manifest.tensors_digest
    {
        return Err(wrong(format!("{} is damaged", manifest.tensors_file)));
    }
    Ok((manifest, tensors))
}

fn read_phase(disk: &dyn Disk, dir: &Path) -> Result<RunPhase, StoreError> {
    let path = dir.join(PHASE_FILE);
    let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
    let stored: PhaseFormat1 = serde_json::from_slice(&bytes)
        .map_err(|error| irreplaceable(dir, PHASE_FILE, error.to_string()))?;
    RunPhase::from_word(&stored.phase).ok_or_else(|| {
        let problem = format!("the phase {:?} is unknown", stored.phase);
        irreplaceable(dir, PHASE_FILE, problem)
    })
}

/// Removes what is left of format 1 in a folder that has been migrated. Snapshots that could not be are kept
/// under another name.
pub(crate) fn clean_up(store: &RunStore) -> Result<(), StoreError> {
    let (disk, dir) = (&**store.disk(), store.dir());
    let io = |error| StoreError::io(dir)(error);
    let phase = dir.join(PHASE_FILE);
    if !disk.exists(&phase).map_err(io)? {
        return Ok(());
    }
    // Once more: the first time may have failed in a way that the new file is seen and the old one is stored.
    hosting::write(disk, dir, store.hosting(), store.run_file())?;
    seal_history(disk, dir)?;
    let snapshot_dir = dir.join(SNAPSHOT_DIR);
    let names = disk.list(&snapshot_dir).map_err(io)?;
    let migrated = |version: u64| {
        let suffix = format!("-v{version:012}.json");
        names
            .iter()
            .any(|name| name.starts_with('s') && name.ends_with(&suffix))
    };
    for name in names.iter().filter(|name| name.starts_with('v')) {
        let path = snapshot_dir.join(name);
        let version = name.get(1..13).and_then(|digits| digits.parse().ok());
        if version.is_some_and(migrated) {
            disk.remove_file(&path).map_err(StoreError::io(&path))?;
        } else {
            let aside = snapshot_dir.join(format!("damaged-{name}"));
            disk.rename(&path, &aside).map_err(StoreError::io(&path))?;
        }
    }
    disk.sync_dir(&snapshot_dir).map_err(io)?;
    disk.remove_file(&phase).map_err(StoreError::io(&phase))?;
    disk.sync_dir(dir).map_err(io)
}

fn seal_history(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(HISTORY_FILE);
    if !disk.exists(&path).map_err(StoreError::io(&path))? {
        return Ok(());
    }
    let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
    if sealed::is_sealed(&bytes) {
        return Ok(());
    }
    // What can't be read stays as it is, and is told when it is read.
    let Ok(text) = String::from_utf8(bytes) else {
        return Ok(());
    };
    disk::replace(disk, &path, sealed::seal_text(&text).as_bytes()).map_err(StoreError::io(&path))
}

fn irreplaceable(dir: &Path, name: &str, problem: String) -> StoreError {
    StoreError::Irreplaceable {
        path: dir.join(name),
        problem,
    }
}

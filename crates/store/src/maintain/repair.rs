//! Giving up what can't be read, so that the rest goes on.

use std::path::{Path, PathBuf};

use tabswarm_coordinator::{Change, RunState};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::ParamVersion;

use crate::disk::{self, Disk};
use crate::error::StoreError;
use crate::log::segment;
use crate::recover::{Survey, Tolerance};
use crate::run_store::{HISTORY_FILE, LOG_DIR, RunStore};

const DAMAGED_DIR: &str = "damaged";

/// A step that was given up and can still be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostStep {
    /// Sequence of its entry.
    pub sequence: u64,
    /// The version that it made.
    pub version: ParamVersion,
    /// Samples that are no longer credited, by identity.
    pub credits: Vec<(Digest, u64)>,
}

/// What [`repair`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct RepairReport {
    /// The state that the run has now.
    pub state: RunState,
    /// Copies of what was damaged.
    pub moved: Vec<PathBuf>,
    /// Entries behind the state's up to this one were stored and are gone; the state's own where none are.
    pub lost_through: u64,
    /// The steps among them of which more is known.
    pub lost_steps: Vec<LostStep>,
}

/// Cuts the log off in front of the first entry that was stored and can't be read, and sets damaged files
/// aside. What is whole stays as it is. Can be called again after a crash.
///
/// # Errors
/// Where `hosting.json` or `run.toml` is damaged, which have to come from a backup, or nothing is usable.
pub fn repair(store: &RunStore, run: &Run) -> Result<RepairReport, StoreError> {
    let (disk, dir) = (store.disk(), store.dir());
    let mut moved = Vec::new();
    if let Err(StoreError::Damaged { path, .. }) = store.read_history::<serde::de::IgnoredAny>() {
        moved.push(copy_aside(&**disk, dir, &path)?);
        disk.remove_file(&path)
            .and_then(|()| disk.sync_dir(dir))
            .map_err(StoreError::io(&dir.join(HISTORY_FILE)))?;
    }
    let survey = store.survey(run, Tolerance::GiveUp)?;
    let lost_through = survey.scan.proved.max(survey.end);
    let mut lost = Vec::new();
    if lost_through > survey.end {
        lost = lost_steps(&survey);
        moved.extend(cut(&**disk, dir, &survey)?);
    }
    for &id in &survey.damaged {
        store.snapshots().set_aside(id)?;
    }
    for &id in survey
        .discarded
        .iter()
        .filter(|id| id.sequence > survey.end)
    {
        store.snapshots().set_aside(id)?;
    }
    Ok(RepairReport {
        state: survey.plan.state,
        moved,
        lost_through,
        lost_steps: lost,
    })
}

fn lost_steps(survey: &Survey) -> Vec<LostStep> {
    let stranded = survey.scan.entries.range(survey.end + 1..);
    let steps = stranded.filter_map(
        |(&sequence, located)| match &located.entry.as_ref()?.change {
            Change::Step(step) => Some(LostStep {
                sequence,
                version: step.version,
                credits: step.credits.clone(),
            }),
            Change::Phase { .. } | Change::RolledBack(_) | Change::Settings(_) => None,
        },
    );
    steps.collect()
}

/// Cuts every segment behind the last entry that counts. Copies first; then shorter segments, whose tails are
/// superseded as long as the later ones are there; then the later ones, newest first.
fn cut(disk: &dyn Disk, dir: &Path, survey: &Survey) -> Result<Vec<PathBuf>, StoreError> {
    let log_dir = dir.join(LOG_DIR);
    let segments = &survey.scan.segments;
    let mut moved = Vec::new();
    for &first in segments {
        let ends_before = segments.iter().find(|&&next| next > first);
        if ends_before.is_none_or(|&next| next > survey.end + 1) || first > survey.end {
            moved.push(copy_aside(disk, dir, &log_dir.join(segment::name(first)))?);
        }
    }
    for (idx, &first) in segments.iter().enumerate() {
        if first > survey.end {
            break;
        }
        let live = first
            ..segments
                .get(idx + 1)
                .copied()
                .unwrap_or(u64::MAX)
                .min(survey.end + 1);
        let kept = survey
            .scan
            .entries
            .range(live)
            .filter(|(_, located)| located.segment == first)
            .map(|(_, located)| located.offset + located.header.record_bytes() as u64);
        let len = kept.max().unwrap_or(segment::HEADER_BYTES as u64);
        let path = log_dir.join(segment::name(first));
        let bytes = disk.read(&path).map_err(StoreError::io(&path))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len < bytes.len() {
            disk::replace(disk, &path, &bytes[..len]).map_err(StoreError::io(&path))?;
        }
    }
    for &first in segments.iter().rev().filter(|&&first| first > survey.end) {
        let path = log_dir.join(segment::name(first));
        disk.remove_file(&path)
            .and_then(|()| disk.sync_dir(&log_dir))
            .map_err(StoreError::io(&path))?;
    }
    Ok(moved)
}

fn copy_aside(disk: &dyn Disk, dir: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    let aside = dir.join(DAMAGED_DIR);
    disk.create_dir_all(&aside)
        .and_then(|()| disk.sync_dir(dir))
        .map_err(StoreError::io(&aside))?;
    let bytes = disk.read(path).map_err(StoreError::io(path))?;
    // Named after its content, so that a second repair keeps what the first one had found.
    let digest = Digest::of(&bytes).to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = aside.join(format!("{}-{name}", &digest[..8]));
    disk::replace(disk, &copy, &bytes).map_err(StoreError::io(&copy))?;
    Ok(copy)
}

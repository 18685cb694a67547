//! Checking every stored byte of a run, without writing any.

use std::path::Path;
use std::sync::Arc;

use serde::de::IgnoredAny;
use tabswarm_model::Run;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::log::reader;
use crate::log::segment;
use crate::objects::Objects;
use crate::recover::{Alarm, Tolerance};
use crate::run_store::{LOG_DIR, RunStore};

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Snapshots whose every byte is as written.
    pub snapshots: u64,
    /// Records whose every byte is as written.
    pub records: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The last entry that can be reached.
    pub last: u64,
    /// Entries that were certainly stored end here.
    pub proved: u64,
    /// Steps that were replayed and gave the same parameters as the first time.
    pub replayed: u64,
    /// Bytes of a torn tail, which nobody was told of.
    pub torn_bytes: u64,
    /// Bytes that can't be read and do not count any more: torn tails that a restart or a failure has left.
    pub superseded_bytes: u64,
    /// Damage, each with the error's whole message.
    pub problems: Vec<Alarm>,
}

/// Checks a run's folder: hashes, checksums, and the sequence of entries; with the run also that replaying the
/// log gives the digests that it says. `objects` are where its snapshots are, if not in the folder.
///
/// # Errors
/// [`StoreError::Io`] and those of other formats, with which nothing can be said.
pub fn verify(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    objects: Option<Arc<dyn Objects>>,
    run: Option<&Run>,
) -> Result<VerifyReport, StoreError> {
    let mut report = VerifyReport::default();
    let store = match RunStore::open_as_it_is(disk.clone(), dir) {
        Ok(store) => match objects {
            Some(objects) => store.with_objects(objects),
            None => store,
        },
        Err(error) => {
            report.note(dir, error)?;
            return Ok(report);
        }
    };
    if let Err(error) = store.read_history::<IgnoredAny>() {
        report.note(dir, error)?;
    }
    verify_snapshots(&store, run, &mut report)?;
    let log_dir = dir.join(LOG_DIR);
    let scan = match reader::scan(&**disk, &log_dir, store.hosting().run_id) {
        Ok(scan) => scan,
        Err(error) => {
            report.note(dir, error)?;
            return Ok(report);
        }
    };
    report.records = scan.records;
    report.log_bytes = scan.bytes;
    report.last = scan.entries.keys().next_back().copied().unwrap_or(0);
    report.proved = scan.proved;
    report.superseded_bytes = scan.superseded_bytes;
    match run {
        Some(run) => verify_replay(&store, run, &mut report)?,
        None => {
            for bad in &scan.bad {
                report.problems.push(Alarm {
                    path: log_dir.join(segment::name(bad.segment)),
                    problem: format!(
                        "{} bytes from byte {} on are no record",
                        bad.bytes, bad.offset
                    ),
                });
            }
        }
    }
    Ok(report)
}

fn verify_snapshots(
    store: &RunStore,
    run: Option<&Run>,
    report: &mut VerifyReport,
) -> Result<(), StoreError> {
    let snapshots = store.snapshots();
    for id in snapshots.ids()? {
        let checked = match run {
            Some(run) => snapshots.load(id, run).map(drop),
            None => snapshots
                .manifest(id)
                .and_then(|manifest| snapshots.tensors(id, &manifest).map(drop)),
        };
        match checked {
            Ok(()) => report.snapshots += 1,
            Err(error) => report.note(store.dir(), error)?,
        }
    }
    Ok(())
}

fn verify_replay(store: &RunStore, run: &Run, report: &mut VerifyReport) -> Result<(), StoreError> {
    let checked = store.survey(run, Tolerance::Refuse).and_then(|survey| {
        let steps = survey.plan.replayable();
        survey.replay(store.places(), run, steps, |_| report.replayed += 1)?;
        Ok(survey)
    });
    match checked {
        Ok(survey) => {
            report.last = survey.end;
            report.torn_bytes = survey.torn().0;
            // Snapshots have been told of already.
            let log_dir = store.dir().join(LOG_DIR);
            let of_log = survey
                .alarms
                .into_iter()
                .filter(|alarm| alarm.path.starts_with(&log_dir));
            report.problems.extend(of_log);
        }
        Err(error) => report.note(store.dir(), error)?,
    }
    Ok(())
}

impl VerifyReport {
    /// Takes an error as a finding, unless it says nothing about what is stored.
    fn note(&mut self, dir: &Path, error: StoreError) -> Result<(), StoreError> {
        let path = match &error {
            StoreError::Io { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::OlderFormat { .. } => return Err(error),
            StoreError::Irreplaceable { path, .. }
            | StoreError::Damaged { path, .. }
            | StoreError::LogDamaged { path, .. }
            | StoreError::Foreign { path, .. } => path.clone(),
            _ => dir.to_owned(),
        };
        self.problems.push(Alarm {
            path,
            problem: error.to_string(),
        });
        Ok(())
    }
}

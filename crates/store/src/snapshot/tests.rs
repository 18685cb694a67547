//! Snapshots come back bit by bit, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabswarm_coordinator::RunState;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::{Master, StepInput};
use tabswarm_protocol::{ParamVersion, RunId};

use super::{Snapshot, SnapshotId, SnapshotInfo, Snapshots};
use crate::disk::Disk as _;
use crate::error::StoreError;
use crate::faults::FaultyDisk;
use crate::objects::DiskObjects;
use crate::tests::life::run_of;

const DIR: &str = "/snapshots";

fn snapshot(run: &Run, sequence: u64, version: u64) -> Snapshot {
    let mut master = Master::new(run);
    for step in 0..version {
        let update = vec![step as f32 + 0.1; master.params().len()];
        let input = StepInput {
            exponents: &[],
            divisor: 3,
            rate_factor: 1.0,
        };
        master.apply_f32(&[update], &input).unwrap();
    }
    let state = RunState {
        sequence,
        version: ParamVersion(version),
        samples_verified: u64::MAX,
        credits: vec![(Digest([1; 32]), 3), (Digest([7; 32]), u64::MAX)],
        ..RunState::fresh(run)
    };
    Snapshot::of(state, &master)
}

fn written(ids: &[(u64, u64)], keep: usize) -> (FaultyDisk, Snapshots, Run) {
    let disk = FaultyDisk::new(1);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let objects = DiskObjects::new(Arc::new(disk.clone()), DIR.into());
    let snapshots = Snapshots::new(Arc::new(objects), RunId(1), PathBuf::from("/"));
    let run = run_of(1);
    for &(sequence, version) in ids {
        let snapshot = snapshot(&run, sequence, version);
        snapshots.put(&snapshot, &run.graph().layout, keep).unwrap();
    }
    (disk, snapshots, run)
}

fn versions(snapshots: &Snapshots) -> Vec<u64> {
    let list = snapshots.list().unwrap();
    list.iter().map(|info| info.id.version).collect()
}

#[test]
fn a_snapshot_comes_back_bit_by_bit() {
    let (_, snapshots, run) = written(&[(2, 2), (9, 5)], 3);
    let expected = snapshot(&run, 9, 5);
    let back = snapshots.load(expected.id(), &run).unwrap();
    assert_eq!(back.state, expected.state);
    assert_eq!(back.params, expected.params);
    assert_eq!(back.optimizer, expected.optimizer);
    let params = snapshots
        .params(ParamVersion(2), &run.graph().layout)
        .unwrap();
    assert_eq!(
        Digest::of_params(&params),
        snapshot(&run, 2, 2).params_digest
    );
    let error = snapshots
        .params(ParamVersion(3), &run.graph().layout)
        .unwrap_err();
    assert!(matches!(
        error,
        StoreError::NoSuchVersion { version: 3, .. }
    ));
}

#[test]
fn a_snapshot_has_the_time_that_it_was_made_at() {
    let (disk, snapshots, run) = written(&[(2, 2)], 3);
    // One without a time is stored as by programs that knew of none, and its time stays unknown.
    let old = snapshot(&run, 2, 2).id();
    let text = disk.read(&Path::new(DIR).join(old.manifest())).unwrap();
    assert!(!String::from_utf8(text).unwrap().contains("made_ms"));
    let made = snapshot(&run, 9, 5).made_at(1_700_000_000_123);
    snapshots.put(&made, &run.graph().layout, 3).unwrap();
    snapshots.pin(made.id()).unwrap();
    let times =
        |infos: Vec<SnapshotInfo>| infos.iter().map(|info| info.made_ms).collect::<Vec<_>>();
    let expected = Some(1_700_000_000_123);
    assert_eq!(times(snapshots.list().unwrap()), [expected, None]);
    assert_eq!(times(snapshots.pinned().unwrap()), [expected]);
    let back = |id| snapshots.load(id, &run).unwrap();
    assert_eq!(
        (back(made.id()).made_ms, back(old).made_ms),
        (expected, None)
    );
}

#[test]
fn the_newest_by_sequence_are_kept_and_discarded_versions_are_not() {
    let (disk, snapshots, run) = written(&[(1, 1), (3, 3), (5, 5), (8, 8)], 3);
    assert_eq!(versions(&snapshots), [8, 5, 3]);
    // The run went back to version 4 with entry 9.
    let rolled_back = snapshot(&run, 9, 4);
    let needed = snapshots.put(&rolled_back, &run.graph().layout, 3).unwrap();
    assert_eq!((versions(&snapshots), needed), (vec![4, 3], 0));
    let files = disk.list(Path::new(DIR)).unwrap();
    assert_eq!(files.len(), 4, "{files:?}");
    let next = snapshot(&run, 12, 6);
    assert_eq!(snapshots.put(&next, &run.graph().layout, 3).unwrap(), 3);
}

#[test]
fn a_snapshot_that_comes_late_discards_nothing() {
    let (_, snapshots, _) = written(&[(5, 5), (3, 3)], 3);
    assert_eq!(versions(&snapshots), [5, 3]);
}

#[test]
fn damage_is_told_and_set_aside() {
    let (disk, snapshots, run) = written(&[(4, 4)], 1);
    let id = SnapshotId {
        sequence: 4,
        version: 4,
    };
    let path = Path::new(DIR).join(id.tensors());
    disk.flip_bit(&path, 4_001);
    let message = snapshots.load(id, &run).unwrap_err().to_string();
    assert!(
        message.contains("digest") && message.contains("store repair"),
        "{message}"
    );
    snapshots.set_aside(id).unwrap();
    assert_eq!(versions(&snapshots), [0; 0]);
    let aside = path.with_file_name(format!("damaged-{}", id.tensors()));
    assert!(disk.exists(&aside).unwrap());
}

#[test]
fn another_runs_snapshot_is_refused() {
    let (disk, _, run) = written(&[(4, 4)], 1);
    let objects = DiskObjects::new(Arc::new(disk), DIR.into());
    let other = Snapshots::new(Arc::new(objects), RunId(2), PathBuf::from("/"));
    let id = other.ids().unwrap()[0];
    let error = other.load(id, &run).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_pinned_copy_stays_and_is_no_snapshot() {
    let (_disk, snapshots, run) = written(&[(1, 1), (2, 2), (3, 3)], 3);
    let first = SnapshotId {
        sequence: 1,
        version: 1,
    };
    let file = snapshots.file(ParamVersion(1)).unwrap();
    snapshots.pin(first).unwrap();
    snapshots.pin(first).unwrap();
    let layout = run.graph().layout;
    snapshots.put(&snapshot(&run, 4, 4), &layout, 1).unwrap();
    assert_eq!(versions(&snapshots), [4], "recovery sees no pinned copies");
    let pinned = snapshots.pinned().unwrap();
    assert_eq!(
        pinned.iter().map(|info| info.id).collect::<Vec<_>>(),
        [first]
    );
    assert_eq!(snapshots.file(ParamVersion(1)).unwrap(), file);
    let loaded = snapshots.load_pinned(ParamVersion(1), &run).unwrap();
    assert_eq!(loaded.params, snapshot(&run, 1, 1).params);
    assert!(matches!(
        snapshots.pin(SnapshotId {
            sequence: 2,
            version: 2
        }),
        Err(StoreError::Damaged { .. })
    ));
    snapshots.unpin(first).unwrap();
    snapshots.unpin(first).unwrap();
    assert!(matches!(
        snapshots.file(ParamVersion(1)),
        Err(StoreError::NoSuchVersion { .. })
    ));
}

#[test]
fn the_newest_snapshot_can_not_be_removed_alone() {
    let (_disk, snapshots, _) = written(&[(1, 1), (2, 2)], 3);
    let id = |n| SnapshotId {
        sequence: n,
        version: n,
    };
    assert!(!snapshots.remove_older(id(2)).unwrap());
    assert!(snapshots.remove_older(id(1)).unwrap());
    assert!(!snapshots.remove_older(id(2)).unwrap());
    assert_eq!(versions(&snapshots), [2]);
}

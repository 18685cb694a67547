//! The faulty disk keeps what it should, and loses what it may.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Fault, FaultPlan, FaultyDisk};
use crate::disk::{Disk as _, replace};

const FILE: &str = "/folder/file";

fn disk(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    disk.create_dir_all(Path::new("/folder")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_tears_the_rest() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk(seed);
        let mut file = disk.create_new(Path::new(FILE)).unwrap();
        file.write_all(&[1; 700]).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/folder")).unwrap();
        file.write_all(&[2; 2_000]).unwrap();
        disk.power_cut();
        let left = disk.read(Path::new(FILE)).unwrap();
        assert!(left.len() >= 700 && left[..700].iter().all(|&byte| byte == 1));
        outcomes.insert(left);
        file.write_all(b"late").unwrap_err();
    }
    assert!(outcomes.len() > 10, "{} outcomes", outcomes.len());
}

#[test]
fn an_unsynced_name_may_go_and_a_killed_process_loses_nothing() {
    let mut left = BTreeSet::new();
    for seed in 0..50 {
        let disk = disk(seed);
        let mut file = disk.create_new(Path::new(FILE)).unwrap();
        file.write_all(b"x").unwrap();
        disk.restart();
        assert_eq!(disk.read(Path::new(FILE)).unwrap(), b"x");
        disk.power_cut();
        left.insert(disk.exists(Path::new(FILE)).unwrap());
    }
    assert_eq!(left.len(), 2);
}

#[test]
fn a_failed_sync_loses_pages_that_a_second_one_does_not_bring_back() {
    let mut lost = 0;
    for seed in 0..50 {
        let disk = disk(seed);
        let mut file = disk.create_new(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/folder")).unwrap();
        file.write_all(b"x").unwrap();
        disk.plan(Some(FaultPlan {
            first: disk.operations(),
            count: 1,
            fault: Fault::SyncError,
        }));
        file.sync().unwrap_err();
        assert_eq!(disk.misuses(), 0);
        file.sync().unwrap();
        assert_eq!(disk.misuses(), 1);
        assert_eq!(disk.read(Path::new(FILE)).unwrap(), b"x");
        disk.power_cut();
        lost += u32::from(disk.read(Path::new(FILE)).unwrap() != b"x");
    }
    assert!((5..45).contains(&lost), "{lost}");
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_at_every_crash() {
    let mut seen = BTreeSet::new();
    for fault in [Fault::PowerCut, Fault::Kill] {
        for (seed, at) in (0..20).flat_map(|seed| (0..8).map(move |at| (seed, at))) {
            let disk = disk(seed);
            replace(&disk, Path::new(FILE), b"old").unwrap();
            let first = disk.operations() + at;
            disk.plan(Some(FaultPlan {
                first,
                count: 1,
                fault,
            }));
            let done = replace(&disk, Path::new(FILE), &[7; 3_000]);
            disk.restart();
            let left = disk.read(Path::new(FILE)).unwrap();
            assert!(left == b"old" || left == [7; 3_000], "{}", left.len());
            assert!(done.is_err() || left != b"old");
            seen.insert(left);
        }
    }
    assert_eq!(seen.len(), 2);
}

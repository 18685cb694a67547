//! Full disks and failing ones: nothing is acknowledged that is not stored, and life goes on after that.

use std::path::Path;
use std::sync::Arc;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use super::life::{Counts, DIR, Life};
use crate::disk::Disk;
use crate::faults::{Fault, FaultPlan, FaultyDisk};
use crate::hosting::Hosting;
use crate::run_store::RunStore;

const STEPS: u64 = 36;

fn fail_at(seed: u64, first: u64, count: u64, fault: Fault) -> Counts {
    let mut life = Life::new(seed);
    life.boot().unwrap();
    let first = life.disk.operations() + first;
    life.disk.plan(Some(FaultPlan {
        first,
        count,
        fault,
    }));
    life.go_on(STEPS).unwrap();
    assert_eq!(
        life.disk.misuses(),
        0,
        "a file was used after a failed sync"
    );
    // The process goes, and what the system remembers of a failed write is found by the next one.
    if first % 3 == 1 {
        life.disk.restart();
        life.boot().unwrap();
        life.go_on(6).unwrap();
    }
    // The power goes while the disk still fails, or when all has been well for a while.
    if first.is_multiple_of(2) {
        life.disk.plan(None);
        life.end().unwrap();
    }
    life.disk.power_cut();
    life.boot().unwrap();
    life.go_on(4).unwrap();
    life.end().unwrap();
    life.disk.power_cut();
    life.boot().unwrap();
    assert_eq!(
        life.disk.misuses(),
        0,
        "a file was used after a failed sync"
    );
    life.counts
}

#[test]
fn a_disk_that_fails_at_any_operation_costs_nothing_acknowledged() {
    for (fault, name) in [
        (Fault::NoSpace, "no space"),
        (Fault::SyncError, "failed sync"),
        (Fault::IoError, "input/output error"),
    ] {
        let (mut points, mut reopened) = (0_u64, 0);
        for seed in 0..3 {
            let operations = {
                let mut life = Life::new(seed);
                life.boot().unwrap();
                let begin = life.disk.operations();
                life.go_on(STEPS).unwrap();
                life.disk.operations() - begin
            };
            for first in 0..operations {
                let count = [1, 5, 60][usize::try_from(first % 3).unwrap()];
                reopened += fail_at(seed, first, count, fault).reopened;
                points += 1;
            }
        }
        println!(
            "{name}: {points} points, 0 acknowledged entries lost, log reopened {reopened} times"
        );
        assert!(points >= 500 && reopened > 100);
    }
}

#[test]
fn a_folder_that_was_opened_is_there_after_a_power_cut() {
    let hosting = Hosting {
        run_id: RunId(7),
        dataset: Digest([1; 32]),
        test_set: Digest([2; 32]),
    };
    let dir = Path::new(DIR);
    let mut opened = 0;
    for seed in 0..200 {
        let disk = FaultyDisk::new(seed);
        disk.create_dir_all(Path::new("/runs")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.plan(Some(FaultPlan {
            first: disk.operations() + seed % 25,
            count: 1,
            fault: Fault::Kill,
        }));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        // The process dies somewhere in here; the folder may be in place without its name being durable.
        drop(RunStore::create(shared.clone(), dir, "", hosting));
        disk.restart();
        if !disk.exists(dir).unwrap() {
            continue;
        }
        RunStore::open(shared.clone(), dir).unwrap();
        opened += 1;
        disk.power_cut();
        assert!(disk.exists(dir).unwrap(), "seed {seed}: the run is gone");
    }
    assert!(opened > 20, "{opened}");
}

#[test]
fn a_run_that_could_not_be_created_is_not_there() {
    for fault in [Fault::NoSpace, Fault::SyncError, Fault::IoError] {
        let mut created = 0;
        for first in 2..60 {
            let mut life = Life::new(first);
            let count = 1;
            life.disk.plan(Some(FaultPlan {
                first,
                count,
                fault,
            }));
            if life.boot().is_err() {
                life.boot().unwrap();
                created += 1;
            }
            life.go_on(10).unwrap();
            life.end().unwrap();
            life.disk.power_cut();
            life.boot().unwrap();
        }
        assert!(created > 3, "{created}");
    }
}

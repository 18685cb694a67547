//! A folder that the server wrote before there was a log.

use std::path::Path;
use std::sync::Arc;

use tabswarm_coordinator::RunPhase;
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;

use crate::disk::{Disk, RealDisk, replace};
use crate::error::StoreError;
use crate::faults::{Fault, FaultPlan, FaultyDisk};
use crate::log::LogOptions;
use crate::run_store::{Recovered, RunStore};

const DIR: &str = "/runs/digits";
/// From `tests/fixtures/README.md`.
const DIGEST_12: &str = "79545abc8c9b775057c2f73f4d7ae41b5f7aaa5e11541635b79514d5350e9944";
const DIGEST_3: &str = "c7a4f6b25619e25e0f1656574c863334e1844e8372f61e0526a31cc0e99f8fc8";

/// The fixture on a disk in memory.
fn old_folder(seed: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(seed);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/digits");
    for below in ["", "snapshots"] {
        let to = Path::new(DIR).join(below);
        disk.create_dir_all(&to).unwrap();
        for name in RealDisk.list(&fixture.join(below)).unwrap() {
            let from = fixture.join(below).join(&name);
            if from.is_file() {
                replace(&disk, &to.join(name), &std::fs::read(from).unwrap()).unwrap();
            }
        }
    }
    for dir in ["/", "/runs", DIR] {
        disk.sync_dir(Path::new(dir)).unwrap();
    }
    disk
}

fn recover(disk: &FaultyDisk) -> Result<Recovered, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = RunStore::open(disk, Path::new(DIR))?;
    assert_eq!(store.hosting().run_id, RunId(1));
    let run = Run::from_toml(store.run_file()).unwrap();
    let steps: serde_json::Value = store.read_history()?.expect("the fixture has a history");
    assert_eq!(steps["steps"].as_array().unwrap().len(), 12);
    store.recover(&run, LogOptions::new(3))
}

fn check(recovered: &Recovered, phase: RunPhase) {
    let digest = Digest::of_params(recovered.master.params());
    assert_eq!(digest.to_string(), DIGEST_12);
    let state = &recovered.state;
    assert_eq!((state.version.0, state.phase), (12, phase));
    assert_eq!((state.samples_committed, state.samples_verified), (88, 88));
    assert_eq!(state.credits.len(), 1);
    assert_eq!(state.credits[0].1, 88);
    assert!(!recovered.report.has_damage());
}

#[test]
fn an_old_folder_opens_with_the_same_bits() {
    let disk = old_folder(1);
    check(&recover(&disk).unwrap(), RunPhase::Finished);
    check(&recover(&disk).unwrap(), RunPhase::Finished);
    let left = disk.files();
    let is_old = |name: &str| name == "phase.json" || name.starts_with('v');
    let old = left
        .iter()
        .filter(|(path, _)| is_old(path.file_name().unwrap().to_str().unwrap()));
    assert_eq!(old.count(), 0, "{left:?}");
}

#[test]
fn a_phase_that_is_newer_than_the_snapshots_is_kept() {
    let disk = old_folder(1);
    let path = Path::new(DIR).join("phase.json");
    replace(&disk, &path, br#"{"phase":"stopped"}"#).unwrap();
    let recovered = recover(&disk).unwrap();
    check(&recovered, RunPhase::Stopped);
    assert_eq!(recovered.state.sequence, 13);
    check(&recover(&disk).unwrap(), RunPhase::Stopped);
}

#[test]
fn a_crash_at_any_operation_of_the_migration_costs_nothing() {
    let begin = old_folder(0).operations();
    let end = {
        let disk = old_folder(0);
        recover(&disk).unwrap();
        disk.operations()
    };
    let mut points = 0;
    for (seed, first) in (0..5).flat_map(|seed| (begin..end).map(move |first| (seed, first))) {
        for fault in [Fault::PowerCut, Fault::Kill, Fault::NoSpace] {
            let disk = old_folder(seed);
            let plan = FaultPlan {
                first,
                count: 1,
                fault,
            };
            disk.plan(Some(plan));
            drop(recover(&disk));
            disk.restart();
            check(&recover(&disk).unwrap(), RunPhase::Finished);
            points += 1;
        }
    }
    println!("{points} crash points of a migration: the same bits after each");
    assert!(points > 500);
}

#[test]
fn a_damaged_old_snapshot_is_set_aside_and_the_older_one_holds() {
    let disk = old_folder(1);
    let (path, _) = disk
        .files()
        .into_iter()
        .rfind(|(path, _)| path.ends_with("v000000000012.json"))
        .unwrap();
    disk.flip_bit(&path, 900);
    let recovered = recover(&disk).unwrap();
    assert_eq!(recovered.state.version.0, 3);
    assert_eq!(
        Digest::of_params(recovered.master.params()).to_string(),
        DIGEST_3
    );
    assert!(
        disk.exists(&path.with_file_name("damaged-v000000000012.json"))
            .unwrap()
    );
}

#[test]
fn a_newer_format_is_refused_with_a_remedy() {
    let disk = old_folder(1);
    recover(&disk).unwrap();
    let path = Path::new(DIR).join("hosting.json");
    let body = "{\"anything\":1}";
    let checksum = Digest::of(format!("3\n{body}").as_bytes());
    let text = format!("{{\"format\":3,\"checksum\":\"{checksum}\",\"body\":{body}}}");
    replace(&disk, &path, text.as_bytes()).unwrap();
    let message = recover(&disk).unwrap_err().to_string();
    assert!(
        message.contains("format 3") && message.contains("newer one"),
        "{message}"
    );
}

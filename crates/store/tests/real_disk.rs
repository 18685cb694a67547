//! The same on the system's own files: what the faulty disk plays must be possible there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabswarm_coordinator::{Change, LogEntry, RunPhase};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::RunId;
use tabswarm_store::{
    Disk, Hosting, LogOptions, RealDisk, RunStore, Snapshot, StoreError, compact, verify,
};

const RUN_FILE: &str = r#"
name = "tiny"
seed = 1
data = { format = "idx", path = "tiny" }
optimizer = { kind = "sgd", learning_rate = 0.01 }
train = { epochs = 2, micro_batch = 4, global_batch = 8 }
[model]
input = [2, 3]
layers = [{ kind = "flatten" }, { kind = "dense", units = 2 }]
loss = "softmax_cross_entropy"
"#;

/// An empty folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 400,
        secret: 1,
    }
}

fn phase(sequence: u64) -> LogEntry {
    LogEntry {
        sequence,
        change: Change::Phase {
            phase: RunPhase::Paused,
            reason: None,
        },
    }
}

#[test]
fn a_run_is_created_written_compacted_and_opened_again() {
    let folder = folder("life");
    let dir = folder.join("tiny");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let run = Run::from_toml(RUN_FILE).unwrap();
    let hosting = Hosting {
        run_id: RunId(3),
        dataset: Digest([1; 32]),
        test_set: Digest([2; 32]),
    };
    let store = RunStore::create(disk.clone(), &dir, RUN_FILE, hosting).unwrap();
    assert!(RunStore::create(disk.clone(), &dir, RUN_FILE, hosting).is_err());
    let mut recovered = store.recover(&run, options()).unwrap();
    for sequence in 1..=20 {
        recovered.log.append(&phase(sequence), None).unwrap();
        recovered.state.apply(&phase(sequence)).unwrap();
        recovered.log.sync().unwrap();
    }
    let snapshot = Snapshot::of(recovered.state.clone(), &recovered.master);
    let layout = recovered.master.layout();
    let needed = store.snapshots().put(&snapshot, layout, 1).unwrap();
    recovered.log.remove_behind(needed).unwrap();
    recovered.log.append(&phase(21), None).unwrap();
    recovered.log.seal().unwrap();
    drop(recovered);

    let store = RunStore::open(disk.clone(), &dir).unwrap();
    assert_eq!(store.hosting(), hosting);
    let recovered = store.recover(&run, options()).unwrap();
    assert_eq!(
        (recovered.state.sequence, recovered.report.entries),
        (21, 1)
    );
    drop(recovered);
    let state = compact(
        &RunStore::open(disk.clone(), &dir).unwrap(),
        &run,
        options(),
        7,
    )
    .unwrap();
    assert_eq!((state.sequence, state.phase), (21, RunPhase::Paused));
    let report = verify(&disk, &dir, None, Some(&run)).unwrap();
    assert_eq!((&report.problems[..], report.snapshots), (&[][..], 2));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_old_folder_is_migrated_on_the_real_disk() {
    let folder = folder("old");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/digits");
    for below in ["", "snapshots"] {
        std::fs::create_dir_all(folder.join(below)).unwrap();
        for name in RealDisk.list(&fixture.join(below)).unwrap() {
            if fixture.join(below).join(&name).is_file() {
                let to = folder.join(below).join(&name);
                std::fs::copy(fixture.join(below).join(name), to).unwrap();
            }
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let error = verify(&disk, &folder, None, None).unwrap_err();
    assert!(
        matches!(error, StoreError::OlderFormat { found: 1, .. }),
        "{error}"
    );
    let store = RunStore::open(disk, &folder).unwrap();
    let run = Run::from_toml(store.run_file()).unwrap();
    let recovered = store.recover(&run, options()).unwrap();
    assert_eq!(recovered.state.version.0, 12);
    assert_eq!(
        Digest::of_params(recovered.master.params()).to_string(),
        "79545abc8c9b775057c2f73f4d7ae41b5f7aaa5e11541635b79514d5350e9944"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

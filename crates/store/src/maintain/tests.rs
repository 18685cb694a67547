//! Operators' verbs on a run that has lived for a while.

use std::path::Path;

use tabswarm_model::digest::Digest;
use tabswarm_protocol::{ParamVersion, RunId};

use super::{change, compact, fork, repair, rollback, verify};
use crate::disk::Disk as _;
use crate::error::StoreError;
use crate::hosting::Hosting;
use crate::log::segment;
use crate::run_store::RunStore;
use crate::tests::life::{DIR, Life, SAMPLES, run_with};

/// When snapshots are made.
const NOW_MS: u64 = 1_700_000_000_000;

fn lived(seed: u64) -> Life {
    let mut life = Life::new(seed);
    life.go_on(90).unwrap();
    life.end().unwrap();
    life
}

fn store(life: &Life) -> RunStore {
    RunStore::open(life.shared_disk(), Path::new(DIR)).unwrap()
}

fn is_whole(life: &Life) -> bool {
    let report = verify(&life.shared_disk(), Path::new(DIR), None, Some(&life.run)).unwrap();
    report.problems.is_empty() && report.last >= report.proved
}

#[test]
fn every_version_that_is_listed_can_be_gone_back_to() {
    let mut life = lived(3);
    let versions = store(&life).versions(&life.run).unwrap();
    assert!(versions.len() > 3, "{versions:?}");
    let before = life.reference.last_key_value().unwrap().1.0.clone();
    for (&version, &digest) in versions.iter().rev() {
        let healthy = life.disk.clone();
        life.disk = healthy.fork(1);
        assert_eq!(store(&life).digest(&life.run, version).unwrap(), digest);
        let options = life.options();
        let state = rollback(&store(&life), &life.run, version, options, NOW_MS).unwrap();
        assert_eq!(
            (state.version, state.samples_verified),
            (version, before.samples_verified)
        );
        let options = life.options();
        let recovered = store(&life).recover(&life.run, options).unwrap();
        assert_eq!(recovered.state, state);
        assert_eq!(Digest::of_params(recovered.master.params()), digest);
        assert!(is_whole(&life));
        life.disk = healthy;
    }
    let options = life.options();
    let error = rollback(
        &store(&life),
        &life.run,
        ParamVersion(10_000),
        options,
        NOW_MS,
    );
    let message = error.unwrap_err().to_string();
    assert!(message.contains("store versions"), "{message}");
}

#[test]
fn settings_hold_from_their_version_on_however_the_run_is_read_again() {
    let mut life = Life::new(0);
    life.boot().unwrap();
    for _ in 0..3 {
        life.commit().unwrap();
    }
    life.end().unwrap();
    let before = store(&life).versions(&life.run).unwrap();
    let to = run_with(true, "exact", "updates", "sgd");
    let options = life.options();
    let wanted = (&to, SAMPLES);
    let state = change(&store(&life), &life.run, wanted, options, NOW_MS).unwrap();
    let held = state.run(&life.run).clone();
    assert_eq!((held.optimizer, held.origin.version), (to.optimizer, 3));
    // The same once more writes nothing.
    let options = life.options();
    let same = change(&store(&life), &life.run, wanted, options, NOW_MS).unwrap();
    assert_eq!(same, state);
    let options = life.options();
    let recovered = store(&life).recover(&life.run, options).unwrap();
    assert_eq!(recovered.state, state);
    assert_eq!(recovered.master.optimizer().slots().len(), 0);
    drop(recovered);
    // Without its snapshot, from the beginning of the log, which has three steps of Adam in it.
    let id = store(&life).snapshots().ids().unwrap()[0];
    store(&life).snapshots().set_aside(id).unwrap();
    let options = life.options();
    let recovered = store(&life).recover(&life.run, options).unwrap();
    assert_eq!(recovered.report.replayed.len(), 3);
    assert_eq!(recovered.state, state);
    assert_eq!(recovered.master.optimizer().slots().len(), 0);
    drop(recovered);
    assert_eq!(store(&life).versions(&life.run).unwrap(), before);
    // Going back behind the change undoes it.
    let options = life.options();
    let state = rollback(&store(&life), &life.run, ParamVersion(2), options, NOW_MS).unwrap();
    assert_eq!(*state.run(&life.run), life.run);
    let options = life.options();
    let recovered = store(&life).recover(&life.run, options).unwrap();
    assert_eq!(recovered.master.optimizer().slots().len(), 2);
}

#[test]
fn a_fork_has_the_bits_and_none_of_the_credit() {
    let mut life = lived(3);
    let from = store(&life);
    let (&version, &digest) = from.versions(&life.run).unwrap().iter().nth(1).unwrap();
    let hosting = Hosting {
        run_id: RunId(8),
        ..from.hosting()
    };
    let new_dir = Path::new("/runs/other");
    let text = "name = \"other\"";
    let files = ("other", text, hosting);
    let other = fork(&from, &life.run, version, new_dir, files, None, NOW_MS).unwrap();
    let made = other.snapshots().list().unwrap()[0].made_ms;
    assert_eq!(made, Some(NOW_MS));
    assert_eq!((other.run_file(), other.hosting()), (text, hosting));
    let options = life.options();
    let recovered = other.recover(&life.run, options).unwrap();
    assert_eq!(recovered.state.version, version);
    assert_eq!(Digest::of_params(recovered.master.params()), digest);
    assert_eq!(
        (
            recovered.state.samples_verified,
            recovered.state.credits.len()
        ),
        (0, 0)
    );
    // Without its snapshot it is not a run that has not begun.
    let id = other.snapshots().ids().unwrap()[0];
    other.snapshots().set_aside(id).unwrap();
    let options = life.options();
    let error = other.recover(&life.run, options).unwrap_err();
    assert!(matches!(error, StoreError::NoBase { .. }), "{error}");
}

#[test]
fn a_compacted_run_has_one_segment_and_the_same_state() {
    let mut life = lived(3);
    let options = life.options();
    let state = compact(&store(&life), &life.run, options, NOW_MS).unwrap();
    assert_eq!(
        life.disk.list(&Path::new(DIR).join("log")).unwrap().len(),
        1
    );
    life.boot().unwrap();
    assert_eq!(life.reference.last_key_value().unwrap().1.0, state);
    assert!(is_whole(&life));
}

#[test]
fn damage_in_the_middle_is_refused_and_repaired() {
    let mut life = Life::new(3);
    life.go_on(90).unwrap();
    life.boot().unwrap();
    for _ in 0..12 {
        life.commit().unwrap();
        life.acknowledge().unwrap();
    }
    life.end().unwrap();
    let clean = verify(&life.shared_disk(), Path::new(DIR), None, Some(&life.run)).unwrap();
    assert!(clean.replayed > 3 && clean.snapshots == 2, "{clean:?}");
    let log = Path::new(DIR).join("log");
    let names = life.disk.list(&log).unwrap();
    let newest = store(&life).snapshots().ids().unwrap()[0];
    let hit = names
        .iter()
        .find(|name| segment::first_of(name).unwrap() > newest.sequence + 1);
    let hit = log.join(hit.expect("the newest snapshot is not at the end"));
    life.disk.flip_bit(&hit, (segment::HEADER_BYTES + 60) * 8);
    let options = life.options();
    let message = store(&life)
        .recover(&life.run, options)
        .unwrap_err()
        .to_string();
    for part in [
        hit.to_str().unwrap(),
        "at byte 40",
        "tabswarm store repair /runs/tiny",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let report = repair(&store(&life), &life.run).unwrap();
    assert_eq!(report.lost_through, clean.proved);
    assert!(
        report
            .moved
            .iter()
            .all(|path| life.disk.exists(path).unwrap())
    );
    assert!(is_whole(&life));
    let options = life.options();
    let recovered = store(&life).recover(&life.run, options).unwrap();
    assert_eq!(recovered.state, report.state);
    assert_eq!(recovered.state, life.reference[&report.state.sequence].0);
}

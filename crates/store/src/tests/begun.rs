//! Runs that begin with parameters of their own.

use std::path::Path;
use std::sync::Arc;

use tabswarm_model::digest::Digest;
use tabswarm_model::master::Master;
use tabswarm_protocol::{ParamVersion, RunId};

use super::life::{DIR, run_of};
use crate::disk::Disk;
use crate::faults::FaultyDisk;
use crate::hosting::Hosting;
use crate::log::LogOptions;
use crate::maintain::{create_with_params, verify};
use crate::run_store::RunStore;

#[test]
fn given_parameters_are_version_0_and_stay_so() {
    let run = run_of(0);
    let seeded = Master::new(&run).params().clone();
    let given: Vec<f32> = seeded.iter().map(|value| value + 1.0).collect();
    let digest = Digest::of_params(&given);
    let disk = FaultyDisk::new(1);
    disk.create_dir_all(Path::new("/runs")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let dir = Path::new(DIR);
    let hosting = Hosting {
        run_id: RunId(7),
        dataset: Digest([1; 32]),
        test_set: Digest([2; 32]),
    };
    let files = ("name = \"tiny\"", hosting);
    let store = create_with_params(&disk, dir, &run, given, files, None, 5).unwrap();
    let check = |store: &RunStore, secret| {
        let recovered = store.recover(&run, LogOptions::new(secret)).unwrap();
        assert_eq!(recovered.state.version, ParamVersion(0));
        assert_eq!(Digest::of_params(recovered.master.params()), digest);
    };
    check(&store, 1);
    drop(store);
    let store = RunStore::open(Arc::clone(&disk), dir).unwrap();
    check(&store, 2);
    let versions = store.versions(&run).unwrap();
    assert_eq!(versions.get(&ParamVersion(0)), Some(&digest));
    let report = verify(&disk, dir, None, Some(&run)).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

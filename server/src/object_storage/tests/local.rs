//! Without a server.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;
use crate::object_storage::limits::MAX_NAMES;
use crate::scratch::Scratch;

#[test]
fn memory_keeps_the_contract() {
    let runtime = runtime();
    for url in ["s3://memory", "s3://memory/some/prefix"] {
        let handle = runtime.handle().clone();
        let store = Arc::new(InMemory::new());
        assert_contract(&ObjectStorage::over(store, location(url), handle));
    }
}

#[test]
fn a_synced_folder_keeps_the_contract() {
    let runtime = runtime();
    let scratch = Scratch::new("object-folder");
    let store = LocalFileSystem::new_with_prefix(scratch.path())
        .unwrap()
        .with_fsync(true);
    let handle = runtime.handle().clone();
    assert_contract(&ObjectStorage::over(
        Arc::new(store),
        location("s3://folder/runs"),
        handle,
    ));
}

#[test]
fn a_prefix_full_of_other_things_is_refused() {
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let objects = ObjectStorage::over(Arc::new(InMemory::new()), location("s3://memory"), handle);
    for number in 0..=MAX_NAMES {
        objects.put(&format!("n{number}"), b"").unwrap();
    }
    let error = objects.list().unwrap_err().to_string();
    assert!(error.contains("choose a prefix"), "{error}");
    objects.delete("n0").unwrap();
    assert_eq!(objects.list().unwrap().len(), MAX_NAMES);
}

//! Object storage in memory, in a folder, and on a server that speaks S3.

mod local;
mod s3;
#[path = "../../../tests/integration/support/s3.rs"]
mod s3_process;
mod s3_server;

use std::io;

use tabswarm_store::Objects as _;
use tokio::runtime::Runtime;

use super::limits::PART_BYTES;
use super::{Location, ObjectStorage};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn location(url: &str) -> Location {
    Location::parse(url).unwrap()
}

/// Bytes that no compression or repetition hides.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// What every storage must do.
fn assert_contract(objects: &ObjectStorage) {
    assert_eq!(objects.list().unwrap(), Vec::<String>::new());
    let missing = objects.get("a.json").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound, "{missing}");
    assert!(
        missing.to_string().contains("a.json can't be read"),
        "{missing}"
    );
    objects.delete("a.json").unwrap();
    objects.probe().unwrap();

    objects.put("b.safetensors", b"tensors").unwrap();
    objects.put("a.json", b"a longer manifest").unwrap();
    objects.put("empty", b"").unwrap();
    assert_eq!(
        objects.list().unwrap(),
        ["a.json", "b.safetensors", "empty"]
    );
    assert_eq!(objects.get("empty").unwrap(), b"");
    assert_eq!(objects.get("a.json").unwrap(), b"a longer manifest");
    objects.put("a.json", b"short").unwrap();
    assert_eq!(objects.get("a.json").unwrap(), b"short");

    // Neighbours whose names begin alike, and what lies deeper, are others' objects.
    let deeper = objects.below("deeper").unwrap();
    deeper.put("a.json", b"deeper").unwrap();
    assert_eq!(objects.list().unwrap().len(), 3);
    assert_eq!(deeper.list().unwrap(), ["a.json"]);
    let neighbour = objects.below("deep").unwrap();
    assert_eq!(neighbour.list().unwrap(), Vec::<String>::new());
    deeper.delete("a.json").unwrap();

    objects.delete("a.json").unwrap();
    objects.delete("a.json").unwrap();
    assert_eq!(objects.list().unwrap(), ["b.safetensors", "empty"]);

    for unfit in ["", ".hidden", "../up", "a/b", "a b", "é", &"x".repeat(201)] {
        for error in [
            objects.put(unfit, b"").unwrap_err(),
            objects.get(unfit).unwrap_err(),
            objects.delete(unfit).unwrap_err(),
        ] {
            assert_eq!(
                error.kind(),
                io::ErrorKind::InvalidInput,
                "{unfit}: {error}"
            );
        }
    }

    // In one piece, in several, and where the last piece is full or has one byte.
    for len in [PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES] {
        let bytes = noise(u64::try_from(len).unwrap(), len);
        objects.put("large", &bytes).unwrap();
        assert!(objects.get("large").unwrap() == bytes, "{len} bytes differ");
    }
    for name in objects.list().unwrap() {
        objects.delete(&name).unwrap();
    }
    assert!(objects.list().unwrap().is_empty());
}

//! Texts, good and bad.

use std::fs;
use std::path::Path;

use crate::dataset::{TestSet, ingest};
use crate::fixture;
use crate::scratch::{Scratch, listing};
use crate::store::Store;
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, Tokens, Vocabulary};
use tabswarm_model::samples::{MicroBatch, SampleStore};

/// Characters of the text.
const LENGTH: usize = 10_000;

/// Files, and what the message says.
type Case<'a> = (&'a [(&'a str, &'a [u8])], &'a [&'a str]);

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn a_text_becomes_sequences_and_comes_back() {
    let scratch = Scratch::new("text-sequences");
    let datasets = scratch.path().join("datasets");
    let text = fixture::text(LENGTH);
    write(&datasets.join("tale"), "any.txt", text.as_bytes());
    let store = Store::open(&scratch.path().join("data")).unwrap();
    let run = fixture::text_run();
    let ingested = ingest(&run, &datasets, &store).unwrap();
    assert_eq!(
        ingested.dataset,
        ingest(&run, &datasets, &store).unwrap().dataset
    );
    let manifest = store.training.verify(ingested.dataset).unwrap();
    // 9,000 characters: 8,999 with a next one, in sequences of 4.
    assert_eq!((manifest.samples, manifest.chunks.len()), (2_249, 3));
    assert_eq!(manifest.check_fit(&run.graph()), Ok(()));
    let characters = manifest.vocabulary.clone().unwrap();
    let plan = BatchPlan::new(&run, manifest.samples);
    let mut samples = SampleStore::new(manifest.clone(), plan, run.data.normalization);
    for (idx, &chunk) in manifest.chunks.iter().enumerate() {
        let bytes = fs::read(store.training.chunk_path(chunk)).unwrap();
        samples.insert(idx, &bytes).unwrap();
    }
    let mut batch = MicroBatch::default();
    let step = plan.step(0);
    let first = plan.epoch_order(0)[plan.positions(step, 1).start] as usize;
    assert!(samples.gather(step, 1, &mut batch));
    let got: String = batch.labels[..4]
        .iter()
        .map(|&label| characters.characters()[usize::from(label)])
        .collect();
    let expected: String = text.chars().skip(first * 4 + 1).take(4).collect();
    assert_eq!(got, expected);

    let test = TestSet::load(&store, ingested.test_set).unwrap();
    assert_eq!(test.samples(), 249);
    let mut reader = test.reader(run.data.normalization);
    reader.read(&test, 0..1, &mut batch).unwrap();
    let first = text.chars().nth(9_000).unwrap();
    let token = characters.token(first).unwrap();
    assert_eq!(batch.inputs[..1], [f32::from(token)]);
}

#[test]
fn bytes_are_the_vocabulary_of_any_file() {
    let scratch = Scratch::new("text-bytes");
    let datasets = scratch.path().join("datasets");
    // No UTF-8, and longer than what is read at once.
    let bytes: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| [0xff, (n % 251) as u8])
        .collect();
    write(&datasets, "tale", &bytes);
    let toml = fixture::TEXT_RUN_TOML
        .replace("\"characters\"", "\"bytes\"")
        .replace("vocabulary = 5", "vocabulary = 256")
        .replace("units = 5", "units = 256");
    let run = Run::from_toml(&toml).unwrap();
    let store = Store::open(&scratch.path().join("data")).unwrap();
    let ingested = ingest(&run, &datasets, &store).unwrap();
    let manifest = store.training.verify(ingested.dataset).unwrap();
    assert_eq!(manifest.vocabulary, Some(Vocabulary::Bytes));
    assert_eq!(manifest.check_fit(&run.graph()), Ok(()));
    let stored = |idx: usize| match store.training.chunk(&manifest, idx).unwrap() {
        Chunk::Text(Tokens::Narrow(tokens)) => tokens,
        other => panic!("{other:?}"),
    };
    // 180,000 bytes for training; each chunk's last token is the next one's first.
    let length = CHUNK_SAMPLES as usize * 4;
    for idx in [0, 1, 42] {
        assert_eq!(stored(idx), bytes[idx * length..=(idx + 1) * length]);
    }
    let rest = stored(manifest.chunks.len() - 1);
    let first = (manifest.chunks.len() - 1) * length;
    assert_eq!(rest, bytes[first..first + rest.len()]);
    assert_eq!(manifest.samples, 44_999);
    let validation = TestSet::load(&store, ingested.test_set).unwrap();
    assert_eq!(validation.samples(), 4_999);
}

#[test]
fn characters_may_lie_across_pieces_of_a_file() {
    let scratch = Scratch::new("text-pieces");
    let datasets = scratch.path().join("datasets");
    let store = Store::open(&scratch.path().join("data")).unwrap();
    let mut digests = Vec::new();
    // "é" has two bytes: each text has one across the end of what is read first.
    for shift in 0..2 {
        let text = format!("{}{}", &"ab"[..shift], "ébcda".repeat(20_000));
        write(&datasets, "tale", text.as_bytes());
        let ingested = ingest(&fixture::text_run(), &datasets, &store).unwrap();
        assert_eq!(ingested.manifest.vocabulary, Vocabulary::of("abcdé"));
        digests.push(ingested.dataset);
    }
    assert_ne!(digests[0], digests[1]);
    let cut = [b"a".repeat(64 << 10), b"\xc3".to_vec()].concat();
    write(&datasets, "tale", &cut);
    let before = listing(scratch.path());
    let message = ingest(&fixture::text_run(), &datasets, &store)
        .unwrap_err()
        .to_string();
    assert!(message.contains("offset 65536"), "{message}");
    assert_eq!(listing(scratch.path()), before);
}

#[test]
fn each_mistake_has_one_clear_message_and_leaves_nothing_behind() {
    let text = fixture::text(LENGTH);
    let more = format!("{text}x");
    let short: String = text.chars().take(30).collect();
    let cases: [Case<'_>; 6] = [
        (&[], &["tale does not exist", "cargo xtask setup"]),
        (
            &[("a.txt", b"a"), ("b.txt", b"b")],
            &["no data.txt, and 2 other files", "data.path"],
        ),
        (&[("readme.md", b"a")], &["and 0 other files"]),
        (
            &[("data.txt", b"na\xefve")],
            &["data.txt is not UTF-8", "offset 2", "iconv"],
        ),
        (
            &[("data.txt", short.as_bytes())],
            &["30 characters", "3 are for validation", "take 5"],
        ),
        (
            &[("data.txt", more.as_bytes())],
            &[
                "6 different characters",
                "a vocabulary of 5",
                "vocabulary = 6",
            ],
        ),
    ];
    for (files, expected) in cases {
        let scratch = Scratch::new("text-mistakes");
        let datasets = scratch.path().join("datasets");
        for (name, bytes) in files {
            write(&datasets.join("tale"), name, bytes);
        }
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let before = listing(scratch.path());
        let error = ingest(&fixture::text_run(), &datasets, &store).unwrap_err();
        let message = error.to_string();
        assert_eq!(listing(scratch.path()), before, "{message}");
        for part in expected {
            assert!(
                message.contains(part),
                "{message:?} should contain {part:?}"
            );
        }
    }
}

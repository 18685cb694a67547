//! Manifests and chunks: round trips, and everything that is refused.

use super::*;

fn chunk() -> Chunk {
    Chunk::Labeled {
        inputs: vec![1, 2, 3, 4, 5, 6],
        labels: vec![0, 1, 2],
    }
}

fn manifest() -> Manifest {
    Manifest {
        sample_shape: vec![2],
        classes: 3,
        samples: 3,
        chunk_samples: 4,
        chunks: vec![Digest::of(&chunk().to_bytes())],
        vocabulary: None,
        targets: TargetKind::Labels,
        inputs: InputKind::Bytes,
        preparation: None,
    }
}

fn text() -> (Manifest, Chunk) {
    let vocabulary = Vocabulary::of("abc").unwrap();
    let chunk = Chunk::Text(vocabulary.encode("abcabca").unwrap());
    let manifest = Manifest {
        sample_shape: vec![2],
        classes: 3,
        samples: 3,
        chunk_samples: 4,
        chunks: vec![Digest::of(&chunk.to_bytes())],
        vocabulary: Some(vocabulary),
        targets: TargetKind::Labels,
        inputs: InputKind::Bytes,
        preparation: None,
    };
    (manifest, chunk)
}

fn soft() -> (Manifest, Chunk) {
    let chunk = Chunk::Soft {
        inputs: vec![1, 2, 3, 4, 5, 6],
        targets: vec![0.5, 0.25, 0.25, 1.0, 0.0, 0.0, 0.0, 0.125, 0.875],
    };
    let manifest = Manifest {
        chunks: vec![Digest::of(&chunk.to_bytes())],
        targets: TargetKind::Soft,
        ..manifest()
    };
    (manifest, chunk)
}

#[test]
fn soft_targets_stand_behind_the_inputs() {
    let (manifest, chunk) = soft();
    let bytes = chunk.to_bytes();
    assert_eq!(bytes.len(), 6 + 9 * 4);
    assert_eq!(bytes[6..10], 0.5_f32.to_le_bytes());
    assert_eq!(manifest.parse_chunk(0, &bytes), Ok(chunk));
    let json = manifest.to_json();
    assert!(json.ends_with(r#""targets":"soft"}"#), "{json}");
    assert_eq!(Manifest::from_json(&json), Ok(manifest));
}

#[test]
fn soft_targets_are_probabilities() {
    for bad in [f32::NAN, f32::INFINITY, -0.25, 1.5] {
        let (manifest, chunk) = soft();
        let Chunk::Soft {
            inputs,
            mut targets,
        } = chunk
        else {
            panic!("soft");
        };
        targets[4] = bad;
        let bytes = Chunk::Soft { inputs, targets }.to_bytes();
        let manifest = Manifest {
            chunks: vec![Digest::of(&bytes)],
            ..manifest
        };
        let expected = DatasetError::WrongTarget {
            chunk_idx: 0,
            class: 1,
            value: bad.to_string(),
        };
        assert_eq!(manifest.parse_chunk(0, &bytes), Err(expected));
    }
}

#[test]
fn a_named_manifest_is_the_one_with_that_digest() {
    let json = manifest().to_json();
    let named = Digest::of(json.as_bytes());
    let read = |bytes: &[u8]| Manifest::from_bytes(bytes, named);
    assert_eq!(read(json.as_bytes()), Ok(manifest()));
    assert!(matches!(
        read(b"{}"),
        Err(DatasetError::WrongManifest { expected, .. }) if expected == named
    ));
    let no_text = [0xff, 0xfe];
    let error = Manifest::from_bytes(&no_text, Digest::of(&no_text));
    assert!(matches!(error, Err(DatasetError::Manifest { .. })));
}

#[test]
fn chunk_round_trip() {
    assert_eq!(manifest().parse_chunk(0, &chunk().to_bytes()), Ok(chunk()));
    assert_eq!(Manifest::from_json(&manifest().to_json()), Ok(manifest()));
    let (manifest, chunk) = text();
    assert_eq!(manifest.parse_chunk(0, &chunk.to_bytes()), Ok(chunk));
    assert_eq!(Manifest::from_json(&manifest.to_json()), Ok(manifest));
}

#[test]
fn digests_of_labeled_sets_stay_what_they_are() {
    let json = manifest().to_json();
    let chunk = manifest().chunks[0];
    let expected = format!(
        r#"{{"sample_shape":[2],"classes":3,"samples":3,"chunk_samples":4,"chunks":["{chunk}"]}}"#
    );
    assert_eq!(json, expected);
}

#[test]
fn a_manifest_fits_models_of_its_kind() {
    let graph = |input, layers| {
        crate::graph::build(&crate::run_file::ModelSpec {
            input,
            layers,
            loss: crate::run_file::LossSpec::SoftmaxCrossEntropy,
        })
    };
    let dense = |units| crate::run_file::LayerSpec::dense(units);
    let embedding = |vocabulary| crate::run_file::LayerSpec::Embedding {
        vocabulary,
        width: 2,
    };
    let (text, _) = text();
    let words = graph(vec![2], vec![embedding(3), dense(3)]);
    let more_words = graph(vec![2], vec![embedding(4), dense(4)]);
    let values = graph(vec![2], vec![dense(3)]);
    let wide = graph(vec![3], vec![dense(3)]);
    let few = graph(vec![2], vec![dense(2)]);
    let distilled = crate::graph::build(&crate::run_file::ModelSpec {
        input: vec![2],
        layers: vec![dense(3)],
        loss: crate::run_file::LossSpec::SoftTargets { temperature: 2.0 },
    });
    let fits = |manifest: &Manifest, graph| manifest.check_fit(graph).is_ok();
    assert!(fits(&text, &words));
    assert!(![&more_words, &values].into_iter().any(|g| fits(&text, g)));
    assert!(fits(&manifest(), &values));
    assert!(
        ![&words, &wide, &few]
            .into_iter()
            .any(|g| fits(&manifest(), g))
    );
    let (soft, _) = soft();
    assert!(fits(&soft, &distilled));
    assert!(!fits(&soft, &values) && !fits(&manifest(), &distilled));
    let error = soft.check_fit(&values).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data does not fit the model: it has 2 values and soft targets of 3 classes, \
         the model takes 2 values and labels of 3 classes"
    );
}

#[test]
fn bad_chunks_are_refused() {
    let mut bytes = chunk().to_bytes();
    assert!(matches!(
        manifest().parse_chunk(0, &bytes[1..]),
        Err(DatasetError::WrongLength {
            expected: 12,
            got: 11,
            ..
        })
    ));
    bytes[0] ^= 1;
    assert!(matches!(
        manifest().parse_chunk(0, &bytes),
        Err(DatasetError::WrongDigest { .. })
    ));
    let (text, _) = text();
    let foreign = Chunk::Text(Tokens::Narrow(vec![0, 1, 2, 3, 0, 1, 2]));
    let text = Manifest {
        chunks: vec![Digest::of(&foreign.to_bytes())],
        ..text
    };
    assert!(matches!(
        text.parse_chunk(0, &foreign.to_bytes()),
        Err(DatasetError::WrongLabel { label: 3, .. })
    ));
    let few_classes = Manifest {
        classes: 2,
        ..manifest()
    };
    assert!(matches!(
        few_classes.parse_chunk(0, &chunk().to_bytes()),
        Err(DatasetError::WrongLabel {
            label: 2,
            classes: 2,
            ..
        })
    ));
}

#[test]
fn inconsistent_manifests_are_refused() {
    let cases = [
        Manifest {
            samples: 0,
            ..manifest()
        },
        Manifest {
            samples: 5,
            ..manifest()
        },
        Manifest {
            classes: 0,
            ..manifest()
        },
        Manifest {
            sample_shape: vec![usize::MAX, 2],
            ..manifest()
        },
        Manifest {
            sample_shape: vec![0],
            ..manifest()
        },
    ];
    let (text, _) = text();
    let texts = [
        Manifest {
            classes: 4,
            ..text.clone()
        },
        Manifest {
            sample_shape: vec![2, 1],
            ..text.clone()
        },
        Manifest {
            targets: TargetKind::Soft,
            ..text.clone()
        },
        Manifest {
            sample_shape: vec![MAX_CHUNK_BYTES],
            ..text
        },
    ];
    for case in cases.into_iter().chain(texts) {
        assert!(Manifest::from_json(&case.to_json()).is_err(), "{case:?}");
    }
    assert!(Manifest::from_json("{").is_err());
}

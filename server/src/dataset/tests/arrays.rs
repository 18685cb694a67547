//! Arrays of `NumPy`, good and bad.

use tabswarm_model::dataset::InputKind;
use zip::CompressionMethod::{Deflated, Stored};

use super::files::{floats, labels, npy, npy_header, zip};
use super::{Mistake, Place, check, run};
use crate::dataset::TestSet;
use crate::scratch::listing;

const FOLDER: &str = r#"format = "npy", path = "a", split = { validation = 0.2 }"#;
const ARCHIVE: &str = r#"format = "npy", path = "a.npz", split = { validation = 0.2 }"#;

#[test]
fn arrays_in_a_folder_and_in_archives_are_the_same_samples() {
    let place = Place::new("arrays");
    let (x, y) = (floats(50, 3), labels(50, 2));
    place.write("a/x.npy", &x);
    place.write("a/y.npy", &y);
    let run = run(FOLDER, &[3], 2);
    let ingested = place.ingest(&run);
    let manifest = &ingested.manifest;
    assert_eq!((manifest.samples, manifest.inputs), (40, InputKind::Values));
    assert_eq!(ingested.counts.samples, [40, 10, 0]);
    let of_class = |class: usize| ingested.counts.classes[class].iter().sum::<u64>();
    assert_eq!([of_class(0), of_class(1)], [25, 25]);
    let (inputs, classes) = place.values(manifest);
    for (row, class) in inputs.chunks_exact(3).zip(classes) {
        // Sample n is 3n, 3n + 1, 3n + 2, and of class n mod 2.
        assert_eq!((row[1] - row[0], row[2] - row[0]), (1.0, 2.0));
        assert!((row[0] / 3.0 % 2.0 - f32::from(class)).abs() < 1e-6);
    }
    for method in [Stored, Deflated] {
        let archive = zip(&[("other.npy", b"?"), ("y.npy", &y), ("x.npy", &x)], method);
        place.write("a.npz", &archive);
        let run = super::run(ARCHIVE, &[3], 2);
        assert_eq!(place.ingest(&run).dataset, ingested.dataset);
    }
}

#[test]
fn all_usual_types_are_read_and_scaled() {
    let place = Place::new("array-types");
    place.write("a/y.npy", &labels(10, 2));
    let ten = |bytes: &dyn Fn(u8) -> Vec<u8>| -> Vec<u8> { (0..10).flat_map(bytes).collect() };
    let cases: [(&str, Vec<u8>); 7] = [
        ("|u1", ten(&|n| vec![n])),
        ("|i1", ten(&|n| vec![n])),
        (">u2", ten(&|n| vec![0, n])),
        ("<i4", ten(&|n| i32::from(n).to_le_bytes().to_vec())),
        (">f4", ten(&|n| f32::from(n).to_be_bytes().to_vec())),
        ("<f8", ten(&|n| f64::from(n).to_le_bytes().to_vec())),
        ("<u8", ten(&|n| u64::from(n).to_le_bytes().to_vec())),
    ];
    let data = FOLDER.replace("split", "normalize = \"range\", split");
    let mut all = Vec::new();
    for (descr, bytes) in cases {
        place.write("a/x.npy", &npy(descr, "(10, 1)", &bytes));
        let ingested = place.ingest(&run(&data, &[1], 2));
        let (inputs, _) = place.values(&ingested.manifest);
        assert!(inputs.iter().all(|value| (0.0..=1.0).contains(value)));
        all.push((ingested.dataset, descr));
    }
    assert!(all.iter().all(|(digest, _)| *digest == all[0].0), "{all:?}");
}

#[test]
fn bytes_stay_bytes_where_mean_and_std_are_given() {
    let place = Place::new("array-bytes");
    place.write("a/y.npy", &labels(20, 2));
    let values: Vec<u8> = (0..80).collect();
    place.write("a/x.npy", &npy("|u1", "(20, 2, 2)", &values));
    let data = FOLDER.replace(
        "split = { validation = 0.2 }",
        "normalize = { mean = 0.5, std = 0.25 }, split = { validation = 0.2, test = 0.2 }",
    );
    let ingested = place.ingest(&run(&data, &[2, 2, 1], 2));
    assert_eq!(ingested.manifest.inputs, InputKind::Bytes);
    let (inputs, _) = place.values(&ingested.manifest);
    assert!(
        inputs
            .chunks_exact(4)
            .all(|row| (row[3] - row[0] - 3.0).abs() < 1e-6)
    );
    let held_out = ingested.manifest.preparation.unwrap().held_out.unwrap();
    assert_eq!(TestSet::load(&place.store, held_out).unwrap().samples(), 4);
}

/// Inputs and labels in a folder.
fn folder(x: Vec<u8>, y: Vec<u8>, parts: &'static [&'static str]) -> Mistake {
    Mistake {
        run: run(FOLDER, &[3], 2),
        files: vec![("a/x.npy", x), ("a/y.npy", y)],
        parts,
    }
}

#[test]
fn headers_that_are_not_understood_are_refused() {
    let record = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (50,), }";
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (50, 3), }";
    let cases: Vec<(Vec<u8>, &'static [&'static str])> = vec![
        (
            npy("|O", "(50,)", b"\x80\x04pickle."),
            &["type \"|O\"", "save whole numbers or floats"],
        ),
        (npy("<c8", "(50, 3)", &[]), &["type \"<c8\""]),
        (npy("<U5", "(50, 3)", &[]), &["type \"<U5\""]),
        (npy_header(record, &[]), &["records", "plain numbers"]),
        (npy_header(fortran, &[0; 600]), &["ascontiguousarray"]),
        (
            npy_header("{'descr': '<f4'}", &[]),
            &["header", "numpy.save"],
        ),
        (Vec::new(), &["its header can't be read", "numpy.save"]),
        (
            b"not an array at all".to_vec(),
            &["it is no array of NumPy"],
        ),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            &["its header has 4294967295 bytes"],
        ),
    ];
    let y = labels(50, 2);
    let cases = cases
        .into_iter()
        .map(|(x, parts)| folder(x, y.clone(), parts));
    check("array-headers", cases.collect());
}

#[test]
fn shapes_that_do_not_go_together_are_refused() {
    let (x, y) = (floats(50, 3), labels(50, 2));
    let shaped = |shape| npy("<f4", shape, &[]);
    let cases: Vec<(Vec<u8>, Vec<u8>, &'static [&'static str])> = vec![
        (
            x[..x.len() - 5].to_vec(),
            y.clone(),
            &["it breaks off at sample 49", "save it again"],
        ),
        (
            [&x[..], b"!"].concat(),
            y.clone(),
            &["longer than its shape says"],
        ),
        (
            shaped("(50, 99999999999)"),
            y.clone(),
            &["its shape is [50, 99999999999]"],
        ),
        (
            shaped("(50, 4294967296, 4294967296)"),
            y.clone(),
            &["its shape is"],
        ),
        (
            shaped("(99999999999999999999999,)"),
            y.clone(),
            &["header", "numpy.save"],
        ),
        (
            shaped("(49, 3)"),
            y.clone(),
            &["[49, 3] does not go with 50 labels"],
        ),
        (
            floats(50, 4),
            y,
            &["shape [4], but the model takes 3 values", "model.input"],
        ),
        (
            x,
            floats(50, 1),
            &["these are no labels", "one whole number"],
        ),
        (floats(1, 3), labels(1, 1), &["1 samples are too few"]),
        (
            shaped("(0, 3)"),
            labels(0, 1),
            &["0 samples are too few", "use a larger data set"],
        ),
    ];
    let cases = cases.into_iter().map(|(x, y, parts)| folder(x, y, parts));
    check("array-shapes", cases.collect());
}

#[test]
fn values_that_can_not_be_learned_from_are_refused() {
    let (x, y) = (floats(50, 3), labels(50, 2));
    let mut not_a_number = x.clone();
    let end = not_a_number.len();
    not_a_number[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut negative = labels(50, 2);
    let end = negative.len();
    negative[end - 8..].copy_from_slice(&(-1_i64).to_le_bytes());
    let bytes = FOLDER.replace("split", "normalize = { mean = 0.0, std = 1.0 }, split");
    let with = |run, files| Mistake {
        run,
        files,
        parts: &[],
    };
    let cases = vec![
        folder(
            not_a_number,
            y.clone(),
            &["value 2 of sample 49 is NaN", "fill missing values in"],
        ),
        folder(
            x.clone(),
            labels(50, 3),
            &["label 2 of sample 2", "the model has 2 outputs"],
        ),
        folder(
            x.clone(),
            negative,
            &[
                "label -1 of sample 49 is out of range",
                "count classes from 0",
            ],
        ),
        Mistake {
            parts: &["there is no y.npy in it", "data.labels"],
            ..with(run(FOLDER, &[3], 2), vec![("a/x.npy", x.clone())])
        },
        Mistake {
            parts: &["it does not exist", "another data.path"],
            ..with(run(FOLDER, &[3], 2), vec![("b/x.npy", x.clone())])
        },
        Mistake {
            parts: &["\"x\" does not hold bytes", "standard"],
            ..with(run(&bytes, &[3], 2), vec![("a/x.npy", x), ("a/y.npy", y)])
        },
    ];
    check("array-values", cases);
}

#[test]
fn archives_that_are_none_or_bombs_are_refused() {
    let (x, y) = (floats(50, 3), labels(50, 2));
    let bomb = npy("<f4", "(1500000, 3)", &vec![0; 17 << 20]);
    let cut = zip(&[("x.npy", &x), ("y.npy", &y)], Deflated)[..300].to_vec();
    let cases: Vec<(Vec<u8>, &'static [&'static str])> = vec![
        (b"no archive".to_vec(), &["it is no archive", ".npz"]),
        (cut, &["it is no archive"]),
        (
            zip(&[("x.npy", &x), ("z.npy", &y)], Stored),
            &["its member y.npy can't be read", "\"x.npy\", \"z.npy\""],
        ),
        (
            zip(&[("../x.npy", &x), ("/etc/y.npy", &y)], Stored),
            &["its member x.npy can't be read"],
        ),
        (
            zip(&[("x.npy", &bomb), ("y.npy", &y)], Deflated),
            &["x.npy unpacks from", "without compression"],
        ),
    ];
    let cases = cases.into_iter().map(|(bytes, parts)| Mistake {
        run: run(ARCHIVE, &[3], 2),
        files: vec![("a.npz", bytes)],
        parts,
    });
    check("archives", cases.collect());
}

#[cfg(unix)]
#[test]
fn a_link_does_not_lead_out_of_the_folder() {
    let place = Place::new("array-link");
    place.write("a/y.npy", &labels(50, 2));
    place.write("x.npy", &floats(50, 3));
    std::os::unix::fs::symlink("../x.npy", place.datasets().join("a/x.npy")).unwrap();
    let run = run(FOLDER, &[3], 2);
    let before = listing(place.scratch.path());
    let error = super::ingest(&run, &place.datasets(), &place.store).unwrap_err();
    assert!(error.to_string().contains("outside the folder"), "{error}");
    assert_eq!(listing(place.scratch.path()), before);
}

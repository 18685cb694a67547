//! Folders of pictures, good and bad.

use image::ImageFormat;

use super::files::{color, gray, lying_png};
use super::{Mistake, Place, check, run};

const EXACT: &str = r#"format = "images", path = "p", split = { validation = 0.2 }"#;
const STRETCH: &str =
    r#"format = "images", path = "p", fit = "stretch", split = { validation = 0.2 }"#;

#[test]
fn folders_of_pictures_become_classes() {
    let place = Place::new("images");
    for n in 0..10_u8 {
        place.write(&format!("p/cats/{n}.png"), &gray(2, 3, n));
        let jpeg = color(2, 3, [200, 100, 50], ImageFormat::Jpeg);
        place.write(&format!("p/dogs/{n}.jpg"), &jpeg);
    }
    place.write("p/.DS_Store", b"litter");
    let ingested = place.ingest(&run(EXACT, &[2, 3, 3], 2));
    assert_eq!(ingested.counts.samples, [16, 4, 0]);
    let preparation = ingested.manifest.preparation.clone().unwrap();
    assert_eq!(preparation.classes, ["cats", "dogs"]);
    let (inputs, labels) = place.values(&ingested.manifest);
    for (picture, label) in inputs.chunks_exact(18).zip(labels) {
        if label == 0 {
            assert!(
                picture
                    .iter()
                    .all(|&value| (value - picture[0]).abs() < 0.5 && value < 10.0)
            );
        } else {
            // JPEG is lossy, but not by much where all pixels are the same.
            for (value, expected) in picture.iter().zip([200.0, 100.0, 50.0].iter().cycle()) {
                assert!((value - expected).abs() < 4.0, "{picture:?}");
            }
        }
    }
}

#[test]
fn pictures_are_made_of_one_size_where_told() {
    let place = Place::new("image-sizes");
    for n in 0..6_u8 {
        place.write(&format!("p/dark/{n}.png"), &gray(2 + u32::from(n), 4, 10));
        place.write(&format!("p/light/{n}.png"), &gray(5, 3, 240));
    }
    let ingested = place.ingest(&run(STRETCH, &[4, 4, 1], 2));
    let (inputs, labels) = place.values(&ingested.manifest);
    for (picture, label) in inputs.chunks_exact(16).zip(labels) {
        let expected = [10.0, 240.0][usize::from(label)];
        assert!(
            picture.iter().all(|&value| (value - expected).abs() < 0.5),
            "{picture:?}"
        );
    }
}

#[test]
fn damaged_and_lying_pictures_are_refused() {
    let whole = color(2, 2, [1, 2, 3], ImageFormat::Png);
    let jpeg = color(40, 40, [1, 2, 3], ImageFormat::Jpeg);
    let unreadable: &[&str] = &["3.png", "can't be read", "replace or remove"];
    let cases: Vec<(&str, Vec<u8>, &'static [&'static str])> = vec![
        (
            EXACT,
            Vec::new(),
            &["3.png", "neither PNG nor JPEG", "replace or remove"],
        ),
        (
            EXACT,
            b"GIF89a......".to_vec(),
            &["3.png", "neither PNG nor JPEG"],
        ),
        (EXACT, whole[..whole.len() - 20].to_vec(), unreadable),
        (EXACT, whole[..20].to_vec(), unreadable),
        (EXACT, jpeg[..30].to_vec(), unreadable),
        (
            EXACT,
            gray(3, 2, 1),
            &["it is 3 x 2 pixels instead of 2 x 2", "stretch"],
        ),
        (STRETCH, lying_png(60_000, 60_000), unreadable),
        (STRETCH, lying_png(16_000, 16_000), unreadable),
        (STRETCH, lying_png(u32::MAX, 1), unreadable),
        (STRETCH, lying_png(0, 0), unreadable),
    ];
    let cases = cases.into_iter().map(|(data, third, parts)| Mistake {
        run: run(data, &[2, 2, 3], 2),
        files: vec![
            ("p/a/1.png", gray(2, 2, 1)),
            ("p/a/2.png", gray(2, 2, 2)),
            ("p/b/3.png", third),
        ],
        parts,
    });
    check("pictures", cases.collect());
}

#[test]
fn folders_that_are_no_classes_are_refused() {
    let cases: Vec<(&[usize], &[&'static str], &'static [&'static str])> = vec![
        (
            &[2, 2, 3],
            &["p/a/1.png", "p/a/2.png"],
            &["1 folders of pictures", "one folder for each class"],
        ),
        (
            &[12],
            &["p/a/1.png", "p/b/2.png"],
            &["model.input = [12]", "[height, width, 3]"],
        ),
        (
            &[2, 2, 3],
            &["p/1.png"],
            &["not a folder of pictures", "one folder for each class"],
        ),
        (
            &[2, 2, 3],
            &["p/a/1.png", "p/b/more/2.png"],
            &["more", "a folder, a link or a device"],
        ),
        (
            &[2, 2, 3],
            &["p/a/1.png", "p/b/.hidden"],
            &["there are no pictures in it", "remove the folder"],
        ),
        (
            &[2, 2, 3],
            &["p/a/1.png", "p/b/1.png", "p/c/1.png"],
            &[
                "3 folders of pictures, but the model has 2 outputs",
                "units in the last layer",
            ],
        ),
    ];
    let cases = cases.into_iter().map(|(input, files, parts)| Mistake {
        run: run(EXACT, input, 2),
        files: files.iter().map(|&file| (file, gray(2, 2, 1))).collect(),
        parts,
    });
    check("picture-folders", cases.collect());
}

#[cfg(unix)]
#[test]
fn links_to_pictures_are_refused() {
    let place = Place::new("image-link");
    place.write("p/a/1.png", &gray(2, 2, 1));
    place.write("p/b/1.png", &gray(2, 2, 1));
    std::os::unix::fs::symlink("/etc/passwd", place.datasets().join("p/b/2.png")).unwrap();
    let run = run(EXACT, &[2, 2, 3], 2);
    let error = super::ingest(&run, &place.datasets(), &place.store).unwrap_err();
    assert!(error.to_string().contains("a link"), "{error}");
}

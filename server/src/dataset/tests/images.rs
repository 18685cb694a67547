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
                    .all(|&value| value == picture[0] && value < 10.0)
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
            picture.iter().all(|&value| value == expected),
            "{picture:?}"
        );
    }
}

#[test]
fn each_mistake_has_one_clear_message_and_leaves_nothing_behind() {
    let with = |data, third: Vec<u8>, parts| Mistake {
        run: run(data, &[2, 2, 3], 2),
        files: vec![
            ("p/a/1.png", gray(2, 2, 1)),
            ("p/a/2.png", gray(2, 2, 2)),
            ("p/b/3.png", third),
        ],
        parts,
    };
    let whole = color(2, 2, [1, 2, 3], ImageFormat::Png);
    let jpeg = color(40, 40, [1, 2, 3], ImageFormat::Jpeg);
    let one_class = || vec![("p/a/1.png", gray(2, 2, 1)), ("p/a/2.png", gray(2, 2, 1))];
    let cases = vec![
        with(
            EXACT,
            Vec::new(),
            &["3.png", "neither PNG nor JPEG", "replace or remove"],
        ),
        with(
            EXACT,
            b"GIF89a......".to_vec(),
            &["3.png", "neither PNG nor JPEG"],
        ),
        with(
            EXACT,
            whole[..whole.len() - 20].to_vec(),
            &["3.png", "can't be read"],
        ),
        with(EXACT, whole[..20].to_vec(), &["3.png", "can't be read"]),
        with(EXACT, jpeg[..30].to_vec(), &["3.png", "can't be read"]),
        with(
            EXACT,
            gray(3, 2, 1),
            &["it is 3 x 2 pixels instead of 2 x 2", "stretch"],
        ),
        with(
            STRETCH,
            lying_png(60_000, 60_000),
            &["3.png", "can't be read", "replace or remove"],
        ),
        with(
            STRETCH,
            lying_png(16_000, 16_000),
            &["3.png", "can't be read"],
        ),
        with(STRETCH, lying_png(u32::MAX, 1), &["3.png", "can't be read"]),
        with(STRETCH, lying_png(0, 0), &["3.png", "can't be read"]),
        Mistake {
            run: run(EXACT, &[2, 2, 3], 2),
            files: one_class(),
            parts: &["1 folders of pictures", "one folder for each class"],
        },
        Mistake {
            run: run(EXACT, &[12], 2),
            files: one_class(),
            parts: &["model.input = [12]", "[height, width, 3]"],
        },
        Mistake {
            run: run(EXACT, &[2, 2, 3], 2),
            files: vec![("p/1.png", gray(2, 2, 1))],
            parts: &["not a folder of pictures", "one folder for each class"],
        },
        Mistake {
            run: run(EXACT, &[2, 2, 3], 2),
            files: vec![
                ("p/a/1.png", gray(2, 2, 1)),
                ("p/b/more/2.png", gray(2, 2, 1)),
            ],
            parts: &["more", "a folder, a link or a device"],
        },
        Mistake {
            run: run(EXACT, &[2, 2, 3], 2),
            files: vec![("p/a/1.png", gray(2, 2, 1)), ("p/b/.hidden", Vec::new())],
            parts: &["there are no pictures in it", "remove the folder"],
        },
        Mistake {
            run: run(EXACT, &[2, 2, 3], 2),
            files: ["p/a/1.png", "p/b/1.png", "p/c/1.png"]
                .map(|path| (path, gray(2, 2, 1)))
                .to_vec(),
            parts: &[
                "3 folders of pictures, but the model has 2 outputs",
                "units in the last layer",
            ],
        },
    ];
    check("images", cases);
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

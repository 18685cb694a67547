//! Tables of separated cells, good and bad.

use std::fmt::Write as _;
use std::fs;

use tabswarm_model::Run;
use tabswarm_model::dataset::{Chunk, InputKind};

use crate::dataset::{TestSet, ingest};
use crate::scratch::{Scratch, listing};
use crate::store::Store;

fn run(data: &str, inputs: usize) -> Run {
    let toml = format!(
        r#"
name = "flowers"
seed = 1
data = {{ path = "t.csv", label = "kind", {data} }}
model = {{ input = [{inputs}], layers = [{{ kind = "dense", units = 2 }}], loss = "softmax_cross_entropy" }}
train = {{ epochs = 1, micro_batch = 4, global_batch = 4 }}
optimizer = {{ kind = "sgd", learning_rate = 0.1 }}
"#
    );
    Run::from_toml(&toml).unwrap()
}

fn table(rows: u32) -> String {
    let mut text = "width,color,kind\n".to_owned();
    for row in 0..rows {
        let color = ["red", "\"light, blue\"", ""][row as usize % 3];
        let kind = ["tulip", "rose"][row as usize % 2];
        writeln!(text, "{row}.5,{color},{kind}").unwrap();
    }
    text
}

#[test]
fn a_table_becomes_samples_and_comes_back() {
    let scratch = Scratch::new("table");
    fs::write(scratch.path().join("t.csv"), table(3_000)).unwrap();
    let store = Store::open(&scratch.path().join("data")).unwrap();
    let keys = r#"format = "csv", categorical = ["color"], missing = "zero", split = { validation = 0.2, test = 0.1 }"#;
    let run = run(keys, 3);
    let ingested = ingest(&run, scratch.path(), &store).unwrap();
    let again = ingest(&run, scratch.path(), &store).unwrap();
    assert_eq!(ingested.dataset, again.dataset);
    let manifest = store.training.verify(ingested.dataset).unwrap();
    assert_eq!(
        (manifest.samples, manifest.inputs),
        (2_100, InputKind::Values)
    );
    let preparation = manifest.preparation.clone().unwrap();
    assert_eq!(preparation.classes, ["rose", "tulip"]);
    let held_out = TestSet::load(&store, preparation.held_out.unwrap()).unwrap();
    let validation = TestSet::load(&store, ingested.test_set).unwrap();
    assert_eq!((validation.samples(), held_out.samples()), (600, 300));
    let (mut sum, mut squares, mut words) = (0.0, 0.0, [0.0, 0.0]);
    for idx in 0..manifest.chunks.len() {
        let Chunk::Values { inputs, .. } = store.training.chunk(&manifest, idx).unwrap() else {
            panic!("a table has values");
        };
        for row in inputs.chunks_exact(3) {
            sum += f64::from(row[0]);
            squares += f64::from(row[0]).powi(2);
            words[0] += row[1];
            words[1] += row[2];
        }
    }
    assert!(sum.abs() < 1e-2 && (squares / 2_100.0 - 1.0).abs() < 1e-4);
    // Some programs begin a file with a byte order mark.
    let marked = format!("\u{feff}{}", table(3_000));
    fs::write(scratch.path().join("t.csv"), marked).unwrap();
    let marked = ingest(&run, scratch.path(), &store).unwrap();
    assert_eq!(marked.dataset, ingested.dataset);
    // A third each; the rows without a color have neither.
    assert!(
        words.iter().all(|&count| (600.0..800.0).contains(&count)),
        "{words:?}"
    );
}

/// Each file has one message that contains what is said, and leaves nothing behind.
fn check(name: &str, data: &str, inputs: usize, cases: &[(&[u8], &str)]) {
    for (idx, (bytes, expected)) in cases.iter().enumerate() {
        let scratch = Scratch::new(&format!("table-{name}-{idx}"));
        fs::write(scratch.path().join("t.csv"), bytes).unwrap();
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let before = listing(scratch.path());
        let error = ingest(&run(data, inputs), scratch.path(), &store).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
        assert_eq!(listing(scratch.path()), before, "{expected}");
    }
}

const GOOD: &str = r#"format = "csv", categorical = ["color"], missing = "mean""#;

#[test]
fn each_mistake_in_a_file_has_one_clear_message_and_leaves_nothing_behind() {
    let long = format!("width,color,kind\n1,\"{}", "x".repeat(5 << 20));
    let names: Vec<String> = (0..20_000).map(|n| format!("c{n}")).collect();
    let wide = format!("{}\n", names.join(","));
    let word = format!("width,color,kind\n1,{},rose\n", "x".repeat(300));
    check(
        "files",
        GOOD,
        3,
        &[
            (b"", "it is empty; put the names"),
            (b"width,color,kind\n", "it has no rows"),
            (
                b"width,color\n1,red\n",
                "there is no column \"kind\"; write one of its columns: \"width\", \"color\"",
            ),
            (
                b"width,kind,kind,color\n1,a,b,c\n",
                "column 3 is called \"kind\"",
            ),
            (
                b"width,color,kind\n1,red\n",
                "line 2: the row has 2 cells instead of 3",
            ),
            (
                b"width,color,kind\n1,red,rose,2\n",
                "line 2: the row has 4 cells instead of 3",
            ),
            (
                b"width,color,kind\nwide,red,rose\n",
                "line 2, column \"width\": \"wide\" is no number",
            ),
            (b"width,color,kind\ninf,red,rose\n", "\"inf\" is no number"),
            (
                b"width,color,kind\n1,red,\n",
                "column \"kind\": there is no class",
            ),
            (
                b"width,color,kind\n1,red,NaN\n",
                "column \"kind\": there is no class",
            ),
            (
                b"width,color,kind\n1,r\xffd,rose\n",
                "the text is not UTF-8; convert it",
            ),
            (b"width,color,kind\n1,red,rose\n", "has 1 different classes"),
            (
                long.as_bytes(),
                "a row is longer than 4194304 bytes; close the quotation mark",
            ),
            (
                wide.as_bytes(),
                "it has 20000 columns; use a table of at most 16384",
            ),
            (
                word.as_bytes(),
                "is longer than 200 characters; write the column in data.ignore",
            ),
        ],
    );
}

#[test]
fn each_table_that_does_not_fit_the_run_has_one_clear_message() {
    let whole = table(30);
    let with_lily = whole
        .replace("7.5,light", "7.5,dark")
        .replace("\n0.5,red,tulip", "\n0.5,red,lily");
    let one_class = whole.replace("tulip", "rose");
    let with_hole = whole.replace("4.5,", ",");
    let many: Vec<String> = (0..2_000).map(|n| format!("1,w{n},rose")).collect();
    let many = format!("width,color,kind\n{}\n", many.join("\n"));
    let huge = whole.replace("\n4.5,", "\n1e300,");
    let plain = r#"format = "csv", ignore = ["color"]"#;
    let tsv = r#"format = "tsv", ignore = ["color"]"#;
    let unscaled = r#"format = "csv", ignore = ["color"], normalize = "none""#;
    let cases: [(&str, usize, &str, &str); 8] = [
        (GOOD, 3, &one_class, "has 1 different classes"),
        (
            GOOD,
            3,
            &with_lily,
            "has 3 different classes, but the model has 2 outputs; write units = 3",
        ),
        (
            GOOD,
            5,
            &whole,
            "its columns make 3 inputs, but the model takes 5; write model.input = [3]",
        ),
        (
            GOOD,
            3,
            &many,
            "more than 1024 different words; write it in data.ignore",
        ),
        (
            plain,
            1,
            &with_hole,
            "column \"width\": there is no value; fill it in, or write data.missing",
        ),
        (tsv, 1, &whole, "there is no column \"kind\""),
        (
            unscaled,
            1,
            &huge,
            "use numbers of a size that 32 bits can hold",
        ),
        (
            r#"format = "parquet""#,
            1,
            &whole,
            "it is no whole Parquet file",
        ),
    ];
    for (idx, (data, inputs, text, expected)) in cases.into_iter().enumerate() {
        check(
            &format!("fit-{idx}"),
            data,
            inputs,
            &[(text.as_bytes(), expected)],
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_does_not_lead_out_of_the_folder_of_data_sets() {
    let scratch = Scratch::new("table-link");
    let datasets = scratch.path().join("datasets");
    fs::create_dir(&datasets).unwrap();
    fs::write(scratch.path().join("secret.csv"), table(30)).unwrap();
    std::os::unix::fs::symlink("../secret.csv", datasets.join("t.csv")).unwrap();
    let store = Store::open(&scratch.path().join("data")).unwrap();
    let run = run(
        r#"format = "csv", categorical = ["color"], missing = "mean""#,
        3,
    );
    let before = listing(scratch.path());
    let message = ingest(&run, &datasets, &store).unwrap_err().to_string();
    assert!(
        message.contains("outside the folder of data sets"),
        "{message}"
    );
    assert_eq!(listing(scratch.path()), before);
}

use std::fs;

use tabswarm_model::Run;
use tabswarm_model::dataset::{Chunk, InputKind};

use crate::dataset::{TestSet, ingest};
use crate::scratch::Scratch;
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
        text.push_str(&format!("{row}.5,{color},{kind}\n"));
    }
    text
}

fn files(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
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
    // A third each; the rows without a color have neither.
    assert!(
        words.iter().all(|&count| (600.0..800.0).contains(&count)),
        "{words:?}"
    );
}

#[test]
fn each_mistake_has_one_clear_message_and_leaves_nothing_behind() {
    let good = r#"format = "csv", categorical = ["color"], missing = "mean""#;
    let plain = r#"format = "csv", ignore = ["color"]"#;
    let whole = table(30);
    let long = format!("width,color,kind\n1,\"{}", "x".repeat(5 << 20));
    let cases: Vec<(&str, usize, Vec<u8>, &str)> = vec![
        (good, 3, Vec::new(), "it is empty; put the names"),
        (good, 3, b"width,color,kind\n".to_vec(), "it has no rows"),
        (
            good,
            3,
            b"width,color\n1,red\n".to_vec(),
            "there is no column \"kind\"; write one of its columns: \"width\", \"color\"",
        ),
        (
            good,
            3,
            b"width,kind,kind,color\n1,a,b,c\n".to_vec(),
            "column 3 is called \"kind\"",
        ),
        (
            good,
            3,
            b"width,color,kind\n1,red\n".to_vec(),
            "line 2: the row has 2 cells instead of 3",
        ),
        (
            good,
            3,
            b"width,color,kind\nwide,red,rose\n".to_vec(),
            "line 2, column \"width\": \"wide\" is no number",
        ),
        (
            good,
            3,
            b"width,color,kind\ninf,red,rose\n".to_vec(),
            "\"inf\" is no number",
        ),
        (
            good,
            3,
            b"width,color,kind\n1,red,\n".to_vec(),
            "column \"kind\": there is no class",
        ),
        (
            good,
            3,
            b"width,color,kind\n1,r\xffd,rose\n".to_vec(),
            "the text is not UTF-8; convert it",
        ),
        (
            good,
            3,
            long.into_bytes(),
            "a row is longer than 4194304 bytes; close the quotation mark",
        ),
        (
            good,
            3,
            whole.replace("tulip", "rose").into_bytes(),
            "has 1 different classes",
        ),
        (
            good,
            3,
            whole
                .replace("7.5,light", "7.5,dark")
                .replace("\n0.5,red,tulip", "\n0.5,red,lily")
                .into_bytes(),
            "has 3 different classes, but the model has 2 outputs; write units = 3",
        ),
        (
            good,
            5,
            whole.clone().into_bytes(),
            "its columns make 3 inputs, but the model takes 5; write model.input = [3]",
        ),
        (
            plain,
            1,
            whole.replace("4.5,", ",").into_bytes(),
            "column \"width\": there is no value; fill it in, or write data.missing",
        ),
        (
            good,
            3,
            b"width,color,kind\n1,red,rose\n".to_vec(),
            "has 1 different classes",
        ),
        (
            r#"format = "tsv", ignore = ["color"]"#,
            1,
            whole.clone().into_bytes(),
            "there is no column \"kind\"",
        ),
        (
            r#"format = "parquet""#,
            1,
            whole.into_bytes(),
            "it is no whole Parquet file",
        ),
        (
            r#"format = "parquet""#,
            1,
            b"PAR1\xff\xff\xff\xffPAR1".to_vec(),
            "its description takes 4294967295 bytes",
        ),
        (
            r#"format = "parquet""#,
            1,
            b"PAR1\x04\0\0\0PAR1".to_vec(),
            "it can't be read",
        ),
    ];
    for (idx, (data, inputs, bytes, expected)) in cases.into_iter().enumerate() {
        let scratch = Scratch::new(&format!("table-mistake-{idx}"));
        fs::write(scratch.path().join("t.csv"), bytes).unwrap();
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let before = files(&scratch.path().join("data"));
        let error = ingest(&run(data, inputs), scratch.path(), &store).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(expected),
            "{message:?} should contain {expected:?}"
        );
        assert_eq!(files(&scratch.path().join("data")), before, "{expected}");
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
    let message = ingest(&run, &datasets, &store).unwrap_err().to_string();
    assert!(
        message.contains("outside the folder of data sets"),
        "{message}"
    );
}

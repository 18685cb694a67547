//! The sections `[data]` of tables, arrays, pictures and bytes.

use crate::Run;
use crate::run_file::{DataFormat, Missing, Scaling, Split, TableKind, TextUnit};

/// A run on data; `{}` stands for the section's keys.
fn toml(data: &str) -> String {
    format!(
        r#"
name = "things"
seed = 1
data = {{ path = "things", {data} }}
model = {{ input = [4], layers = [{{ kind = "dense", units = 2 }}], loss = "softmax_cross_entropy" }}
train = {{ epochs = 1, micro_batch = 4, global_batch = 4 }}
optimizer = {{ kind = "sgd", learning_rate = 0.1 }}
"#
    )
}

#[test]
fn what_is_left_out_has_a_default() {
    let run = Run::from_toml(&toml(r#"format = "csv", label = "kind""#)).unwrap();
    let DataFormat::Table(table) = &run.data.format else {
        panic!("{:?}", run.data.format);
    };
    let kind = TableKind::Separated {
        separator: b',',
        header: true,
    };
    assert_eq!((table.kind, table.missing), (kind, Missing::Refuse));
    assert_eq!(table.scaling, Scaling::Standard);
    let split = Split {
        validation: 0.1,
        test: 0.0,
    };
    assert_eq!(run.data.format.split(), Some(split));
    assert_eq!(Run::from_json(&run.to_json()), Ok(run));
}

#[test]
fn every_format_comes_back_from_json() {
    for data in [
        r#"format = "tsv", label = "k", separator = ";", header = false, categorical = ["a"], ignore = ["b"], missing = "mean", normalize = "range", split = { test = 0.2 }"#,
        r#"format = "parquet", label = "k", missing = "zero", normalize = "none", shuffle_window = 4096"#,
        r#"format = "npy", inputs = "x_train", labels = "y_train", normalize = "standard""#,
        r#"format = "npy", normalize = { mean = 0.5, std = 0.25 }"#,
        r#"format = "images", fit = "stretch", normalize = { mean = 0.5, std = 0.5 }"#,
    ] {
        let run = Run::from_toml(&toml(data)).unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(Run::from_json(&run.to_json()), Ok(run), "{data}");
    }
    let bytes = super::TEXT.replace("\"characters\"", "\"bytes\"");
    let run = Run::from_toml(&bytes).unwrap();
    let DataFormat::Text(text) = run.data.format else {
        panic!("{:?}", run.data.format);
    };
    assert_eq!(text.unit, TextUnit::Bytes);
}

#[test]
fn each_mistake_has_one_clear_message() {
    for (data, expected) in [
        (
            r#"format = "csv", label = "k", normalize = { mean = 0.0, std = 1.0 }"#,
            "data.normalize: a table's columns have no mean and std in common; write \"standard\", \"range\" or \"none\"",
        ),
        (
            r#"format = "csv", label = "k", normalize = "zscore""#,
            "zscore",
        ),
        (
            r#"format = "csv", label = "k", separator = "x""#,
            "data.separator: 'x' can't separate cells",
        ),
        (
            r#"format = "csv", label = """#,
            "data.label: \"\" is no name of a column",
        ),
        (
            r#"format = "csv", label = "k", ignore = ["k"]"#,
            "data.ignore: \"k\" is the label",
        ),
        (
            r#"format = "csv", label = "k", ignore = ["a"], categorical = ["a"]"#,
            "data.ignore: \"a\" is in data.categorical, too",
        ),
        (
            r#"format = "csv", label = "k", ignore = ["a", "a"]"#,
            "data.ignore: \"a\" is there twice",
        ),
        (
            r#"format = "parquet", label = "k", header = true"#,
            "data.header: a Parquet file has no header",
        ),
        (
            r#"format = "npy", inputs = "../x""#,
            "data.inputs: \"../x\" is no name of an array",
        ),
        (
            r#"format = "npy", inputs = "y""#,
            "data.labels: \"y\" can't be inputs and labels at once",
        ),
        (
            r#"format = "images", split = { validation = 0.0 }"#,
            "data.split.validation",
        ),
        (
            r#"format = "images", split = { test = 0.5 }"#,
            "data.split.test",
        ),
        (
            r#"format = "images", normalize = { mean = 0.0, std = 0.0 }"#,
            "data.normalize.std",
        ),
        (r#"format = "excel""#, "unknown variant `excel`"),
    ] {
        let message = Run::from_toml(&toml(data)).unwrap_err().to_string();
        assert!(message.contains(expected), "{data}: {message}");
    }
}

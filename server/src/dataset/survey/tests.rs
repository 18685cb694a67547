//! Data sets are described as they are, and as they are proposed they can be trained on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tabswarm_model::Run;

use super::{ClassSurvey, survey};
use crate::dataset::rehearse;
use crate::scratch::Scratch;

const REST: &str = "\n[train]\nepochs = 1\nmicro_batch = 2\nglobal_batch = 2\n\n[optimizer]\n\
                    kind = \"sgd\"\nlearning_rate = 0.1\n";

/// What a survey proposes is a run file that the same data go with.
fn accepted(folder: &Path, run_file: &str) {
    let toml = format!("name = \"things\"\nseed = 1\n\n{run_file}{REST}");
    let run = Run::from_toml(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    let ingested = rehearse(&run, folder).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    assert!(ingested.counts.samples[0] > 0);
}

fn classes(counts: &[(&str, u64)]) -> Vec<ClassSurvey> {
    let class = |&(name, samples): &(&str, u64)| ClassSurvey {
        name: name.to_owned(),
        samples,
    };
    counts.iter().map(class).collect()
}

#[test]
fn a_table_is_described_and_can_be_trained_on_as_proposed() {
    let scratch = Scratch::new("survey-table");
    let path = scratch.path().join("t.csv");
    let mut csv = "id,width,color,grade,class\n".to_owned();
    for row in 0..40 {
        let width = if row == 3 {
            "?".to_owned()
        } else {
            format!("{row}.5")
        };
        let color = ["red", "green", "blue"][row % 3];
        let class = ["tulip", "rose"][row % 2];
        writeln!(csv, "n{row},{width},{color},{},{class}", row % 4).unwrap();
    }
    fs::write(&path, csv).unwrap();
    let found = survey(&path, "t.csv").unwrap();
    assert_eq!((found.format, found.samples), ("csv", 40));
    let columns: Vec<_> = found
        .columns
        .iter()
        .map(|column| {
            (
                column.name.as_str(),
                column.kind,
                column.missing,
                column.distinct,
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "words", 0, Some(40)),
            ("width", "numbers", 1, Some(39)),
            ("color", "words", 0, Some(3)),
            ("grade", "numbers", 0, Some(4)),
            ("class", "words", 0, Some(2)),
        ]
    );
    assert_eq!(found.columns[1].range, Some([0.5, 39.5]));
    assert_eq!(found.classes, classes(&[("rose", 20), ("tulip", 20)]));
    for line in [
        "label = \"class\"",
        "categorical = [\"color\"]",
        "ignore = [\"id\"]",
        "missing = \"mean\"",
        "input = [5]",
    ] {
        assert!(found.run_file.contains(line), "{line}: {}", found.run_file);
    }
    accepted(scratch.path(), &found.run_file);
}

#[test]
fn a_table_without_names_of_columns_is_recognized() {
    let scratch = Scratch::new("survey-bare");
    let path = scratch.path().join("t.tsv");
    let rows: Vec<String> = (0..20).map(|row| format!("{row}\t{}", row % 2)).collect();
    fs::write(&path, rows.join("\n")).unwrap();
    let found = survey(&path, "t.tsv").unwrap();
    assert_eq!((found.format, found.samples), ("tsv", 20));
    assert!(
        found.run_file.contains("header = false\n"),
        "{}",
        found.run_file
    );
    assert_eq!(found.classes, classes(&[("0", 10), ("1", 10)]));
    accepted(scratch.path(), &found.run_file);
}

#[test]
fn a_text_is_described_in_characters_or_else_in_bytes() {
    let scratch = Scratch::new("survey-text");
    let path = scratch.path().join("tale.txt");
    fs::write(&path, "once é upon\n".repeat(100)).unwrap();
    let found = survey(&path, "tale.txt").unwrap();
    assert_eq!((found.samples, found.vocabulary), (1_200, Some(9)));
    accepted(scratch.path(), &found.run_file);
    fs::write(&path, b"once \xe9 upon\n".repeat(100)).unwrap();
    let found = survey(&path, "tale.txt").unwrap();
    assert_eq!((found.samples, found.vocabulary), (1_200, Some(256)));
    assert!(
        found.remarks[0].contains("not UTF-8"),
        "{:?}",
        found.remarks
    );
    accepted(scratch.path(), &found.run_file);
}

#[test]
fn what_is_no_data_set_is_refused_with_a_remedy() {
    let scratch = Scratch::new("survey-mistakes");
    let path = |name: &str| scratch.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("a.npy"), b"").unwrap();
    fs::write(path("a.doc"), b"").unwrap();
    fs::write(path("a.csv"), b"x,y\n").unwrap();
    for (name, part) in [
        ("empty", "no data set in it that is known"),
        ("a.npy", "numpy.savez"),
        ("a.doc", "rename it"),
        ("a.csv", "it has no rows"),
        ("gone.csv", "can't be read"),
        ("gone", "can't be read"),
    ] {
        let message = survey(&path(name), name).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

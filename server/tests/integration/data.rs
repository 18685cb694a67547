//! `tabswarm data inspect`: what it says, how it fails, and how much memory a large file takes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Site;
use crate::support::child::{tabswarm, told};

/// A run on a table with two columns of numbers and one of words.
const RUN: &str = r#"
name = "flowers"
seed = 1
[data]
format = "csv"
path = "t.csv"
label = "kind"
categorical = ["color"]
split = { validation = 0.25 }
[model]
input = [4]
layers = [{ kind = "dense", units = 2 }]
loss = "softmax_cross_entropy"
[train]
epochs = 1
micro_batch = 4
global_batch = 4
[optimizer]
kind = "sgd"
learning_rate = 0.1
"#;

fn table(rows: usize) -> String {
    let mut csv = "width,height,color,kind\n".to_owned();
    for row in 0..rows {
        let (color, kind) = (["red", "blue"][row / 2 % 2], ["rose", "tulip"][row % 2]);
        writeln!(csv, "{}.25,{},{color},{kind}", row % 97, row % 89).unwrap();
    }
    csv
}

fn inspect(site: &Site, path: &Path, json: bool) -> (Option<i32>, String, String) {
    let mut command = tabswarm();
    command.args(["data", "inspect"]).arg(path);
    command.arg("--datasets-dir").arg(site.datasets_dir());
    if json {
        command.arg("--json");
    }
    told(&command.output().unwrap())
}

#[test]
fn a_table_and_a_run_file_are_described_to_people_and_programs() {
    let site = Site::new("data-inspect");
    let csv = site.datasets_dir().join("t.csv");
    fs::write(&csv, table(40)).unwrap();
    let (code, text, _) = inspect(&site, &csv, false);
    assert_eq!(code, Some(0));
    for part in [
        "csv, 40 rows",
        "COLUMN",
        "rose        20",
        "path = \"t.csv\"",
        "input = [4]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, json, _) = inspect(&site, &csv, true);
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["samples"], 40);
    assert_eq!(found["columns"][2]["kind"], "words");

    let run_file = site.file("run.toml", RUN);
    let (code, text, _) = inspect(&site, &run_file, false);
    assert_eq!(code, Some(0));
    for part in [
        "30 for training, 10 for validation",
        "TRAINING",
        "1 for one of: blue, red",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, json, _) = inspect(&site, &run_file, true);
    let made: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(made["samples"]["validation"], 10);
    assert_eq!(made["classes"][0]["name"], "rose");

    fs::write(&csv, table(40).replace("3.25,3,blue", "3.25,tall,blue")).unwrap();
    let (code, stdout, stderr) = inspect(&site, &run_file, false);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    for part in [
        "line 5, column \"height\"",
        "\"tall\" is no number",
        "data.categorical",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    let (code, _, stderr) = inspect(&site, Path::new("gone.csv"), false);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("gone.csv: it can't be read"), "{stderr}");
}

/// The most memory that preparing a table of so many rows took, in KiB.
#[cfg(target_os = "linux")]
fn peak_kib(site: &Site, run_file: &Path, rows: usize) -> u64 {
    use std::time::{Duration, Instant};

    fs::write(site.datasets_dir().join("t.csv"), table(rows)).unwrap();
    let mut command = tabswarm();
    command.args(["data", "inspect"]).arg(run_file);
    command.arg("--datasets-dir").arg(site.datasets_dir());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, started) = (0, Instant::now());
    while child.try_wait().unwrap().is_none() {
        // The system keeps the highest value itself, so the last look before the end is enough.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        assert!(
            started.elapsed() < Duration::from_mins(9),
            "it does not end"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!(peak > 0, "the system says nothing of the process's memory");
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_data_set() {
    let site = Site::new("data-memory");
    let run_file = site.file("run.toml", RUN);
    // 0.4 MB and 4 MB of text; 0.3 MB and 3 MB of inputs are made of it.
    let [small, large] = [20_000, 200_000].map(|rows| peak_kib(&site, &run_file, rows));
    assert!(large < small + 1_024, "{small} KiB became {large} KiB");
}

//! Event files as TensorBoard itself reads them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::durability::finish;
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

/// What the package's own reader finds below a folder.
fn read(folder: &Path) -> Value {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tensorboard");
    let output = Command::new(tests.join(".venv/bin/python"))
        .arg(tests.join("read.py"))
        .arg(folder)
        .output()
        .expect("TensorBoard's reader is missing: run `cargo xtask setup --tests`");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tensorboard_shows_every_step_once() {
    let site = Site::new("tensorboard");
    let run = run_toml("digits", "evaluation = { every_steps = 40 }\n");
    let server = Server::start(site.config()).await;
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let (mut worker, _) = Worker::join(server.public(), None).await;
    worker.work_for(30).await;
    drop(worker);
    server.stop().await;
    let server = Server::start(site.config()).await;
    finish(&server).await;
    let history = server.get("/api/runs/digits/history").await.json();
    server.stop().await;

    let runs = read(&site.data_dir().join("tensorboard"));
    let names: Vec<&String> = runs.as_object().unwrap().keys().collect();
    assert_eq!(names, ["digits"]);
    let points = |list: &Value, key: &str| -> Vec<(u64, f64)> {
        let of = |point: &Value| {
            (
                point["version"].as_u64().unwrap(),
                point[key].as_f64().unwrap(),
            )
        };
        list.as_array().unwrap().iter().map(of).collect()
    };
    let check = |tag: &str, expected: Vec<(u64, f64)>| {
        let mut got: Vec<(u64, f64)> = runs["digits"][tag]
            .as_array()
            .unwrap_or_else(|| panic!("no {tag} in {runs}"))
            .iter()
            .map(|point| (point[0].as_u64().unwrap(), point[1].as_f64().unwrap()))
            .collect();
        // Evaluations may come late.
        got.sort_by_key(|(step, _)| *step);
        assert_eq!(got.len(), expected.len(), "{tag}: {got:?}");
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got.0, expected.0, "{tag}");
            assert!(
                (got.1 - expected.1).abs() < 1e-6,
                "{tag}: {got:?} {expected:?}"
            );
        }
    };
    let losses = points(&history["steps"], "train_loss");
    assert_eq!(losses.len(), 120);
    check("train/loss", losses);
    check("evaluation/loss", points(&history["evals"], "loss"));
    let accuracies = points(&history["evals"], "accuracy");
    let versions: Vec<u64> = accuracies.iter().map(|(version, _)| *version).collect();
    assert_eq!(json!(versions), json!([40, 80, 120]));
    check("evaluation/accuracy", accuracies);
}

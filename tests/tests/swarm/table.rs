//! A table that people know, from its file to the accuracy of what was learned.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tabswarm_model::Run;
use tabswarm_model::rounds::RoundPlan;

use crate::site::Site;

const RUN_FILE: &str = include_str!("../../../runs/iris-csv.toml");

/// Of the 150 rows, 30 are for validation and 15 for a last test.
const TRAINED_ON: u32 = 105;

/// 29 of the 30 flowers kept for validation at least: what any good classifier of them reaches.
const ACCURACY: f64 = 29.0 / 30.0 - 1e-6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_irises_is_learned_from_its_csv_file() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir()?;
    let irises = folder.path().join("datasets/iris");
    fs::create_dir_all(&irises)?;
    fs::copy(root.join("datasets/iris/iris.csv"), irises.join("iris.csv"))
        .context("`cargo xtask setup` fetches datasets/iris/iris.csv")?;
    let run = Run::from_toml(RUN_FILE)?;
    let versions = RoundPlan::new(&run, TRAINED_ON).versions_total();
    let site = Site::host(folder, RUN_FILE, "iris-csv", versions).await?;
    let worker = site.worker(1, true)?;
    let evaluation = site.final_evaluation().await?;
    worker.task.await??;
    let accuracy = evaluation["accuracy"].as_f64().context("an accuracy")?;
    assert!(accuracy >= ACCURACY, "{evaluation}");
    Ok(())
}

//! Local and async runs on the real server: rounds give the digest of straight-line training whoever takes part,
//! and batches applied as they arrive give a model that is as good.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};

use super::site::Site;
use super::{RUN_FILE, expected_digest_of, start_with, versions_total};

/// Rounds of three shards of four inner steps.
static LOCAL: LazyLock<String> = LazyLock::new(|| {
    format!("{RUN_FILE}\n[sync]\nmode = \"local\"\ninner_steps = 4\nshards = 3\n")
});

/// Batches as they arrive. Stale gradients move less, so that the rate may be higher.
static ASYNC: LazyLock<String> = LazyLock::new(|| {
    let run_file = RUN_FILE.replace("learning_rate = 0.002", "learning_rate = 0.008");
    format!(
        "{run_file}\n[sync]\nmode = \"async\"\nstaleness_max = 8\n\n[numeric]\nreproducible = false\n"
    )
});

async fn accuracy(site: &Site) -> Result<f64> {
    let evaluated = site.final_evaluation().await?;
    evaluated["accuracy"].as_f64().context("an accuracy")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rounds_of_one_worker_equal_straight_line_training() -> Result<()> {
    let site = start_with(&LOCAL).await?;
    assert_eq!(site.steps_total, 16);
    let worker = site.worker(1, true)?;
    assert_eq!(site.final_digest().await?, expected_digest_of(&LOCAL)?);
    worker.task.await??;
    let status = site.status().await?;
    assert_eq!(status["samples_committed"], 4 * super::SAMPLES);
    assert_eq!(status["epoch"], 4);
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rounds_of_several_workers_under_churn_equal_those_of_one() -> Result<()> {
    let site = start_with(&LOCAL).await?;
    let workers = [
        site.worker(2, true)?,
        site.worker(1, true)?,
        site.worker(1, true)?,
    ];
    let [killed, leaving, staying] = workers;
    site.wait_for_version(3).await?;
    killed.task.abort();
    site.wait_for_version(5).await?;
    leaving.finish.send(()).ok();
    let late = site.worker(3, true)?;
    assert_eq!(site.final_digest().await?, expected_digest_of(&LOCAL)?);
    for task in [leaving.task, staying.task, late.task] {
        task.await??;
    }
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rounds_go_on_after_a_restart_of_the_server() -> Result<()> {
    let site = start_with(&LOCAL).await?;
    let before = site.worker(2, false)?;
    site.wait_for_version(4).await?;
    before.task.abort();
    let site = site.restart().await?;
    assert!(site.version().await? >= 4, "what is committed is kept");
    let after = site.worker(2, true)?;
    assert_eq!(site.final_digest().await?, expected_digest_of(&LOCAL)?);
    after.task.await??;
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_as_they_arrive_give_a_model_as_good() -> Result<()> {
    let sync = start_with(RUN_FILE).await?;
    let worker = sync.worker(2, true)?;
    sync.final_digest().await?;
    worker.task.await??;
    let expected = accuracy(&sync).await?;
    sync.server.shutdown().await?;

    let site = start_with(&ASYNC).await?;
    assert_eq!(versions_total(&ASYNC)?, sync.steps_total);
    let workers = [
        site.worker(2, true)?,
        site.worker(1, true)?,
        site.worker(1, true)?,
    ];
    let [killed, staying, other] = workers;
    site.wait_for_version(60).await?;
    killed.task.abort();
    // The batches that it had are done by others.
    site.final_digest().await?;
    for worker in [staying, other] {
        worker.task.await??;
    }
    let status = site.status().await?;
    assert_eq!(status["samples_committed"], 4 * super::SAMPLES);
    let reached = accuracy(&site).await?;
    assert!(expected > 0.5, "{expected}: the problem can be learned");
    assert!(reached > expected - 0.03, "{reached}, in step {expected}");
    site.server.shutdown().await?;
    Ok(())
}

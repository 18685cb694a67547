//! What survives: restarts, power cuts, damaged files.

use std::path::PathBuf;

use tabswarm_protocol::{ClientMessage, ServerMessage};

use crate::support::child::ChildServer;
use crate::support::http::request;
use crate::support::worker::{Worker, hello};
use crate::support::{Server, Site, run_toml};

const STEPS: u64 = 120;

/// The digest at the end of a run that nothing disturbed.
async fn undisturbed() -> String {
    let site = Site::new("undisturbed");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let digest = finish(&server).await;
    server.stop().await;
    digest
}

/// Trains to the end with one worker; returns the digest.
async fn finish(server: &Server) -> String {
    let (mut worker, _) = Worker::join(server.public(), None).await;
    let finished = |message: &ServerMessage| matches!(message, ServerMessage::Idle { reason } if *reason == tabswarm_protocol::server::IdleReason::RunFinished);
    worker.work(finished).await.expect("the run finishes");
    let status = server
        .run_until("digits", |run| run["phase"] == "finished")
        .await;
    assert_eq!(status["version"], STEPS);
    let status = server
        .run_until("digits", |run| run["eval"]["version"] == STEPS)
        .await;
    status["params_digest"].as_str().unwrap().to_owned()
}

fn snapshot_files(site: &Site, version: u64) -> Vec<PathBuf> {
    let folder = site.data_dir().join("runs/digits/snapshots");
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let prefix = format!("v{version:012}");
    paths
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&prefix)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing() {
    let expected = undisturbed().await;
    let site = Site::new("restart");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let (mut worker, token) = Worker::join(server.public(), None).await;
    worker.work_for(10).await;
    let told = tokio::spawn(async move {
        let heard = worker
            .work(|message| matches!(message, ServerMessage::Restarting { .. }))
            .await;
        assert!(worker.hear().await.is_none());
        heard
    });
    server.stop().await;
    assert!(
        told.await.unwrap().is_some(),
        "the worker was not told of the restart"
    );

    // The snapshot of the shutdown is the newest, and nothing more was committed after it.
    let server = Server::start(site.config()).await;
    let restored = server.run("digits").await;
    assert_eq!(restored["phase"], "running");
    let version = restored["version"].as_u64().unwrap();
    assert!((1..STEPS).contains(&version), "{restored}");
    let snapshots = server.get("/api/runs/digits/snapshots").await.json();
    assert_eq!(snapshots[0]["version"], version);
    assert_eq!(snapshots[0]["params_digest"], restored["params_digest"]);
    let history = server.get("/api/runs/digits/history").await.json();
    assert_eq!(
        history["steps"].as_array().unwrap().last().unwrap()["version"],
        version
    );

    // The worker's credit is still there.
    let mut worker = Worker::connect(server.public()).await;
    let mut hello = hello(None);
    hello.resume = Some(token);
    worker.say(&ClientMessage::Hello(hello)).await;
    let Some((ServerMessage::Welcome(welcome), _)) = worker.hear().await else {
        panic!("not welcome");
    };
    assert!(welcome.credited_samples > 0);
    drop(worker);

    assert_eq!(finish(&server).await, expected);
    server.stop().await;
    // A finished run stays finished, with its evaluation.
    let server = Server::start(site.config()).await;
    let status = server.run("digits").await;
    assert_eq!(
        (status["phase"].as_str(), status["params_digest"].as_str()),
        (Some("finished"), Some(expected.as_str()))
    );
    assert_eq!(status["eval"]["version"], STEPS);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_falls_back_to_the_one_before() {
    let expected = undisturbed().await;
    for damaged_kind in [".safetensors", ".json"] {
        let site = Site::new("damaged");
        let server = Server::start(site.config()).await;
        let toml = run_toml("digits", "snapshot = { every_steps = 2 }");
        server.admin("POST", "/admin/runs?start=true", &toml).await;
        let (mut worker, _) = Worker::join(server.public(), None).await;
        worker.work_for(12).await;
        let paused = server
            .admin("POST", "/admin/runs/digits/pause", "")
            .await
            .json();
        let newest = paused["version"].as_u64().unwrap();
        server.stop().await;
        let files = snapshot_files(&site, newest);
        let damaged = files
            .iter()
            .find(|path| path.to_str().unwrap().ends_with(damaged_kind))
            .unwrap();
        let mut bytes = std::fs::read(damaged).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(damaged, bytes).unwrap();

        let server = Server::start(site.config()).await;
        let restored = server.run("digits").await;
        assert!(restored["version"].as_u64().unwrap() < newest, "{restored}");
        assert_eq!(restored["phase"], "paused");
        server.admin("POST", "/admin/runs/digits/resume", "").await;
        assert_eq!(finish(&server).await, expected, "{damaged_kind}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_costs_steps_and_nothing_else() {
    let expected = undisturbed().await;
    let site = Site::new("power-cut");
    let toml = site.file(
        "run.toml",
        &run_toml("digits", "snapshot = { every_steps = 3 }"),
    );
    let child = ChildServer::start(&site);
    let created = child.verb(&site, &["run", "create", toml.to_str().unwrap(), "--start"]);
    assert!(created.status.success(), "{created:?}");
    for _ in 0..3 {
        let (mut worker, _) = Worker::join(child.public, None).await;
        worker.work_for(4).await;
    }
    child.kill();

    let child = ChildServer::start(&site);
    let status = request("GET", child.public, "/api/runs/digits", &[], "")
        .await
        .json();
    assert_eq!(status["phase"], "running");
    child.kill();
    let server = Server::start(site.config()).await;
    assert_eq!(finish(&server).await, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_training_data_is_made_again() {
    let site = Site::new("damaged-data");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    server.stop().await;
    let chunks = std::fs::read_dir(site.data_dir().join("chunks")).unwrap();
    let chunk = chunks
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_none())
        .unwrap();
    let whole = std::fs::read(&chunk).unwrap();
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    std::fs::write(&chunk, &damaged).unwrap();
    let server = Server::start(site.config()).await;
    assert_eq!(server.run("digits").await["phase"], "created");
    assert_eq!(std::fs::read(&chunk).unwrap(), whole);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_survive_a_restart() {
    let site = Site::new("phases-restart");
    for (verb, phase) in [
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
    ] {
        let server = Server::start(site.config()).await;
        if verb == "start" {
            server
                .admin("POST", "/admin/runs", &run_toml("digits", ""))
                .await;
        }
        server
            .admin("POST", &format!("/admin/runs/digits/{verb}"), "")
            .await;
        server.stop().await;
        let server = Server::start(site.config()).await;
        assert_eq!(server.run("digits").await["phase"], phase, "{verb}");
        server.stop().await;
    }
}

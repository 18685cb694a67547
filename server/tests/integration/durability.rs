//! What survives: restarts, power cuts, damaged files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tabswarm_coordinator::limits::MAX_UNDURABLE_STEPS;
use tabswarm_protocol::server::IdleReason;
use tabswarm_protocol::{ClientMessage, ServerMessage, Token};
use tabswarm_store::faults::{Fault, FaultPlan, FaultyDisk};

use crate::support::child::{ChildServer, tabswarm, told};
use crate::support::worker::{Worker, hello};
use crate::support::{Server, Site, run_toml};

pub(crate) const STEPS: u64 = 120;

/// The digest at the end of a run that nothing disturbed.
pub(crate) async fn undisturbed() -> String {
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
pub(crate) async fn finish(server: &Server) -> String {
    let (mut worker, _) = Worker::join(server.public(), None).await;
    let finished = |message: &ServerMessage| matches!(message, ServerMessage::Idle { reason } if *reason == IdleReason::RunFinished);
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
    let part = format!("-v{version:012}.");
    paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(&part))
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
        // The log leads from the older snapshot to where the run was.
        assert_eq!(restored["version"], newest, "{restored}");
        assert_eq!(restored["phase"], "paused");
        server.admin("POST", "/admin/runs/digits/resume", "").await;
        assert_eq!(finish(&server).await, expected, "{damaged_kind}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let expected = undisturbed().await;
    let site = Site::new("power-cut");
    let toml = site.file(
        "run.toml",
        &run_toml("digits", "snapshot = { every_steps = 30 }"),
    );
    let mut child = ChildServer::start(&site);
    let created = child.verb(&site, &["run", "create", toml.to_str().unwrap(), "--start"]);
    assert!(created.status.success(), "{created:?}");
    let mut acknowledged: Option<(Token, u64)> = None;
    for _ in 0..3 {
        let (mut worker, token) = Worker::join(child.public, None).await;
        let samples = worker.work_for(2).await;
        child.kill();
        child = ChildServer::start(&site);
        // Of this worker and of those before it.
        for (token, samples) in acknowledged.into_iter().chain([(token, samples)]) {
            assert!(
                credited(child.public, token).await >= samples,
                "credit was lost"
            );
        }
        acknowledged = Some((token, samples));
    }
    child.kill();
    let server = Server::start(site.config()).await;
    assert_eq!(finish(&server).await, expected);
    server.stop().await;
}

/// What a server credits the worker that a token names.
pub(crate) async fn credited(public: SocketAddr, token: Token) -> u64 {
    let mut worker = Worker::connect(public).await;
    let mut hello = hello(None);
    hello.resume = Some(token);
    worker.say(&ClientMessage::Hello(hello)).await;
    let Some((ServerMessage::Welcome(welcome), _)) = worker.hear().await else {
        panic!("not welcome");
    };
    welcome.credited_samples
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_answers_and_nothing_else() {
    let expected = undisturbed().await;
    let site = Site::new("full-disk");
    let disk = FaultyDisk::new(1);
    let config = || {
        let mut config = site.config();
        config.disk = Arc::new(disk.clone());
        config
    };
    let server = Server::start(config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let (mut worker, token) = Worker::join(server.public(), None).await;
    let before = worker.work_for(2).await;
    disk.plan(Some(FaultPlan {
        first: disk.operations() + 1,
        count: u64::MAX,
        fault: Fault::NoSpace,
    }));
    let idle = |message: &ServerMessage| matches!(message, ServerMessage::Idle { reason } if *reason == IdleReason::ServerStorage);
    // Work goes on until too much would be lost.
    worker.work(idle).await.expect("the run waits for its disk");
    let status = server
        .run_until("digits", |run| run["degraded"] == true)
        .await;
    assert!(
        status["version"].as_u64() >= Some(MAX_UNDURABLE_STEPS as u64),
        "{status}"
    );
    let health = server.admin("GET", "/admin/health", "").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["reasons"][0]["run"], "digits");
    assert_eq!(server.get("/healthz").await.text(), "degraded");
    let paused = server.admin("POST", "/admin/runs/digits/pause", "").await;
    assert_eq!(
        (paused.status, paused.json()["code"].as_str()),
        (507, Some("not_stored"))
    );
    server.admin("POST", "/admin/runs/digits/resume", "").await;
    // Nobody is credited meanwhile.
    let mut other = Worker::connect(server.public()).await;
    let mut greeting = hello(None);
    greeting.resume = Some(token);
    other.say(&ClientMessage::Hello(greeting)).await;
    let Some((ServerMessage::Welcome(welcome), _)) = other.hear().await else {
        panic!("not welcome");
    };
    assert!(welcome.resumed && welcome.credited_samples >= before);
    assert!(
        welcome.credited_samples < 8 * 60,
        "credited what is not stored"
    );

    disk.plan(None);
    let restored = server
        .run_until("digits", |run| run["degraded"] == false)
        .await;
    assert!(restored["version"].as_u64() >= Some(MAX_UNDURABLE_STEPS as u64));
    assert_eq!(server.get("/healthz").await.text(), "ok");
    assert_eq!(finish(&server).await, expected);
    server.stop().await;
    assert_eq!(disk.misuses(), 0, "a file was used after a failed sync");
    let server = Server::start(config()).await;
    assert_eq!(server.run("digits").await["params_digest"], expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_back_and_on_to_the_same_end() {
    let expected = undisturbed().await;
    let site = Site::new("rollback");
    let server = Server::start(site.config()).await;
    let toml = run_toml("digits", "snapshot = { every_steps = 10 }");
    server.admin("POST", "/admin/runs?start=true", &toml).await;
    let refused = server
        .admin("POST", "/admin/runs/digits/rollback?to=3", "")
        .await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (409, Some("wrong_phase"))
    );
    assert_eq!(finish(&server).await, expected);

    let versions = server
        .admin("GET", "/admin/runs/digits/versions", "")
        .await
        .json();
    let versions = versions.as_array().unwrap();
    assert_eq!(versions.last().unwrap()["params_digest"], expected.as_str());
    let at = versions
        .iter()
        .find(|row| row["version"].as_u64() == Some(107))
        .expect("steps between snapshots are in the log");
    let digest = server
        .admin("GET", "/admin/runs/digits/digest?version=107", "")
        .await
        .json();
    assert_eq!(digest["params_digest"], at["params_digest"]);
    let missing = server
        .admin("POST", "/admin/runs/digits/rollback?to=100000", "")
        .await;
    assert_eq!(
        (missing.status, missing.json()["code"].as_str()),
        (404, Some("no_such_version"))
    );

    let fork = server
        .admin("POST", "/admin/runs/digits/fork?name=digits-2&at=107", "")
        .await;
    assert_eq!(fork.status, 201, "{}", fork.text());
    let fork = fork.json();
    assert_eq!(
        (fork["version"].as_u64(), fork["phase"].as_str()),
        (Some(107), Some("created"))
    );
    assert_eq!(fork["params_digest"], at["params_digest"]);

    let back = server
        .admin("POST", "/admin/runs/digits/rollback?to=107", "")
        .await;
    assert_eq!(back.status, 200, "{}", back.text());
    let back = back.json();
    assert_eq!(
        (back["version"].as_u64(), back["phase"].as_str()),
        (Some(107), Some("paused"))
    );
    assert_eq!(back["params_digest"], at["params_digest"]);
    server.admin("POST", "/admin/runs/digits/resume", "").await;
    assert_eq!(finish(&server).await, expected);
    server.stop().await;
    // It is stored like that.
    let server = Server::start(site.config()).await;
    let status = server.run("digits").await;
    assert_eq!(
        (status["phase"].as_str(), status["params_digest"].as_str()),
        (Some("finished"), Some(expected.as_str()))
    );
    assert_eq!(server.run("digits-2").await["version"], 107);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_runs_are_checked_and_mended_by_the_command_line() {
    let site = Site::new("store-cli");
    let server = Server::start(site.config()).await;
    let toml = run_toml("digits", "snapshot = { every_steps = 50 }");
    server.admin("POST", "/admin/runs?start=true", &toml).await;
    let data_dir = site.data_dir();
    let store = |args: &[&str]| {
        let mut command = tabswarm();
        command.arg("store").args(args);
        told(&command.output().unwrap())
    };
    let folder = data_dir.to_str().unwrap();
    let (code, _, problem) = store(&["verify", folder]);
    assert_eq!(code, Some(1));
    assert!(problem.contains("in use by another server"), "{problem}");
    let expected = finish(&server).await;
    server.stop().await;

    let (code, report, problem) = store(&["verify", folder]);
    assert_eq!(code, Some(0), "{report}{problem}");
    assert!(report.contains("all is well"), "{report}");
    let run = data_dir.join("runs/digits");
    let run = run.to_str().unwrap();
    let (_, versions, _) = store(&["versions", run]);
    assert!(versions.contains(&expected), "{versions}");
    let (code, report, problem) = store(&["rollback", run, "--to", "110"]);
    assert_eq!(code, Some(0), "{report}{problem}");
    let (code, report, problem) = store(&["compact", run]);
    assert_eq!(code, Some(0), "{report}{problem}");

    // A flipped bit in the only snapshot's tensors is found, named, and can't be repaired away silently.
    let snapshots = std::fs::read_dir(data_dir.join("runs/digits/snapshots")).unwrap();
    let tensors = snapshots
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "safetensors"))
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&tensors).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&tensors, bytes).unwrap();
    let (code, report, _) = store(&["verify", folder]);
    assert_eq!(code, Some(1));
    assert!(
        report.contains(tensors.file_name().unwrap().to_str().unwrap()),
        "{report}"
    );
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

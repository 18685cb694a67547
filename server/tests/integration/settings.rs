//! Other settings for a run that goes on.

use std::time::{Duration, Instant};

use tabswarm_protocol::ServerMessage;
use tabswarm_protocol::server::IdleReason;

use crate::durability::STEPS;
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

const PATH: &str = "/admin/runs/digits/run.toml";
/// All versions can be gone back to.
const KEEP_ALL: &str = "snapshot = { keep = 100 }";
const COSINE: &str = "snapshot = { keep = 100 }\nschedule = { decay = { kind = \"cosine\" } }";

/// The run file with another number of epochs.
fn longer(toml: &str) -> String {
    let line = toml
        .lines()
        .find(|line| line.contains("epochs"))
        .expect("a run has epochs");
    let (before, rest) = line.split_once("epochs = ").expect("a number of them");
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let epochs: u32 = rest[..digits].parse().expect("a number");
    let changed = format!("{before}epochs = {}{}", epochs + 1, &rest[digits..]);
    toml.replace(line, &changed)
}

/// Trains until the run is finished; gives its status then.
async fn train(server: &Server) -> serde_json::Value {
    let (mut worker, _) = Worker::join(server.public(), None).await;
    let finished = |message: &ServerMessage| matches!(message, ServerMessage::Idle { reason } if *reason == IdleReason::RunFinished);
    worker.work(finished).await.expect("the run finishes");
    server
        .run_until("digits", |run| run["phase"] == "finished")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_goes_on_with_other_settings() {
    let site = Site::new("settings-running");
    let server = Server::start(site.config()).await;
    let toml = run_toml("digits", KEEP_ALL);
    server.admin("POST", "/admin/runs?start=true", &toml).await;
    let (mut worker, _) = Worker::join(server.public(), None).await;
    let mut receipts = 0;
    let some = |message: &ServerMessage| {
        receipts += u32::from(matches!(message, ServerMessage::Receipt { .. }));
        receipts >= 30
    };
    worker.work(some).await.expect("it works");
    let changed = server.admin("PUT", PATH, &run_toml("digits", COSINE)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["phase"], "running");
    let version = changed.json()["version"].as_u64().unwrap();
    assert!((1..STEPS).contains(&version), "{version}");
    let json = server.get("/api/runs/digits/run.json").await.json();
    assert_eq!(json["schedule"]["decay"]["kind"], "cosine");
    assert_eq!(json["origin"]["version"], version);
    let snapshots = server
        .admin("GET", "/admin/runs/digits/snapshots", "")
        .await;
    let snapshots = snapshots.json();
    let of_change = |info: &serde_json::Value| info["version"] == version;
    assert!(
        snapshots.as_array().unwrap().iter().any(of_change),
        "{snapshots}"
    );
    drop(worker);

    let end = train(&server).await;
    assert_eq!(end["version"], STEPS);
    let digest = end["params_digest"].clone();
    // The ledger is written beside the run.
    let patient_until = Instant::now() + Duration::from_secs(10);
    loop {
        let events = server.admin("GET", "/admin/events", "").await.text();
        if events.contains("run-settings-changed") {
            break;
        }
        assert!(Instant::now() < patient_until, "{events}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
    // It is stored like that, and going back behind the change undoes it.
    let server = Server::start(site.config()).await;
    assert_eq!(server.run("digits").await["params_digest"], digest);
    let json = server.get("/api/runs/digits/run.json").await.json();
    assert_eq!(json["origin"]["version"], version);
    let path = format!("/admin/runs/digits/fork?name=digits-2&at={STEPS}");
    let fork = server.admin("POST", &path, "").await;
    assert_eq!(fork.status, 201, "{}", fork.text());
    let json = server.get("/api/runs/digits-2/run.json").await.json();
    assert_eq!(
        (
            json["name"].as_str(),
            json["schedule"]["decay"]["kind"].as_str()
        ),
        (Some("digits-2"), Some("cosine"))
    );
    let back = server
        .admin("POST", "/admin/runs/digits/rollback?to=0", "")
        .await;
    assert_eq!(back.status, 200, "{}", back.text());
    let json = server.get("/api/runs/digits/run.json").await.json();
    assert_eq!(
        (&json["schedule"]["decay"]["kind"], json.get("origin")),
        (&"constant".into(), None)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_can_be_given_more_to_do() {
    let site = Site::new("settings-finished");
    let server = Server::start(site.config()).await;
    let toml = run_toml("digits", "");
    server.admin("POST", "/admin/runs?start=true", &toml).await;
    assert_eq!(train(&server).await["version"], STEPS);
    let changed = server.admin("PUT", PATH, &longer(&toml)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["phase"], "paused");
    let total = changed.json()["steps_total"].as_u64().unwrap();
    assert!(total > STEPS, "{total}");
    server.admin("POST", "/admin/runs/digits/resume", "").await;
    assert_eq!(train(&server).await["version"], total);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_change_is_said_and_the_run_goes_on_as_before() {
    let site = Site::new("settings-refused");
    let server = Server::start(site.config()).await;
    let toml = run_toml("digits", "");
    server.admin("POST", "/admin/runs?start=true", &toml).await;
    let refused = [
        (
            toml.replace("seed = ", "seed = 1"),
            422,
            "bad_run_file",
            "seed: it can't change",
        ),
        (format!("{toml}\n[["), 422, "bad_run_file", "line"),
        (
            format!("origin = {{ version = 1, batches = 1 }}\n{toml}"),
            422,
            "bad_run_file",
            "origin: ",
        ),
    ];
    for (text, status, code, words) in refused {
        let answer = server.admin("PUT", PATH, &text).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{text}");
        assert!(answer.detail().contains(words), "{}", answer.detail());
        assert_eq!(server.run("digits").await["phase"], "running");
    }
    let unknown = server
        .admin("PUT", "/admin/runs/letters/run.toml", &toml)
        .await;
    assert_eq!(unknown.status, 404);
    server.admin("POST", "/admin/runs/digits/stop", "").await;
    let stopped = server.admin("PUT", PATH, &run_toml("digits", COSINE)).await;
    assert_eq!(stopped.problem(), (409, "wrong_phase".to_owned()));
    // Nobody's work was interrupted for what was refused.
    let patient_until = Instant::now() + Duration::from_secs(10);
    let events = loop {
        let events = server.admin("GET", "/admin/events", "").await.text();
        if events.contains("run-stopped") {
            break events;
        }
        assert!(Instant::now() < patient_until, "{events}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!events.contains("run-paused"), "{events}");
    server.stop().await;
}

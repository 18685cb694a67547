//! The ledger of a server: it says what the runs say, whatever is lost on the way.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::Token;

use crate::durability::{STEPS, credited, finish};
use crate::support::child::{ChildServer, tabswarm, told, verb};
use crate::support::http::{Answer, request};
use crate::support::worker::Worker;
use crate::support::{Server, Site, TRAIN_SAMPLES, run_toml};

/// Samples of all steps of a run.
const ALL_SAMPLES: u64 = STEPS / 6 * TRAIN_SAMPLES as u64;

async fn admin(address: SocketAddr, site: &Site, path: &str) -> Answer {
    let token = std::fs::read_to_string(site.data_dir().join("admin-token")).unwrap();
    let authorization = format!("Bearer {}", token.trim());
    let headers = [("authorization", authorization.as_str())];
    request("GET", address, path, &headers, "").await
}

/// Waits until the ledger credits a run with so many samples; the answer.
async fn credits_until(address: SocketAddr, site: &Site, run: &str, samples: u64) -> Value {
    let path = format!("/admin/credits?run={run}");
    let mut answer = Value::Null;
    for _ in 0..500 {
        let read = admin(address, site, &path).await;
        if read.status == 200 {
            answer = read.json();
            if answer["samples"] == samples {
                return answer;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the ledger never had {samples} samples: {answer}");
}

/// Waits until there are so many events.
async fn events_until(server: &Server, path: &str, n_events: usize) -> Value {
    for _ in 0..500 {
        let events = server.admin("GET", path, "").await.json();
        if kinds(&events).len() >= n_events {
            return events;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there never were {n_events} events at {path}");
}

fn by_identity(answer: &Value) -> BTreeMap<String, u64> {
    let row = |row: &Value| {
        let identity = row["identity"].as_str().unwrap().to_owned();
        (identity, row["samples"].as_u64().unwrap())
    };
    answer["credits"]
        .as_array()
        .unwrap()
        .iter()
        .map(row)
        .collect()
}

fn kinds(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().unwrap().iter();
    events
        .map(|event| event["kind"].as_str().unwrap())
        .collect()
}

/// What the run itself credits to the workers with these tokens, if anything.
async fn of_run(public: SocketAddr, tokens: &[Token]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for token in tokens {
        let samples = credited(public, *token).await;
        if samples > 0 {
            all.insert(Digest::of(&token.0).to_string(), samples);
        }
    }
    all
}

fn ledger_path(site: &Site) -> PathBuf {
    site.data_dir().join("ledger.db")
}

async fn connect(site: &Site) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(ledger_path(site));
    options.create_if_missing(true).connect().await.unwrap()
}

/// The sum of credits in the file of a server that is not running.
async fn samples_in_file(site: &Site) -> u64 {
    let mut connection = connect(site).await;
    let (samples,): (i64,) = sqlx::query_as("SELECT coalesce(sum(samples), 0) FROM credits")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    u64::try_from(samples).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_and_events_are_told_to_operators() {
    let site = Site::new("ledger");
    let server = Server::start(site.config()).await;
    let address = server.handle.admin_addr;
    let created = server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    assert_eq!(created.status, 201, "{}", created.text());
    let (mut first, token) = Worker::join(server.public(), None).await;
    first.work_for(10).await;
    drop(first);
    server.admin("POST", "/admin/runs/digits/pause", "").await;
    server.admin("POST", "/admin/runs/digits/resume", "").await;
    finish(&server).await;
    let answer = credits_until(address, &site, "digits", ALL_SAMPLES).await;
    let rows = by_identity(&answer);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows.values().sum::<u64>(), ALL_SAMPLES);
    let own = credited(server.public(), token).await;
    assert_eq!(rows[&Digest::of(&token.0).to_string()], own);
    let best = &answer["credits"][0];
    assert_eq!(
        (best["kind"].as_str(), best["software"].as_str()),
        (Some("native"), Some("made by hand"))
    );
    assert!(best["samples"].as_u64() >= answer["credits"][1]["samples"].as_u64());
    let one = server
        .admin("GET", "/admin/credits?limit=1", "")
        .await
        .json();
    assert_eq!(one["credits"].as_array().unwrap().len(), 1);
    assert_eq!(one["samples"], ALL_SAMPLES);

    let all = events_until(&server, "/admin/events", 9).await;
    let told_kinds = [
        "server-started",
        "run-created",
        "run-started",
        "order",
        "run-paused",
        "order",
        "run-started",
        "order",
        "run-finished",
    ];
    assert_eq!(kinds(&all), told_kinds);
    let of_run = server
        .admin("GET", "/admin/events?run=digits", "")
        .await
        .json();
    // The order to create it was given before it was there.
    let own_kinds = [&told_kinds[1..3], &told_kinds[4..]].concat();
    assert_eq!(kinds(&of_run), own_kinds);
    assert_eq!(of_run["events"][6]["run"], "digits");
    assert_eq!(of_run["events"][6]["detail"]["version"], STEPS);
    let path = pages_and_refusals(&server, &told_kinds).await;
    command_line(&server, &site, &Digest::of(&token.0).to_string()).await;
    let metrics = server.admin("GET", "/metrics", "").await.text();
    assert!(
        metrics.contains("tabswarm_ledger_degraded 0\n"),
        "{metrics}"
    );
    let health = server.admin("GET", "/admin/health", "").await.json();
    assert_eq!(
        (&health["status"], &health["ledger"]["status"]),
        (&"ok".into(), &"ok".into())
    );
    server.stop().await;

    // A run that is there already is not told of again.
    let server = Server::start(site.config()).await;
    let all = events_until(&server, &path, 2).await;
    assert_eq!(kinds(&all), ["server-stopped", "server-started"]);
    server.stop().await;
}

/// The address of the events behind the last one.
async fn pages_and_refusals(server: &Server, told_kinds: &[&str]) -> String {
    // Page by page.
    let mut after = 0;
    for kind in told_kinds {
        let path = format!("/admin/events?after={after}&limit=1");
        let page = server.admin("GET", &path, "").await.json();
        assert_eq!(kinds(&page), [*kind]);
        after = page["newest"].as_u64().unwrap();
    }
    let path = format!("/admin/events?after={after}");
    let rest = server.admin("GET", &path, "").await.json();
    assert_eq!(
        (kinds(&rest).len(), &rest["newest"]),
        (0, &Value::from(after))
    );
    for (path, status, code) in [
        ("/admin/events?run=nobody", 404, "not_found"),
        ("/admin/credits?run=nobody", 404, "not_found"),
        ("/admin/events?limit=0", 400, "bad_query"),
        ("/admin/credits?limit=1001", 400, "bad_query"),
        ("/admin/events?since=1", 400, "bad_query"),
    ] {
        let problem = server.admin("GET", path, "").await.problem();
        assert_eq!(problem, (status, code.to_owned()), "{path}");
    }
    path
}

async fn command_line(server: &Server, site: &Site, identity: &str) {
    let admin = server.handle.admin_addr.to_string();
    let data_dir = site.data_dir();
    let run = move |args: &'static [&str]| {
        let (admin, data_dir) = (admin.clone(), data_dir.clone());
        let output = tokio::task::spawn_blocking(move || verb(&admin, &data_dir, args));
        async { told(&output.await.unwrap()) }
    };
    let (code, table, problem) = run(&["credits", "--run", "digits"]).await;
    assert_eq!(code, Some(0), "{problem}");
    assert!(
        table.contains(&identity[..16]) && table.contains("made by hand"),
        "{table}"
    );
    let (_, json, _) = run(&["credits", "--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["samples"], ALL_SAMPLES);
    let (code, lines, problem) = run(&["events", "--run", "digits"]).await;
    assert_eq!(code, Some(0), "{problem}");
    assert_eq!(lines.lines().count(), 7, "{lines}");
    assert!(
        lines.lines().last().unwrap().contains("run-finished"),
        "{lines}"
    );
    let mut follower = tabswarm();
    follower.args(["events", "--follow", "--json", "--admin"]);
    follower.arg(format!("http://{}", server.handle.admin_addr));
    follower.arg("--data-dir").arg(site.data_dir());
    let followed = tokio::task::spawn_blocking(move || {
        let mut process = follower.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines: Vec<String> = lines.take(9).map(Result::unwrap).collect();
        assert!(process.try_wait().unwrap().is_none(), "it does not go on");
        process.kill().unwrap();
        process.wait().unwrap();
        lines
    });
    let followed = followed.await.unwrap();
    let last: Value = serde_json::from_str(&followed[8]).unwrap();
    assert_eq!(last["kind"], "run-finished");
    let (code, _, problem) = run(&["events", "--run", "no/run"]).await;
    assert_eq!(code, Some(1));
    assert!(problem.contains("no run's name"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_between_log_and_ledger_leaves_no_difference() {
    let site = Site::new("ledger-killed");
    // Long enough: steps are committed while earlier ones wait for the disk.
    let long = "[train]\nepochs = 5000\nmicro_batch = 2\nglobal_batch = 8";
    let toml = site.file("run.toml", &run_toml("digits", long));
    let mut child = ChildServer::start(&site);
    let created = child.verb(&site, &["run", "create", toml.to_str().unwrap(), "--start"]);
    assert!(created.status.success(), "{created:?}");
    let mut tokens = Vec::new();
    let mut n_behind = 0;
    for pause_ms in [0, 0, 100, 700, 0] {
        let (mut worker, token) = Worker::join(child.public, None).await;
        tokens.push(token);
        worker.work_for(4).await;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        child.kill();
        let in_file = samples_in_file(&site).await;
        child = ChildServer::start(&site);
        let expected = of_run(child.public, &tokens).await;
        let samples: u64 = expected.values().sum();
        assert!(in_file <= samples, "the ledger has what the log has not");
        n_behind += usize::from(in_file < samples);
        let answer = credits_until(child.admin, &site, "digits", samples).await;
        assert_eq!(by_identity(&answer), expected);
        let health = admin(child.admin, &site, "/admin/health").await.json();
        assert_eq!(health["ledger"]["out_of_step"].as_array().unwrap().len(), 0);
    }
    assert!(n_behind > 0, "no kill came between the log and the ledger");
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_follow_a_run_back_and_into_another() {
    let site = Site::new("ledger-rollback");
    let server = Server::start(site.config()).await;
    let address = server.handle.admin_addr;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    finish(&server).await;
    let fork = server
        .admin("POST", "/admin/runs/digits/fork?name=digits-2&at=60", "")
        .await;
    assert_eq!(fork.status, 201, "{}", fork.text());
    let back = server
        .admin("POST", "/admin/runs/digits/rollback?to=60", "")
        .await;
    assert_eq!(back.status, 200, "{}", back.text());
    credits_until(address, &site, "digits", ALL_SAMPLES).await;
    let of_fork = credits_until(address, &site, "digits-2", 0).await;
    assert_eq!(of_fork["sequence"], 1);
    server.admin("POST", "/admin/runs/digits/resume", "").await;
    finish(&server).await;
    // Steps that were done twice were credited twice.
    let twice = ALL_SAMPLES + ALL_SAMPLES / 2;
    let before = credits_until(address, &site, "digits", twice).await;
    let events = server.admin("GET", "/admin/events", "").await.json();
    let forked = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["kind"] == "run-forked");
    let forked = forked.expect("it was forked");
    assert_eq!(
        (
            &forked["run"],
            &forked["detail"]["of"],
            &forked["detail"]["version"]
        ),
        (&"digits-2".into(), &"digits".into(), &60.into())
    );
    let back = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["kind"] == "run-rolled-back");
    assert_eq!(back.expect("it went back")["detail"]["version"], 60);
    server.stop().await;

    // Whatever is in the ledger's place.
    std::fs::write(
        ledger_path(&site),
        b"no database at all, but long enough to be looked at",
    )
    .unwrap();
    let server = Server::start(site.config()).await;
    let address = server.handle.admin_addr;
    let after = credits_until(address, &site, "digits", twice).await;
    assert_eq!(by_identity(&after), by_identity(&before));
    assert_eq!(after["sequence"], before["sequence"]);
    let aside = std::fs::read(site.data_dir().join("ledger.db.damaged-1")).unwrap();
    assert!(aside.starts_with(b"no database"));
    let events = events_until(&server, "/admin/events", 1).await;
    assert_eq!(kinds(&events)[0], "ledger-damaged");
    server.stop().await;
}

/// The largest file that the server may write has room for a run's first steps, but not for an empty ledger.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_and_credits_without_room_for_its_ledger() {
    use crate::support::child::serve_command;

    let site = Site::new("ledger-full");
    let toml = site.file("run.toml", &run_toml("digits", ""));
    let limited = {
        let serve = serve_command(&site);
        let mut command = std::process::Command::new("bash");
        command.env_clear().arg("-c");
        // Units of 1,024 bytes. Writes beyond it fail instead of ending the process.
        command.arg("trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"");
        command.arg(serve.get_program()).args(serve.get_args());
        command
    };
    let child = ChildServer::spawn(limited);
    let created = child.verb(&site, &["run", "create", toml.to_str().unwrap(), "--start"]);
    assert!(created.status.success(), "{created:?}");
    let (mut worker, token) = Worker::join(child.public, None).await;
    worker.work_for(4).await;
    drop(worker);
    let health = admin(child.admin, &site, "/admin/health").await.json();
    assert_eq!(
        (&health["status"], &health["ledger"]["status"]),
        (&"degraded".into(), &"degraded".into())
    );
    let reason = health["ledger"]["reason"].as_str().unwrap();
    assert!(reason.contains("ledger.db"), "{reason}");
    let refused = admin(child.admin, &site, "/admin/credits").await;
    assert_eq!(refused.problem(), (503, "ledger_off".to_owned()));
    let metrics = admin(child.admin, &site, "/metrics").await.text();
    assert!(
        metrics.contains("tabswarm_ledger_degraded 1\n"),
        "{metrics}"
    );
    let before = credited(child.public, token).await;
    assert!(before > 0);
    child.kill();

    let child = ChildServer::start(&site);
    // What was acknowledged last may have been credited after it was looked at.
    let samples = credited(child.public, token).await;
    assert!(samples >= before, "{samples} of {before}");
    let answer = credits_until(child.admin, &site, "digits", samples).await;
    assert_eq!(by_identity(&answer), of_run(child.public, &[token]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_opens_late_catches_up() {
    let site = Site::new("ledger-late");
    std::fs::create_dir_all(ledger_path(&site)).unwrap();
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    finish(&server).await;
    assert_eq!(server.get("/healthz").await.text(), "degraded");
    std::fs::remove_dir(ledger_path(&site)).unwrap();
    credits_until(server.handle.admin_addr, &site, "digits", ALL_SAMPLES).await;
    assert_eq!(server.get("/healthz").await.text(), "ok");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_programs_file_is_refused_and_left_alone() {
    let site = Site::new("ledger-foreign");
    std::fs::create_dir_all(site.data_dir()).unwrap();
    let mut connection = connect(&site).await;
    sqlx::query("CREATE TABLE runs (mileage)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let error = tabswarm_server::serve(site.config())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ledger.db") && error.contains("Move it away"),
        "{error}"
    );
    let mut connection = connect(&site).await;
    let schema: Vec<(String,)> = sqlx::query_as("SELECT sql FROM sqlite_schema")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert_eq!(schema, [("CREATE TABLE runs (mileage)".to_owned(),)]);
}

//! What operators do through the admin listener: uploads, bans, snapshots, archives, repeated orders.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tabswarm_protocol::ClientMessage;
use tabswarm_protocol::server::RefusalCode;

use crate::support::http::request;
use crate::support::worker::{Worker, hello};
use crate::support::{Server, Site, run_toml};

#[tokio::test]
async fn an_order_that_comes_twice_is_carried_out_once() {
    let site = Site::new("twice");
    let server = Server::start(site.config()).await;
    let authorization = format!("Bearer {}", server.handle.admin_token.reveal());
    let post = async |path: &str, key: &str, body: &str| {
        let headers = [
            ("authorization", authorization.as_str()),
            ("idempotency-key", key),
        ];
        request("POST", server.handle.admin_addr, path, &headers, body).await
    };
    let token = r#"{"label":"x","scope":"read"}"#;
    let first = post("/admin/tokens", "a", token).await;
    let again = post("/admin/tokens", "a", token).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body, "the same token");
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        ("", "true")
    );
    let other = post("/admin/tokens", "b", token).await;
    assert_ne!(first.body, other.body);
    let reused = post("/admin/tokens", "a", r#"{"label":"y","scope":"read"}"#).await;
    assert_eq!(reused.problem(), (422, "key_reused".to_owned()));
    let unfit = post("/admin/tokens", "a b", token).await;
    assert_eq!(unfit.problem(), (400, "bad_idempotency_key".to_owned()));

    let file = run_toml("digits", "");
    for _ in 0..2 {
        let created = post("/admin/runs", "run", &file).await;
        assert_eq!(
            (created.status, created.json()["name"].as_str()),
            (201, Some("digits"))
        );
    }
    let without = server.admin("POST", "/admin/runs", &file).await;
    assert_eq!(without.problem(), (409, "name_taken".to_owned()));
    server.stop().await;
}

/// Names of what lies in the folder of uploads.
fn uploads(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.data_dir().join("uploads"));
    let entries = entries.into_iter().flatten().map(Result::unwrap);
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn uploads_with_bad_names_or_too_many_bytes_leave_nothing() {
    let site = Site::new("bad-uploads");
    let mut config = site.config();
    config.max_upload_bytes = 100;
    let server = Server::start(config).await;
    let long = "x".repeat(101);
    for (path, body, status, code) in [
        ("iris/iris.csv", long.as_str(), 413, "too_large"),
        ("..%2firis/iris.csv", "x", 422, "bad_name"),
        ("iris/..%2f..%2fledger.db", "x", 422, "bad_name"),
        ("iris/.hidden", "x", 422, "bad_name"),
        ("%2e%2e/x", "x", 422, "bad_name"),
        ("iris/a%00b", "x", 422, "bad_name"),
        ("iris/a%5cb", "x", 422, "bad_name"),
        ("iris/%ff", "x", 400, "bad_path"),
    ] {
        let path = format!("/admin/datasets/{path}").leak();
        let answer = server.admin("PUT", path, body).await;
        let problem = answer.problem();
        assert_eq!(problem, (status, code.to_owned()), "{}", answer.text());
    }
    assert_eq!(uploads(&site), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn uploads_that_break_off_or_hide_their_length_leave_nothing() {
    let site = Site::new("broken-uploads");
    let mut config = site.config();
    config.max_upload_bytes = 100;
    let server = Server::start(config).await;
    let head = format!(
        "PUT /admin/datasets/iris/iris.csv HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         transfer-encoding: chunked\r\n\r\n",
        server.handle.admin_token.reveal()
    );
    let address = server.handle.admin_addr;
    let sent = move |text: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let long = format!("{head}65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
    let answered = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(sent(long)).read_line(&mut line).unwrap();
        line
    });
    assert!(answered.await.unwrap().contains("413"));
    let broken = tokio::task::spawn_blocking(move || drop(sent(format!("{head}5\r\nhalf "))));
    broken.await.unwrap();
    // The server may not have seen the end yet.
    for _ in 0..200 {
        if uploads(&site).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(uploads(&site), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn uploads_become_data_sets() {
    let site = Site::new("uploads");
    let server = Server::start(site.config()).await;
    let path = "/admin/datasets/iris/iris.csv";
    let put = server.admin("PUT", path, "a,b\n").await;
    assert_eq!((put.status, &put.json()["bytes"]), (201, &json!(4)));
    let again = server.admin("PUT", path, "c,d\n").await;
    assert_eq!(again.problem(), (409, "name_taken".to_owned()));
    let listed = server.admin("GET", "/admin/datasets", "").await.json();
    let sets = listed.as_array().unwrap().iter();
    let sources: Vec<_> = sets
        .map(|set| {
            (
                set["name"].as_str().unwrap(),
                set["source"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(sources, [("iris", "upload"), ("tiny", "folder")]);
    let shown = server.admin("GET", "/admin/datasets/iris", "").await.json();
    assert_eq!(shown["files"], json!([{ "path": "iris.csv", "bytes": 4 }]));
    let own = server.admin("DELETE", "/admin/datasets/tiny", "").await;
    assert_eq!(own.problem(), (409, "in_use".to_owned()));
    let deleted = server.admin("DELETE", "/admin/datasets/iris", "").await;
    assert_eq!(deleted.status, 200);
    let gone = server.admin("GET", "/admin/datasets/iris", "").await;
    assert_eq!(gone.problem(), (404, "not_found".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn a_run_is_made_from_an_upload() {
    let site = Site::new("from-upload");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(site.dataset()).unwrap() {
        let entry = entry.unwrap();
        files.push((entry.file_name().into_string().unwrap(), entry.path()));
    }
    let server = Server::start(site.config()).await;
    let authorization = format!("Bearer {}", server.handle.admin_token.reveal());
    for (name, path) in files {
        let url = format!(
            "http://{}/admin/datasets/mine/{name}",
            server.handle.admin_addr
        );
        let (authorization, bytes) = (authorization.clone(), std::fs::read(path).unwrap());
        let sent = tokio::task::spawn_blocking(move || {
            ureq::put(url)
                .header("authorization", authorization)
                .send(bytes)
                .unwrap()
                .status()
        });
        assert_eq!(sent.await.unwrap().as_u16(), 201);
    }
    let file = run_toml("digits", "").replace("path = \"tiny\"", "path = \"mine\"");
    let created = server.admin("POST", "/admin/runs", &file).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let used = server.admin("DELETE", "/admin/datasets/mine", "").await;
    assert_eq!(used.problem(), (409, "in_use".to_owned()));
    assert!(used.detail().contains("digits"));
    server.stop().await;
}

#[tokio::test]
async fn a_ban_holds_over_a_restart_and_ends() {
    let site = Site::new("ban");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let (mut worker, token) = Worker::join(server.public(), None).await;
    let listed = server.admin("GET", "/admin/workers", "").await.json();
    let identity = listed["workers"][0]["identity"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        (&listed["workers"][0]["state"], &listed["n_connected"]),
        (&json!("connected"), &json!(1))
    );
    let path = format!("/admin/bans/{identity}");
    let banned = server
        .admin("PUT", &path, r#"{"reason":"wrong gradients"}"#)
        .await;
    assert_eq!(
        (banned.status, banned.json()["until_ms"].clone()),
        (200, Value::Null)
    );
    let (code, message) = worker.refusal().await.unwrap();
    assert_eq!(code, RefusalCode::Unauthorized);
    assert!(message.contains("wrong gradients"), "{message}");
    let shown = server.admin("GET", "/admin/workers/w1", "").await.json();
    assert_eq!(shown["state"], "banned");
    server.stop().await;

    let server = Server::start(site.config()).await;
    let back = async || {
        let mut worker = Worker::connect(server.public()).await;
        let mut again = hello(None);
        again.resume = Some(token);
        worker.say(&ClientMessage::Hello(again)).await;
        worker
    };
    let (code, _) = back().await.refusal().await.unwrap();
    assert_eq!(code, RefusalCode::Unauthorized, "the ban was forgotten");
    let shorter = server
        .admin("PUT", &path, r#"{"reason":"on trial","lasts_s":1}"#)
        .await;
    assert_eq!(shorter.status, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(back().await.hear().await.is_some(), "the ban is over");
    let known = server
        .admin("GET", &format!("/admin/identities/{identity}"), "")
        .await
        .json();
    assert_eq!(
        (&known["ban"]["holds"], &known["worker_id"]),
        (&json!(false), &json!("w1"))
    );
    assert_eq!(server.admin("DELETE", &path, "").await.status, 200);
    assert_eq!(
        server.admin("DELETE", &path, "").await.problem(),
        (404, "not_found".to_owned())
    );
    server.stop().await;
}

#[tokio::test]
async fn an_archived_run_comes_back_as_it_was() {
    let site = Site::new("archive");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let running = server.admin("POST", "/admin/runs/digits/archive", "").await;
    assert_eq!(running.problem(), (409, "wrong_phase".to_owned()));
    let stopped = server
        .admin("POST", "/admin/runs/digits/stop", "")
        .await
        .json();
    for _ in 0..200 {
        let archived = server.admin("POST", "/admin/runs/digits/archive", "").await;
        if archived.status == 200 {
            break;
        }
        assert_eq!(
            archived.problem(),
            (409, "wrong_phase".to_owned()),
            "its snapshot is under way"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        server.admin("GET", "/admin/runs/digits", "").await.status,
        404
    );
    let taken = server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    assert_eq!(taken.problem(), (409, "name_taken".to_owned()));
    server.stop().await;

    // It is not hosted by the next start, and its id is not given away.
    let server = Server::start(site.config()).await;
    assert_eq!(
        server.admin("GET", "/admin/archive", "").await.json(),
        json!([{ "name": "digits" }])
    );
    let other = server
        .admin("POST", "/admin/runs", &run_toml("other", ""))
        .await
        .json();
    assert_ne!(other["run_id"], stopped["run_id"]);
    for wrong in ["nobody", "..%2fruns%2fother", "%2e%2e"] {
        let answer = server
            .admin("POST", &format!("/admin/archive/{wrong}/restore"), "")
            .await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{wrong}");
    }
    let restored = server
        .admin("POST", "/admin/archive/digits/restore", "")
        .await;
    assert_eq!(restored.status, 200, "{}", restored.text());
    let restored = restored.json();
    for key in ["run_id", "phase", "params_digest", "version"] {
        assert_eq!(restored[key], stopped[key], "{key}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_says_when_it_was_made() {
    let now_ms = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    };
    let site = Site::new("snapshot-time");
    let server = Server::start(site.config()).await;
    let before = now_ms();
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let path = "/admin/runs/digits/snapshots";
    let listed = async |server: &Server| {
        for _ in 0..500 {
            let listed = server.admin("GET", path, "").await.json();
            if listed.as_array().is_some_and(|all| !all.is_empty()) {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("there never was a snapshot");
    };
    let made = listed(&server).await[0]["made_ms"].as_u64().unwrap();
    assert!((before..=now_ms()).contains(&made), "{made}");
    // A pinned copy is of the same time.
    let pinned = server.admin("PUT", &format!("{path}/0/pin"), "").await;
    assert_eq!(pinned.json()["made_ms"], json!(made));
    let stopping = now_ms();
    server.stop().await;
    // The end of a server takes another one, of the same version, which comes first.
    let server = Server::start(site.config()).await;
    let last = listed(&server).await[0]["made_ms"].as_u64().unwrap();
    assert!((stopping..=now_ms()).contains(&last), "{last}");
    server.stop().await;
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let site = Site::new("stream");
    let server = Server::start(site.config()).await;
    let token = server.handle.admin_token.reveal().to_owned();
    let address = server.handle.admin_addr;
    let stream = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "GET /admin/events/stream?after=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        // Until the server ends.
        stream.read_to_string(&mut text).unwrap();
        text
    });
    server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.stop().await;
    let text = stream.await.unwrap();
    assert!(text.contains("text/event-stream"), "{text}");
    for part in [
        "server-started",
        "run-created",
        "\"kind\":\"order\"",
        "id: 1",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn a_run_file_is_validated_without_a_run() {
    let site = Site::new("validate");
    let server = Server::start(site.config()).await;
    let good = server
        .admin("POST", "/admin/validate", &run_toml("digits", ""))
        .await
        .json();
    assert_eq!(
        (&good["valid"], &good["run"]["parameters"]),
        (&json!(true), &json!(38))
    );
    let bad = run_toml("Digits!", "").replace("units = 4", "units = 0");
    let bad = server.admin("POST", "/admin/validate", &bad).await.json();
    let places: Vec<_> = bad["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| &mistake["place"])
        .collect();
    assert_eq!(places, [&json!("name"), &json!("model.layers[1].units")]);
    let none = server
        .admin("POST", "/admin/validate", "no run file")
        .await
        .json();
    assert_eq!(
        (&none["valid"], none["mistakes"].as_array().unwrap().len()),
        (&json!(false), 1)
    );
    assert_eq!(
        server.admin("GET", "/admin/runs", "").await.json(),
        json!([])
    );
    server.stop().await;
}

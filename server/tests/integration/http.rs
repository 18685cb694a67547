//! The public interface, and what keeps strangers out of the other one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http::request;
use crate::support::worker::Worker;
use crate::support::{Server, Site, TRAIN_SAMPLES, run_toml};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_stay_out_of_the_admin_listener() {
    let site = Site::new("auth");
    let server = Server::start(site.config()).await;
    let right = format!("Bearer {}", server.handle.admin_token.reveal());
    let wrong = format!("Bearer {}", "0".repeat(64));
    let credentials = [
        None,
        Some(""),
        Some(wrong.as_str()),
        Some(&right[..right.len() - 1]),
    ];
    let addresses = [
        ("GET", "/admin/runs"),
        ("POST", "/admin/runs"),
        ("GET", "/admin/runs/digits"),
        ("POST", "/admin/runs/digits/start"),
        ("GET", "/admin/workers"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("DELETE", "/admin/runs"),
    ];
    for (method, path) in addresses {
        for credential in credentials {
            let headers: Vec<_> = credential
                .map(|value| ("authorization", value))
                .into_iter()
                .collect();
            let answer = request(method, server.handle.admin_addr, path, &headers, "").await;
            assert_eq!(
                answer.problem(),
                (401, "unauthorized".to_owned()),
                "{method} {path} {credential:?}"
            );
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let headers = [("authorization", right.as_str())];
        let answer = request(method, server.handle.admin_addr, path, &headers, "").await;
        assert_ne!(answer.status, 401, "{method} {path}");
    }
    let answer = request("GET", server.handle.admin_addr, "/healthz", &[], "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    // Nothing of it is on the public listener.
    let headers = [("authorization", right.as_str())];
    let answer = request("GET", server.public(), "/admin/runs", &headers, "").await;
    assert_eq!(answer.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_with_strict_headers() {
    let site = Site::new("page");
    let server = Server::start(site.config()).await;
    let page = server.get("/").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'; script-src 'self'")
    );
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("cache-control"), "no-cache");
    let tag = [("if-none-match", page.header("etag"))];
    let again = request("GET", server.public(), "/", &tag, "").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/api",
        "/api/nothing",
    ] {
        assert_eq!(
            server.get(path).await.problem(),
            (404, "not_found".to_owned()),
            "{path}"
        );
    }
    let answer = request("POST", server.public(), "/api/runs", &[], "").await;
    assert_eq!(answer.problem(), (405, "wrong_method".to_owned()));
    let answer = request("POST", server.public(), "/", &[], "").await;
    assert_eq!(answer.problem(), (405, "wrong_method".to_owned()));
    assert_eq!(server.get("/healthz").await.text(), "ok");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_read_by_everybody() {
    let site = Site::new("public-run");
    let server = Server::start(site.config()).await;
    assert_eq!(
        server
            .get("/api/runs")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let created = server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    assert_eq!(
        (created.status, created.json()["phase"].as_str()),
        (201, Some("running")),
        "{}",
        created.text()
    );
    let (mut worker, _) = Worker::join(server.public(), None).await;
    worker.work_for(8).await;
    let status = server
        .run_until("digits", |run| run["version"].as_u64() >= Some(2))
        .await;
    let version = status["version"].as_u64().unwrap();
    let expected = [
        ("steps_total", 120),
        ("epochs", 20),
        ("epoch", version / 6 + 1),
        ("workers", 1),
        ("parameters", 38),
    ];
    for (key, value) in expected {
        assert_eq!(status[key], value, "{key} in {status}");
    }
    assert!(status["train_loss"].as_f64().unwrap() > 0.0, "{status}");

    let digest = status["params_digest"].as_str().unwrap();
    let params = server.get(&format!("/api/params/{digest}")).await;
    assert_eq!(Digest::of(&params.body).to_string(), digest);
    assert!(params.header("cache-control").contains("immutable"));

    let run_json = server.get("/api/runs/digits/run.json").await.text();
    assert_eq!(Run::from_json(&run_json).unwrap().name, "digits");
    let history = server.get("/api/runs/digits/history?after=1").await.json();
    assert_eq!(history["steps"][0]["version"], 2);
    assert_eq!(
        server
            .get("/api/runs/digits/history?after=x")
            .await
            .problem()
            .1,
        "bad_query"
    );
    // The snapshot of the start.
    let snapshots = server.get("/api/runs/digits/snapshots").await.json();
    assert_eq!(snapshots[0]["version"], 0, "{snapshots}");
    let digest = snapshots[0]["params_digest"].as_str().unwrap();
    let params = server.get(&format!("/api/params/{digest}")).await;
    assert_eq!(Digest::of(&params.body).to_string(), digest);
    let metrics = server.admin("GET", "/metrics", "").await.text();
    assert!(
        metrics.contains("tabswarm_invariant_violations_total{id=\"LEASE-ONCE\"} 0"),
        "{metrics}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn training_data_is_served_by_digest() {
    let site = Site::new("chunks");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    let (mut worker, _) = Worker::join(server.public(), Some("digits")).await;
    let assigned = worker.hear().await.unwrap().0;
    let tabswarm_protocol::ServerMessage::Run(assignment) = assigned else {
        panic!("{assigned:?}");
    };
    let dataset = Digest(assignment.dataset);
    let manifest = server.get(&format!("/api/datasets/{dataset}")).await;
    assert_eq!(Digest::of(&manifest.body), dataset);
    let manifest = manifest.json();
    assert_eq!(manifest["samples"], TRAIN_SAMPLES);
    let chunk = format!("/api/chunks/{}", manifest["chunks"][0].as_str().unwrap());
    let plain = server.get(&chunk).await;
    assert_eq!(
        Digest::of(&plain.body).to_string(),
        manifest["chunks"][0].as_str().unwrap()
    );
    // An HTTP client may undo the compression before the test sees it.
    let packed = head(server.public(), &chunk, "accept-encoding: gzip, br").await;
    assert_eq!(packed["content-encoding"], "br");
    let unpacked = head(server.public(), &chunk, "accept-encoding: identity").await;
    assert!(!unpacked.contains_key("content-encoding"), "{unpacked:?}");
    assert_ne!(packed["etag"], unpacked["etag"]);
    let tags = [
        ("accept-encoding", "br"),
        ("if-none-match", packed["etag"].as_str()),
    ];
    assert_eq!(
        request("GET", server.public(), &chunk, &tags, "")
            .await
            .status,
        304
    );

    let unknown = "0".repeat(64);
    for kind in ["chunks", "datasets", "params"] {
        let answer = server.get(&format!("/api/{kind}/{unknown}")).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{kind}");
        for bad in ["x", "..%2f..%2fadmin-token", &unknown[1..]] {
            let answer = server.get(&format!("/api/{kind}/{bad}")).await;
            assert_eq!(
                answer.problem(),
                (400, "bad_digest".to_owned()),
                "{kind} {bad}"
            );
        }
    }
    server.stop().await;
}

/// The headers of an answer as they are on the wire.
async fn head(address: SocketAddr, path: &str, header: &str) -> BTreeMap<String, String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{header}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect()
}

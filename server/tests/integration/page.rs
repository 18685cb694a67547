//! What the page asks for besides the runs: examples, the leaderboard, and the frame for other pages.

use serde_json::json;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::Token;

use crate::durability::{credited, finish};
use crate::support::http::{Answer, request};
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

const ABOUT: &str =
    "[about]\nowner = \"A school\"\nlink = \"https://example.org/\"\ndownload = true\n";

fn hex(bytes: [u8; 32]) -> String {
    Digest(bytes).to_string()
}

async fn ask(server: &Server, method: &str, path: &str, secret: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {secret}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    request(method, server.public(), path, &headers, body).await
}

async fn hosted(name: &str) -> (Site, Server) {
    let site = Site::new(name);
    let server = Server::start(site.config()).await;
    let run = run_toml("digits", ABOUT);
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    (site, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_who_is_behind_it_and_shows_examples() {
    let (_site, server) = hosted("about").await;
    let run = server.run("digits").await;
    assert_eq!(
        (&run["owner"], &run["link"], &run["download"]),
        (
            &json!("A school"),
            &json!("https://example.org/"),
            &json!(true)
        )
    );
    assert_eq!(
        (&run["text"], &run["examples"]),
        (&json!(false), &json!(true))
    );
    let examples = server.get("/api/runs/digits/examples").await;
    assert_eq!(examples.header("cache-control"), "no-cache");
    // Ten samples of six bytes and a label each.
    assert_eq!(examples.body.len(), 10 * (6 + 2));
    assert_eq!(examples.body[60..64], [0, 0, 1, 0]);
    let tag = [("if-none-match", examples.header("etag"))];
    let again = request(
        "GET",
        server.public(),
        "/api/runs/digits/examples",
        &tag,
        "",
    )
    .await;
    assert_eq!(again.status, 304);
    assert_eq!(server.get("/api/runs/none/examples").await.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volunteer_is_named_by_choice_and_forgotten_on_demand() {
    let (_site, server) = hosted("leaders").await;
    let (mut worker, token) = Worker::join(server.public(), None).await;
    worker.work_for(10).await;
    drop(worker);
    finish(&server).await;
    let samples = credited(server.public(), token).await;
    let token = hex(token.0);
    let key = "5".repeat(64);
    let body = json!({ "key": key, "name": " Ada  L. " }).to_string();
    let mut named = ask(&server, "PUT", "/api/volunteer", &token, &body).await;
    // The credit reaches the ledger a moment after the log.
    for _ in 0..500 {
        if named.status == 200 {
            break;
        }
        assert_eq!(named.problem(), (403, "no_credit".to_owned()));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        named = ask(&server, "PUT", "/api/volunteer", &token, &body).await;
    }
    assert_eq!(named.json(), json!({ "name": "Ada L." }));
    let mut leaders = json!(null);
    for _ in 0..500 {
        leaders = server.get("/api/leaders?run=digits").await.json();
        if leaders[0]["samples"] == samples {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(leaders, json!([{ "name": "Ada L.", "samples": samples }]));
    let standing = ask(&server, "GET", "/api/standing?run=digits", &token, "")
        .await
        .json();
    assert_eq!(
        (&standing["samples"], &standing["of"]),
        (&json!(samples), &json!(2))
    );
    let forgotten = ask(&server, "DELETE", "/api/volunteer", &key, "").await;
    assert_eq!(forgotten.json(), json!({ "forgotten": true }));
    assert_eq!(server.get("/api/leaders").await.json(), json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaderboard_refuses_what_is_no_name() {
    let (_site, server) = hosted("no-names").await;
    let stranger = hex(Token([7; 32]).0);
    let put = |body: String| {
        let (server, stranger) = (&server, &stranger);
        async move {
            ask(server, "PUT", "/api/volunteer", stranger, &body)
                .await
                .problem()
        }
    };
    let with = |key: &str, name: &str| json!({ "key": key, "name": name }).to_string();
    let key = "5".repeat(64);
    for (body, status, code) in [
        (with(&key, "Ada"), 403, "no_credit"),
        (with(&key, "a\u{202e}b"), 400, "bad_name"),
        (with(&key, "<b>"), 400, "bad_name"),
        (with("short", "Ada"), 400, "bad_key"),
        (with(&key, &"a".repeat(2_000)), 400, "bad_body"),
        ("{".to_owned(), 400, "bad_body"),
        (
            json!({ "key": key, "name": "Ada", "more": 1 }).to_string(),
            400,
            "bad_body",
        ),
    ] {
        assert_eq!(put(body.clone()).await, (status, code.to_owned()), "{body}");
    }
    for (method, path) in [
        ("PUT", "/api/volunteer"),
        ("DELETE", "/api/volunteer"),
        ("GET", "/api/standing?run=digits"),
    ] {
        for secret in ["", "x", &"G".repeat(64)] {
            let answer = ask(&server, method, path, secret, "{}").await;
            assert_eq!(
                answer.problem(),
                (401, "unauthorized".to_owned()),
                "{method} {path}"
            );
        }
    }
    assert_eq!(server.get("/api/leaders?run=none").await.status, 404);
    assert_eq!(server.get("/api/leaders?limit=9").await.status, 400);
    let answer = ask(&server, "GET", "/api/standing", &stranger, "").await;
    assert_eq!(answer.problem(), (400, "bad_query".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admitted_pages_may_frame_the_badge() {
    let site = Site::new("frame");
    let mut config = site.config();
    config.allowed_origins = vec!["https://blog.example".to_owned()];
    let server = Server::start(config).await;
    let policy = |answer: &Answer| answer.header("content-security-policy").to_owned();
    let page = server.get("/").await;
    assert!(policy(&page).ends_with("frame-ancestors 'none'"));
    let frame = server.get("/embed.html").await;
    assert!(policy(&frame).ends_with("frame-ancestors 'self' https://blog.example"));
    for path in ["/embed.html", "/embed.js"] {
        let answer = server.get(path).await;
        assert_eq!(
            answer.header("cross-origin-resource-policy"),
            "cross-origin",
            "{path}"
        );
    }
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    server.stop().await;
}

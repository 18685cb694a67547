//! Tokens of the admin listener: what they open, how long, and what is recorded.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::child::{ChildServer, told};
use crate::support::http::{Answer, request};
use crate::support::{Server, Site, run_toml};

async fn issue(server: &Server, scope: &str, expires_in_s: Option<u64>) -> Value {
    let body = json!({ "label": scope, "scope": scope, "expires_in_s": expires_in_s });
    let answer = server
        .admin("POST", "/admin/tokens", &body.to_string())
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn with(server: &Server, token: &str, method: &'static str, path: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    request(method, server.handle.admin_addr, path, &headers, "").await
}

#[tokio::test]
async fn each_scope_opens_what_it_says() {
    let site = Site::new("scopes");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    let routes = [
        ("metrics", "GET", "/metrics"),
        ("read", "GET", "/admin/runs"),
        ("operate", "POST", "/admin/runs/digits/start"),
        ("admin", "GET", "/admin/tokens"),
    ];
    for (has, scope) in ["metrics", "read", "operate", "admin"].iter().enumerate() {
        let issued = issue(&server, scope, None).await;
        let token = issued["token"].as_str().unwrap();
        for (needs, (needed, method, path)) in routes.iter().enumerate() {
            let answer = with(&server, token, method, path).await;
            if has >= needs {
                // Starting twice is a conflict, which is no matter of tokens.
                assert!(
                    [200, 409].contains(&answer.status),
                    "{scope} {path}: {}",
                    answer.text()
                );
            } else {
                assert_eq!(
                    answer.problem(),
                    (403, "wrong_scope".to_owned()),
                    "{scope} {path}"
                );
                assert!(answer.detail().contains(needed), "{}", answer.detail());
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn void_tokens_open_nothing_and_are_listed() {
    let site = Site::new("void");
    let server = Server::start(site.config()).await;
    let revoked = issue(&server, "read", None).await;
    let brief = issue(&server, "read", Some(1)).await;
    let token = |issued: &Value| issued["token"].as_str().unwrap().to_owned();
    assert_eq!(
        with(&server, &token(&revoked), "GET", "/admin/runs")
            .await
            .status,
        200
    );
    let path = format!("/admin/tokens/{}", revoked["id"]);
    for _ in 0..2 {
        let answer = server.admin("DELETE", &path, "").await;
        assert_eq!(
            (answer.status, answer.json()["state"].as_str()),
            (200, Some("revoked"))
        );
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for issued in [&revoked, &brief] {
        let answer = with(&server, &token(issued), "GET", "/admin/runs").await;
        assert_eq!(answer.problem(), (401, "unauthorized".to_owned()));
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let listed = server.admin("GET", "/admin/tokens?limit=1", "").await;
    assert!(
        !listed.text().contains(&token(&revoked)),
        "the list shows no secrets"
    );
    let listed = listed.json();
    assert_eq!(listed["tokens"][0]["state"], "revoked");
    let path = format!("/admin/tokens?limit=2&after={}", listed["next"]);
    let rest = server.admin("GET", &path, "").await.json();
    assert_eq!(
        (&rest["tokens"][0]["state"], &rest["next"]),
        (&json!("expired"), &Value::Null)
    );
    let unknown = server.admin("DELETE", "/admin/tokens/4711", "").await;
    assert_eq!(unknown.problem(), (404, "not_found".to_owned()));
    server.stop().await;

    // Both outlive the server.
    let server = Server::start(site.config()).await;
    let answer = with(&server, &token(&revoked), "GET", "/admin/runs").await;
    assert_eq!(answer.status, 401);
    server.stop().await;
    let ledger = std::fs::read(site.data_dir().join("ledger.db")).unwrap();
    let secret = token(&brief);
    let has_secret = ledger
        .windows(secret.len())
        .any(|bytes| bytes == secret.as_bytes());
    assert!(!has_secret, "only hashes are stored");
}

#[tokio::test]
async fn wrong_wishes_issue_nothing() {
    let site = Site::new("wishes");
    let server = Server::start(site.config()).await;
    for (body, status, code) in [
        ("", 400, "bad_body"),
        ("[]", 400, "bad_body"),
        (r#"{"label":"x","scope":"root"}"#, 400, "bad_body"),
        (
            r#"{"label":"x","scope":"read","color":"red"}"#,
            400,
            "bad_body",
        ),
        (r#"{"label":" ","scope":"read"}"#, 422, "bad_name"),
        (r#"{"label":"a\nb","scope":"read"}"#, 422, "bad_name"),
        (
            r#"{"label":"x","scope":"read","expires_in_s":0}"#,
            422,
            "bad_body",
        ),
        (
            r#"{"label":"x","scope":"read","expires_in_s":99999999999}"#,
            422,
            "bad_body",
        ),
    ] {
        let answer = server.admin("POST", "/admin/tokens", body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{body}");
    }
    let listed = server.admin("GET", "/admin/tokens", "").await.json();
    assert_eq!(listed["tokens"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn orders_are_recorded_with_who_gave_them() {
    let site = Site::new("orders");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs", &run_toml("digits", ""))
        .await;
    let issued = issue(&server, "operate", None).await;
    let token = issued["token"].as_str().unwrap();
    with(&server, token, "POST", "/admin/runs/digits/start").await;
    with(&server, token, "POST", "/admin/tokens").await;
    with(&server, token, "GET", "/admin/runs").await;
    let orders = loop {
        let events = server.admin("GET", "/admin/events", "").await.json();
        let events = events["events"].as_array().unwrap().clone();
        let orders: Vec<Value> = events
            .into_iter()
            .filter(|event| event["kind"] == "order")
            .collect();
        if orders.len() >= 4 {
            break orders;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let told: Vec<_> = orders
        .iter()
        .map(|order| {
            let detail = &order["detail"];
            (
                detail["by"].as_str().unwrap(),
                detail["address"].as_str().unwrap(),
                detail["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("admin-token", "/admin/runs", 201),
            ("admin-token", "/admin/tokens", 201),
            ("operate", "/admin/runs/digits/start", 200),
            ("operate", "/admin/tokens", 403),
        ]
    );
    assert_eq!(orders[1]["detail"]["did"]["issued"], issued["id"]);
    assert_eq!(orders[2]["run"], "digits");
    assert_eq!(orders[2]["detail"]["token"], issued["id"]);
    assert!(
        !Value::from(orders).to_string().contains(token),
        "no secrets in events"
    );
    server.stop().await;
}

#[test]
fn tokens_are_issued_listed_and_revoked_by_the_command_line() {
    let site = Site::new("token-verbs");
    let server = ChildServer::start(&site);
    let verb = |args: &[&str]| told(&server.verb(&site, args));
    let (code, stdout, _) = verb(&[
        "token",
        "issue",
        "night shift",
        "--scope",
        "operate",
        "--expires",
        "12h",
    ]);
    assert_eq!(code, Some(0));
    let token = stdout.lines().next().unwrap();
    assert!(
        token.starts_with("tsw_") && stdout.contains("token 1, of the scope operate"),
        "{stdout}"
    );
    let (code, _, stderr) = verb(&["run", "list", "--token", token]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let (code, _, stderr) = verb(&["token", "list", "--token", token]);
    assert_eq!(code, Some(4));
    assert!(stderr.contains("scope admin"), "{stderr}");
    let (_, stdout, _) = verb(&["token", "list"]);
    assert!(
        stdout.contains("night shift") && stdout.contains("valid"),
        "{stdout}"
    );
    let (code, stdout, _) = verb(&["token", "revoke", "1"]);
    assert_eq!((code, stdout.contains("revoked")), (Some(0), true));
    let (code, _, stderr) = verb(&["run", "list", "--token", token]);
    assert_eq!(
        (code, stderr.contains("valid token")),
        (Some(4), true),
        "{stderr}"
    );
    let (code, _, stderr) = verb(&[
        "token",
        "issue",
        "x",
        "--scope",
        "read",
        "--expires",
        "soon",
    ]);
    assert_eq!((code, stderr.contains("12h")), (Some(2), true), "{stderr}");
    assert_eq!(server.terminate().0, Some(0));
}

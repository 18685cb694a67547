//! Every route of the OpenAPI document with every kind of credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tabswarm_model::digest::Digest;

use crate::support::http::{Answer, request};
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

/// From the least to the most.
const SCOPES: [&str; 4] = ["metrics", "read", "operate", "admin"];

/// A route of the document.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    scope: String,
    statuses: BTreeSet<u16>,
}

/// How a route is used: its operation, the address behind `/`, and a body.
type Example = (&'static str, &'static str, &'static str);

pub(crate) const TOKEN: &str = r#"{"label":"x","scope":"read"}"#;
pub(crate) const BAN: &str = r#"{"reason":"wrong gradients","lasts_s":60}"#;
/// Stands for a valid run file.
const RUN_FILE: &str = "RUN FILE";

/// All routes, in an order in which each can be used. Words in braces are filled in.
const EXAMPLES: [Example; 52] = [
    ("document", "admin/openapi.json", ""),
    ("health", "admin/health", ""),
    ("metrics", "metrics", ""),
    ("validate_run_file", "admin/validate", RUN_FILE),
    ("create_run", "admin/runs", RUN_FILE),
    ("list_runs", "admin/runs", ""),
    ("show_run", "admin/runs/digits", ""),
    ("run_file", "admin/runs/digits/run.json", ""),
    ("show_settings", "admin/runs/digits/run.toml", ""),
    ("show_work", "admin/runs/digits/work", ""),
    ("run_history", "admin/runs/digits/history", ""),
    ("start_run", "admin/runs/digits/start", ""),
    ("list_workers", "admin/workers?limit=1", ""),
    ("show_worker", "admin/workers/{worker}", ""),
    ("drain_worker", "admin/workers/{worker}/drain", ""),
    ("list_identities", "admin/identities?limit=1", ""),
    ("show_identity", "admin/identities/{identity}", ""),
    ("ban", "admin/bans/{identity}", BAN),
    ("list_bans", "admin/bans", ""),
    ("unban", "admin/bans/{identity}", ""),
    ("pause_run", "admin/runs/digits/pause", ""),
    ("resume_run", "admin/runs/digits/resume", ""),
    ("list_snapshots", "admin/runs/digits/snapshots", ""),
    ("download_snapshot", "admin/runs/digits/snapshots/0", ""),
    ("pin_snapshot", "admin/runs/digits/snapshots/0/pin", ""),
    ("unpin_snapshot", "admin/runs/digits/snapshots/0/pin", ""),
    ("delete_snapshot", "admin/runs/digits/snapshots/0", ""),
    ("change_run", "admin/runs/digits/run.toml", RUN_FILE),
    ("export_run", "admin/runs/digits/export?format=card", ""),
    ("stop_run", "admin/runs/digits/stop", ""),
    ("list_versions", "admin/runs/digits/versions", ""),
    ("digest", "admin/runs/digits/digest", ""),
    ("params", "admin/params/{params}", ""),
    ("manifest", "admin/manifests/{dataset}", ""),
    ("fork_run", "admin/runs/digits/fork?name=other", ""),
    (
        "roll_back_run",
        "admin/runs/digits/rollback?to={version}",
        "",
    ),
    ("archive_run", "admin/runs/digits/archive", ""),
    ("list_archive", "admin/archive", ""),
    ("restore_run", "admin/archive/digits/restore", ""),
    (
        "upload_dataset",
        "admin/datasets/iris/iris.csv",
        "a,b\n1,2\n",
    ),
    ("list_datasets", "admin/datasets", ""),
    ("show_dataset", "admin/datasets/iris", ""),
    ("delete_dataset", "admin/datasets/iris", ""),
    ("list_credits", "admin/credits?run=digits", ""),
    ("list_events", "admin/events?limit=1", ""),
    ("stream_events", "admin/events/stream?after=0", ""),
    ("issue_token", "admin/tokens", TOKEN),
    ("list_tokens", "admin/tokens", ""),
    ("revoke_token", "admin/tokens/{token}", ""),
    // Once more, because what they do was undone.
    ("show_run", "admin/runs/other", ""),
    ("start_run", "admin/runs/other/start", ""),
    ("stop_run", "admin/runs/other/stop", ""),
];

/// Routes of the document by operation.
fn operations(document: &Value) -> BTreeMap<String, Operation> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let statuses = operation["responses"].as_object().unwrap().keys();
            let operation = Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                scope: operation["security"][0]["bearer"][0]
                    .as_str()
                    .unwrap()
                    .to_owned(),
                statuses: statuses.map(|status| status.parse().unwrap()).collect(),
            };
            assert!(
                all.insert(id.clone(), operation).is_none(),
                "{id} is twice there"
            );
        }
    }
    all
}

/// Whether an address is one of a path with parameters.
fn is_of(address: &str, path: &str) -> bool {
    let address = address.split('?').next().unwrap();
    let parts = |text: &str| {
        text.trim_start_matches('/')
            .split('/')
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let (address, path) = (parts(address), parts(path));
    address.len() == path.len()
        && address
            .iter()
            .zip(&path)
            .all(|(a, p)| p.starts_with('{') || a == p)
}

fn body_of(text: &str) -> String {
    if text == RUN_FILE {
        run_toml("digits", "")
    } else {
        text.to_owned()
    }
}

pub(crate) struct Bed {
    pub(crate) server: Server,
    /// The routes of its document.
    pub(crate) operations: BTreeMap<String, Operation>,
}

impl Bed {
    pub(crate) async fn new(site: &Site) -> Self {
        let server = Server::start(site.config()).await;
        let document = server.admin("GET", "/admin/openapi.json", "").await.json();
        let operations = operations(&document);
        Self { server, operations }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.handle.admin_addr
    }

    async fn ask(&self, (id, address, body): Example, token: Option<&str>) -> Answer {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let method = self.operations[id].method.clone();
        let path = format!("/{}", address.replace(['{', '}'], ""));
        request(&method, self.address(), &path, &headers, &body_of(body)).await
    }

    async fn issue(&self, scope: &str, expires_in_s: Option<u64>) -> (u64, String) {
        let body = json!({ "label": "a test", "scope": scope, "expires_in_s": expires_in_s });
        let issued = self
            .server
            .admin("POST", "/admin/tokens", &body.to_string())
            .await;
        let issued = issued.json();
        (
            issued["id"].as_u64().unwrap(),
            issued["token"].as_str().unwrap().to_owned(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_for_the_token_that_it_says() {
    let site = Site::new("matrix");
    let bed = Bed::new(&site).await;
    let known: BTreeSet<&str> = EXAMPLES.iter().map(|(id, ..)| *id).collect();
    let told: BTreeSet<&str> = bed.operations.keys().map(String::as_str).collect();
    assert_eq!(known, told, "every route needs an example here");

    let (_, worker) = Worker::join(bed.server.public(), None).await;
    let worker = Digest(worker.0).to_string();
    let (id, revoked) = bed.issue("admin", None).await;
    bed.server
        .admin("DELETE", &format!("/admin/tokens/{id}"), "")
        .await;
    let (_, expired) = bed.issue("admin", Some(1)).await;
    let mut by_scope = BTreeMap::new();
    for scope in SCOPES {
        by_scope.insert(scope, bed.issue(scope, None).await.1);
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    for example in EXAMPLES {
        let (id, address, _) = example;
        let operation = &bed.operations[id];
        assert!(
            is_of(address, &operation.path),
            "{address} is not of {}",
            operation.path
        );
        let strangers = [
            ("none", None),
            ("worker token", Some(&worker)),
            ("revoked", Some(&revoked)),
            ("expired", Some(&expired)),
        ];
        for (what, token) in strangers {
            let answer = bed.ask(example, token.map(String::as_str)).await;
            assert_eq!(
                answer.problem(),
                (401, "unauthorized".to_owned()),
                "{id}, {what}"
            );
            assert!(operation.statuses.contains(&401), "{id} does not say so");
        }
        let needed = SCOPES
            .iter()
            .position(|scope| *scope == operation.scope)
            .unwrap();
        if let Some(less) = needed.checked_sub(1) {
            let answer = bed.ask(example, Some(&by_scope[SCOPES[less]])).await;
            assert_eq!(answer.problem(), (403, "wrong_scope".to_owned()), "{id}");
            assert!(operation.statuses.contains(&403), "{id} does not say so");
        }
    }
    // Nothing of that did anything.
    assert_eq!(
        bed.server.admin("GET", "/admin/runs", "").await.json(),
        json!([])
    );
    bed.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_does_what_it_says_with_exactly_its_scope() {
    let site = Site::new("matrix-admin");
    let bed = Bed::new(&site).await;
    let mut by_scope = BTreeMap::new();
    for scope in SCOPES {
        by_scope.insert(scope, bed.issue(scope, None).await.1);
    }
    let mut worker = None;
    for (id, address, body) in EXAMPLES {
        let operation = &bed.operations[id];
        let run = bed.server.get("/api/runs/digits").await;
        let run = if run.status == 200 {
            run.json()
        } else {
            Value::Null
        };
        let mut address = address.to_owned();
        let workers = bed.server.admin("GET", "/admin/workers", "").await.json();
        for (word, value) in [
            ("{worker}", &workers["workers"][0]["worker_id"]),
            ("{identity}", &workers["workers"][0]["identity"]),
            ("{params}", &run["params_digest"]),
            ("{dataset}", &run["dataset"]),
            ("{version}", &run["version"]),
            ("{token}", &json!(1)),
        ] {
            let value = value.as_str().map_or(value.to_string(), ToOwned::to_owned);
            address = address.replace(word, &value);
        }
        let address: &'static str = address.leak();
        let answer = bed
            .ask(
                (id, address, body),
                Some(&by_scope[operation.scope.as_str()]),
            )
            .await;
        let expected = operation
            .statuses
            .iter()
            .copied()
            .find(|status| *status < 300);
        assert_eq!(
            Some(answer.status),
            expected,
            "{id} at {address}: {}",
            answer.text()
        );
        if id == "start_run" && worker.is_none() {
            // Work, so that there are versions and snapshots.
            bed.server
                .run_until("digits", |run| run["phase"] == "running")
                .await;
            await_snapshots(&bed, 1).await;
            let (mut joined, _) = Worker::join(bed.server.public(), None).await;
            joined.work_for(8).await;
            worker = Some(joined);
        }
        if id == "pause_run" {
            await_snapshots(&bed, 2).await;
        }
    }
    bed.server.stop().await;
}

async fn await_snapshots(bed: &Bed, n: usize) {
    for _ in 0..500 {
        let listed = bed
            .server
            .admin("GET", "/admin/runs/digits/snapshots", "")
            .await
            .json();
        if listed.as_array().unwrap().len() >= n {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there never were {n} snapshots");
}

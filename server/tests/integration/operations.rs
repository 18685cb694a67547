//! What ships for operators fits the server.

use std::collections::BTreeSet;

use serde_json::Value;
use tabswarm_protocol::server::{Lease, Verdict};
use tabswarm_protocol::{ClientMessage, ServerMessage};

use crate::durability::finish;
use crate::support::worker::Worker;
use crate::support::{Server, Site, run_toml};

const DASHBOARD: &str = include_str!("../../../docs/operations/grafana.json");
const ALERTS: &str = include_str!("../../../docs/operations/alerts.yaml");

/// What makes a run one whose updates may be stale. All of its batches are of the same size.
const ASYNC: &str = "sync = { mode = \"async\", staleness_max = 10_000 }
numeric = { reproducible = false }
[train]
epochs = 2000
micro_batch = 2
global_batch = 4
";

/// Names of metrics in a text; each begins with the prefix of all.
fn metrics(text: &str) -> BTreeSet<&str> {
    let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.match_indices("tabswarm_")
        .map(|(at, _)| {
            let name = &text[at..];
            let end = name.find(|c| !in_name(c)).unwrap_or(name.len());
            &name[..end]
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_name_metrics_that_there_are() {
    let site = Site::new("metrics");
    let server = Server::start(site.config()).await;
    let run = run_toml("digits", "");
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    finish(&server).await;
    let run = run_toml("late", ASYNC);
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let page = server.admin("GET", "/metrics", "").await.text();
    server.stop().await;
    // A name without a sample would be as good as none.
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let exposed: BTreeSet<&str> = samples.flat_map(metrics).collect();
    let typed = page.lines().filter(|line| line.starts_with("# TYPE "));
    let families: BTreeSet<_> = exposed
        .iter()
        .map(
            |name| match name.strip_prefix("tabswarm_gradient_staleness_steps") {
                Some("_bucket" | "_sum" | "_count") => "tabswarm_gradient_staleness_steps",
                _ => name,
            },
        )
        .collect();
    assert_eq!(typed.flat_map(metrics).collect::<BTreeSet<_>>(), families);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let shown: BTreeSet<&str> = expressions.iter().flat_map(|text| metrics(text)).collect();
    let alarmed: Vec<&str> = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "))
        .collect();
    assert!(alarmed.len() >= 10, "{alarmed:?}");
    for name in alarmed
        .iter()
        .flat_map(|text| metrics(text))
        .chain(shown.clone())
    {
        assert!(exposed.contains(name), "{name} is not in\n{page}");
    }
    // And the other way around: what is exposed is shown, but for the version.
    let hidden: Vec<&&str> = exposed.difference(&shown).collect();
    assert_eq!(hidden, [&"tabswarm_build_info"]);
}

/// Takes a lease and does not answer it.
async fn take(worker: &mut Worker) -> Lease {
    let heard = worker.work(|message| matches!(message, ServerMessage::Lease(_)));
    match heard.await {
        Some((ServerMessage::Lease(lease), _)) => lease,
        other => panic!("{other:?}"),
    }
}

/// Answers a lease, and is told that this counts.
async fn answer(worker: &mut Worker, lease: &Lease) {
    let (header, tensor) = worker.update(lease);
    worker
        .say_with(&ClientMessage::Update(header), &tensor)
        .await;
    let heard = worker.work(|message| matches!(message, ServerMessage::Receipt { .. }));
    let Some((ServerMessage::Receipt { verdict, .. }, _)) = heard.await else {
        panic!("the server closed");
    };
    assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_staleness_of_updates_is_exposed() {
    let site = Site::new("staleness");
    let server = Server::start(site.config()).await;
    let run = run_toml("late", ASYNC);
    let created = server.admin("POST", "/admin/runs?start=true", &run).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let (mut early, _) = Worker::join(server.public(), None).await;
    let (mut late, _) = Worker::join(server.public(), None).await;
    let (first, second) = (take(&mut early).await, take(&mut late).await);
    // Versions have come when the late one's update arrives.
    answer(&mut early, &first).await;
    answer(&mut late, &second).await;
    // Nothing more comes while it is looked at.
    let paused = server.admin("POST", "/admin/runs/late/pause", "").await;
    assert_eq!(paused.status, 200, "{}", paused.text());
    server
        .run_until("late", |run| run["phase"] == "paused")
        .await;
    let work = server
        .admin("GET", "/admin/runs/late/work", "")
        .await
        .json();
    let updates: Vec<u64> = work["staleness"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["updates"].as_u64().unwrap())
        .collect();
    let count: u64 = updates.iter().sum();
    assert!(updates[0] >= 1 && count > updates[0], "{updates:?}");
    // What is shown is published a moment after it changes.
    server
        .run_until("late", |run| run["version"] == count)
        .await;
    let page = server.admin("GET", "/metrics", "").await.text();
    let value = |sample: &str| {
        let start = format!("tabswarm_gradient_staleness_steps_{sample} ");
        let found = page.lines().find_map(|line| line.strip_prefix(&start));
        let value = found.unwrap_or_else(|| panic!("no {start} in\n{page}"));
        value.parse::<u64>().unwrap()
    };
    let ends = ["0", "1", "2", "4", "8", "16", "32", "+Inf"];
    let mut so_far = 0;
    for (end, n) in ends.iter().zip(&updates) {
        so_far += n;
        let bucket = value(&format!("bucket{{run=\"late\",le=\"{end}\"}}"));
        assert_eq!(bucket, so_far, "{end}");
    }
    assert_eq!(value("count{run=\"late\"}"), count);
    assert!(value("sum{run=\"late\"}") >= count - updates[0]);
    server.stop().await;
}

//! What ships for operators fits the server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::durability::finish;
use crate::support::{Server, Site, run_toml};

const DASHBOARD: &str = include_str!("../../../docs/operations/grafana.json");
const ALERTS: &str = include_str!("../../../docs/operations/alerts.yaml");

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
    let page = server.admin("GET", "/metrics", "").await.text();
    server.stop().await;
    // A name without a sample would be as good as none.
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let exposed: BTreeSet<&str> = samples.flat_map(metrics).collect();
    let typed = page.lines().filter(|line| line.starts_with("# TYPE "));
    assert_eq!(typed.flat_map(metrics).collect::<BTreeSet<_>>(), exposed);
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

//! Traces: what a collector is sent, and what a program says that was built without them.

use crate::support::Site;
use crate::support::child::{serve_command, told};

#[cfg(feature = "traces")]
mod collector;

#[test]
fn a_collector_that_makes_no_sense_is_refused() {
    let site = Site::new("bad-collector");
    let before = site.listing();
    for (flag, value, part) in [
        ("--traces", "https://collector", "http://127.0.0.1:4318"),
        (
            "--traces",
            "http://collector/v1/traces",
            "http://127.0.0.1:4318",
        ),
        ("--traces-ratio", "2", "from 0 to 1"),
    ] {
        let (code, _, stderr) = told(&serve_command(&site).args([flag, value]).output().unwrap());
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(part) && stderr.contains(flag), "{stderr}");
        assert_eq!(site.listing(), before, "{value}");
    }
}

#[cfg(not(feature = "traces"))]
#[test]
fn a_program_without_traces_says_how_to_build_one() {
    let site = Site::new("no-traces");
    let mut command = serve_command(&site);
    command.args(["--traces", "http://127.0.0.1:4318"]);
    let (code, _, stderr) = told(&command.output().unwrap());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--features traces"), "{stderr}");
    assert!(!site.data_dir().exists());
}

#[cfg(feature = "traces")]
mod with_collector {
    use std::collections::{BTreeMap, BTreeSet};

    use super::collector::{Collector, Span};
    use super::{Site, serve_command, told};
    use crate::support::child::ChildServer;
    use crate::support::run_toml;
    use crate::support::worker::Worker;

    fn start(site: &Site, collector: &str, ratio: &str) -> ChildServer {
        let mut command = serve_command(site);
        command.args(["--traces", collector, "--traces-ratio", ratio]);
        ChildServer::spawn(command)
    }

    /// Creates and starts a run, and has some updates accepted.
    async fn train(site: &Site, server: &ChildServer) {
        let file = site.file("digits.toml", &run_toml("digits", ""));
        let create = ["run", "create", file.to_str().unwrap(), "--start"];
        let (code, _, stderr) = told(&server.verb(site, &create));
        assert_eq!(code, Some(0), "{stderr}");
        let (mut worker, _) = Worker::join(server.public, None).await;
        worker.work_for(8).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_update_is_followed_from_the_socket_to_the_next_version() {
        let site = Site::new("traces");
        let collector = Collector::start();
        let server = start(&site, &collector.url(), "1");
        train(&site, &server).await;
        let (code, log) = server.terminate();
        assert_eq!(code, Some(0), "{log}");
        let (spans, bytes) = collector.spans();
        let by_id: BTreeMap<_, _> = spans.iter().map(|span| (&span.id, span)).collect();
        let names: BTreeSet<&str> = spans.iter().map(|span| &*span.name).collect();
        let expected = [
            "accept",
            "apply",
            "broadcast",
            "decode",
            "request",
            "update",
        ];
        assert_eq!(names, BTreeSet::from(expected), "{spans:?}");
        let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
        let parent = |span: &Span| by_id.get(&span.parent).map(|parent| &*parent.name);
        for (child, of_child) in [
            ("decode", Some("update")),
            ("accept", Some("update")),
            ("apply", Some("accept")),
            ("broadcast", Some("update")),
            ("update", None),
            ("request", None),
        ] {
            for span in of(child) {
                assert_eq!(parent(span), of_child, "{span:?}");
                let is_same_trace = by_id.get(&span.parent).map(|parent| &parent.trace);
                assert!(is_same_trace.is_none_or(|trace| *trace == span.trace));
                assert!(span.ended_ns >= span.began_ns, "{span:?}");
            }
        }
        assert!(of("update").count() >= 8, "{spans:?}");
        assert!(of("apply").count() >= 1, "{spans:?}");
        let routes: BTreeSet<_> = of("request")
            .filter_map(|span| span.attributes.get("http.route"))
            .collect();
        assert!(routes.contains(&"/admin/runs".to_owned()), "{routes:?}");
        // What nobody should learn from a trace.
        let token = std::fs::read(site.data_dir().join("admin-token")).unwrap();
        let token = token.trim_ascii();
        assert!(!bytes.windows(token.len()).any(|part| part == token));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_sent_where_the_share_is_nothing() {
        let site = Site::new("no-share");
        let collector = Collector::start();
        let server = start(&site, &collector.url(), "0");
        train(&site, &server).await;
        assert_eq!(server.terminate().0, Some(0));
        assert_eq!(collector.spans().0, []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_is_not_there_harms_nothing() {
        let site = Site::new("no-collector");
        // Nobody listens there any more.
        let url = Collector::start().url();
        let server = start(&site, &url, "1");
        train(&site, &server).await;
        assert_eq!(server.terminate().0, Some(0));
    }
}

//! Inputs that are wrong: each has one clear message with its place and a remedy, and leaves everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::child::{tabswarm, told};
use crate::support::http::request;
use crate::support::{Server, Site, run_toml};
use serde_json::Value;

mod bad_data;

use bad_data::Data;

/// What can be asked for, and must not change.
const LISTS: [&str; 7] = [
    "runs", "archive", "datasets", "tokens", "bans", "workers", "credits",
];
/// Most bytes of an upload here.
const MAX_UPLOAD: u64 = 1_000;

/// A server with a run that rests, and all that it had before anything was sent.
struct Bed {
    site: Site,
    server: Server,
    files: BTreeMap<PathBuf, Vec<u8>>,
    lists: Vec<Value>,
    cases: usize,
    /// What was not as it should be.
    wrong: Vec<String>,
}

impl Bed {
    async fn new(name: &str, data: &[(String, Vec<u8>)]) -> Self {
        let site = Site::new(name);
        for (path, bytes) in data {
            let path = site.datasets_dir().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut config = site.config();
        config.max_upload_bytes = MAX_UPLOAD;
        let server = Server::start(config).await;
        let rests = run_toml("rests", "");
        let created = server.admin("POST", "/admin/runs", &rests).await;
        assert_eq!(created.status, 201, "{}", created.text());
        // The run's event file is made by a thread that nobody waits for.
        let events = "tensorboard/rests/events.out.tfevents.0000000000.tabswarm";
        let events = site.data_dir().join(events);
        for _ in 0..500 {
            if events.exists() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (files, lists) = (site.listing(), lists(&server).await);
        Self {
            site,
            server,
            files,
            lists,
            cases: 0,
            wrong: Vec::new(),
        }
    }

    /// Sends a request and looks around afterwards.
    async fn refuses(
        &mut self,
        (method, path, body): (&str, &str, &str),
        (status, code): (u16, &str),
        parts: &[&str],
    ) {
        let authorization = format!("Bearer {}", self.server.handle.admin_token.reveal());
        let headers = [("authorization", authorization.as_str())];
        let address = self.server.handle.admin_addr;
        let answer = request(method, address, path, &headers, body).await;
        let mut say = |wrong: String| {
            let what = format!("{method} {path} {:.300}: {wrong}", answer.text());
            self.wrong.push(what);
        };
        if answer.problem() != (status, code.to_owned()) {
            say(format!("not {status} {code}"));
        }
        if let Some(part) = missing(&answer.detail(), parts) {
            say(part);
        }
        if lists(&self.server).await != self.lists {
            say("the lists changed".to_owned());
        }
        let files = self.site.listing();
        for (path, content) in &files {
            if self.files.get(path) != Some(content) {
                say(format!("left {}", path.display()));
            }
        }
        if files.len() < self.files.len() {
            say("removed something".to_owned());
        }
        self.cases += 1;
    }

    async fn end(self, least: usize) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert!(self.cases >= least, "{} cases", self.cases);
        let health = self.server.admin("GET", "/admin/health", "").await;
        assert_eq!(health.json()["status"], "ok");
        self.server.stop().await;
    }
}

async fn lists(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for list in LISTS {
        let listed = server.admin("GET", &format!("/admin/{list}"), "").await;
        assert_eq!(listed.status, 200, "{list}: {}", listed.text());
        all.push(listed.json());
    }
    all
}

/// What a message lacks that should have all the parts and be read at once.
fn missing(detail: &str, parts: &[&str]) -> Option<String> {
    let lacks = parts.iter().find(|part| !detail.contains(**part));
    let fits = (20..1_000).contains(&detail.chars().count());
    match lacks {
        Some(part) => Some(format!("it should contain {part:?}")),
        None if fits => None,
        None => Some("it is too short or too long".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_run_files() {
    let mut bed = Bed::new("bad-run-files", &[]).await;
    let edits: &[(&str, &str, &str)] = &[
        ("name = \"digits\"", "name = \"../digits\"", "name"),
        ("name = \"digits\"", "name = \"a/../../b\"", "name"),
        ("name = \"digits\"", "name = \"\"", "name"),
        ("name = \"digits\"", "name = \"a\\u0000b\"", "name"),
        ("name = \"digits\"\n", "", "name"),
        ("seed = 7", "seed = -7", "seed"),
        ("seed = 7", "seed = 1e99", "seed"),
        ("seed = 7", "seed = 7\nseed = 8", "seed"),
        ("seed = 7", "seed = 7\nsede = 8", "sede"),
        ("seed = 7", "seed = [[[[[[[[[[[[[[[[[[", "line 3"),
        ("path = \"tiny\"", "path = \"/etc/passwd\"", "data.path"),
        ("path = \"tiny\"", "path = \"../data\"", "data.path"),
        ("path = \"tiny\"", "path = \"tiny/../../data\"", "data.path"),
        ("format = \"idx\"", "format = \"pickle\"", "pickle"),
        ("units = 4", "units = 0", "model.layers[1].units"),
        ("units = 4", "units = 99999999999", "model.layers[1].units"),
        ("units = 2", "units = 1", "model"),
        ("input = [2, 3]", "input = []", "model.input"),
        ("input = [2, 3]", "input = [2, 65535, 65535]", "model.input"),
        ("\"relu\"", "\"rellu\"", "rellu"),
        ("\"softmax_cross_entropy\"", "\"hinge\"", "hinge"),
        ("epochs = 20", "epochs = 0", "train.epochs"),
        ("micro_batch = 2", "micro_batch = 3", "train"),
        (
            "learning_rate = 0.01",
            "learning_rate = nan",
            "learning_rate",
        ),
        (
            "learning_rate = 0.01",
            "learning_rate = -1",
            "learning_rate",
        ),
        ("kind = \"adam\"", "kind = \"magic\"", "magic"),
    ];
    for (from, to, part) in edits {
        let text = run_toml("digits", "");
        assert!(text.contains(from), "{from}");
        let text = text.replace(from, to);
        let file = bed.site.file("run.toml", &text);
        bed.files = bed.site.listing();
        bed.refuses(
            ("POST", "/admin/runs", &text),
            (422, "bad_run_file"),
            &[part],
        )
        .await;
        // What is checked without a server, too.
        let checked = tabswarm().args(["run", "check"]).arg(&file).output();
        let (code, stdout, stderr) = told(&checked.unwrap());
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{to}");
        assert_eq!(missing(&stderr, &[part]), None, "{to}: {stderr}");
        assert_eq!(bed.site.listing(), bed.files, "{to}");
    }
    let long = format!("{}# {}\n", run_toml("digits", ""), "x".repeat(64 << 10));
    bed.refuses(("POST", "/admin/runs", &long), (413, "too_large"), &[])
        .await;
    let taken = run_toml("rests", "");
    let wanted = ("POST", "/admin/runs?start=true", &*taken);
    bed.refuses(wanted, (409, "name_taken"), &["another name"])
        .await;
    bed.end(28).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_data_sets() {
    let all = bad_data::all();
    let files: Vec<_> = all.iter().flat_map(|data| data.files.clone()).collect();
    let mut bed = Bed::new("bad-data", &files).await;
    for Data { run, parts, .. } in &all {
        for path in ["/admin/runs", "/admin/runs?start=true"] {
            bed.refuses(("POST", path, run), (422, "bad_dataset"), parts)
                .await;
        }
        // What is prepared without a server, too.
        let file = bed.site.file("run.toml", run);
        bed.files = bed.site.listing();
        let mut command = tabswarm();
        command.args(["data", "inspect"]).arg(&file);
        command.arg("--datasets-dir").arg(bed.site.datasets_dir());
        let (code, stdout, stderr) = told(&command.output().unwrap());
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{parts:?}");
        assert_eq!(missing(&stderr, parts), None, "{stderr}");
        assert_eq!(bed.site.listing(), bed.files, "{parts:?}");
    }
    assert!(all.len() >= 25, "{}", all.len());
    bed.end(50).await;
}

/// Uploads: path, body, and the answer.
fn uploads() -> Vec<(&'static str, String, u16, &'static str)> {
    let long = "x".repeat(usize::try_from(MAX_UPLOAD).unwrap() + 1);
    let bad_names = [
        "..%2firis/iris.csv",
        "iris/..%2f..%2fledger.db",
        "iris/.hidden",
        "%2e%2e/x",
        "iris/%2fetc%2fpasswd",
        "iris/a%00b",
        "iris/a%5cb",
    ];
    let named = |name| (name, "x".to_owned(), 422, "bad_name");
    let mut all = vec![
        ("iris/iris.csv", long, 413, "too_large"),
        ("iris/%ff", "x".to_owned(), 400, "bad_path"),
    ];
    all.extend(bad_names.map(named));
    all
}

/// Orders: method, path, body, and the answer.
type Order = (
    &'static str,
    &'static str,
    &'static str,
    (u16, &'static str),
);

const ORDERS: [Order; 15] = [
    (
        "DELETE",
        "/admin/datasets/..%2fdata",
        "",
        (404, "not_found"),
    ),
    ("DELETE", "/admin/datasets/tiny", "", (409, "in_use")),
    (
        "POST",
        "/admin/tokens",
        r#"{"label":"","scope":"read"}"#,
        (422, "bad_name"),
    ),
    (
        "POST",
        "/admin/tokens",
        r#"{"label":"x","scope":"root"}"#,
        (400, "bad_body"),
    ),
    (
        "POST",
        "/admin/tokens",
        r#"{"label":"x","scope":"read","expires_in_s":0}"#,
        (422, "bad_body"),
    ),
    ("POST", "/admin/tokens", "{", (400, "bad_body")),
    (
        "PUT",
        "/admin/bans/0000000000000000000000000000000000000000000000000000000000000000",
        r#"{"reason":"x","lasts_s":0}"#,
        (422, "bad_body"),
    ),
    (
        "PUT",
        "/admin/bans/..%2fledger",
        r#"{"reason":"x"}"#,
        (400, "bad_digest"),
    ),
    (
        "POST",
        "/admin/runs/rests/fork?name=..%2fx&at=0",
        "",
        (422, "bad_run_file"),
    ),
    (
        "POST",
        "/admin/runs/rests/fork?name=rests&at=0",
        "",
        (409, "name_taken"),
    ),
    (
        "POST",
        "/admin/runs/rests/rollback?to=99",
        "",
        (404, "no_such_version"),
    ),
    (
        "POST",
        "/admin/runs/rests/rollback?to=x",
        "",
        (400, "bad_query"),
    ),
    (
        "POST",
        "/admin/archive/..%2fruns%2frests/restore",
        "",
        (404, "not_found"),
    ),
    ("POST", "/admin/runs?strat=true", "", (400, "bad_query")),
    (
        "GET",
        "/admin/runs/rests/snapshots/..%2f..%2fhosting.json",
        "",
        (400, "bad_path"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_uploads_and_orders() {
    let mut bed = Bed::new("bad-orders", &[]).await;
    for (path, body, status, code) in uploads() {
        let path = format!("/admin/datasets/{path}");
        bed.refuses(("PUT", &path, &body), (status, code), &[])
            .await;
    }
    for (method, path, body, answer) in ORDERS {
        bed.refuses((method, path, body), answer, &[]).await;
    }
    let other = run_toml("rests", "").replace("units = 4", "units = 5");
    let change = ("PUT", "/admin/runs/rests/run.toml", &*other);
    bed.refuses(change, (422, "bad_run_file"), &["model"]).await;
    bed.end(25).await;
}

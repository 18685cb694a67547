//! A server in this process, data files, HTTP, and a worker made by hand.

pub(crate) mod child;
pub(crate) mod http;
pub(crate) mod s3;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tabswarm_server::{Config, Handle, serve};

use http::Answer;

/// Training samples of [`Site::new`]'s data set.
pub(crate) const TRAIN_SAMPLES: u32 = 44;

/// A folder with a data set and room for a server's data, removed at the end.
#[derive(Debug)]
pub(crate) struct Site {
    root: PathBuf,
}

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{name}-{}-{unique}", std::process::id());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        drop(std::fs::remove_dir_all(&root));
        let site = Self { root };
        write_dataset(&site.dataset(), TRAIN_SAMPLES, 10);
        site
    }

    pub(crate) fn dataset(&self) -> PathBuf {
        self.datasets_dir().join("tiny")
    }

    pub(crate) fn datasets_dir(&self) -> PathBuf {
        self.root.join("datasets")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn config(&self) -> Config {
        Config::local(self.data_dir(), self.datasets_dir())
    }

    /// All that lies in the site, also in the server's data directory: every path, with the content of files. That of the
    /// ledger is left out, in which orders are noted, even those that are refused, and that of event files, which are
    /// written a moment later.
    pub(crate) fn listing(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let grows = path.file_name().is_some_and(|name| {
                    let name = name.to_string_lossy();
                    name.starts_with("ledger.db") || name.starts_with("events.out.tfevents")
                });
                if path.is_dir() {
                    folders.push(path.clone());
                    all.insert(path, Vec::new());
                } else if grows {
                    all.insert(path, Vec::new());
                } else {
                    let content = std::fs::read(&path).unwrap();
                    all.insert(path, content);
                }
            }
        }
        all
    }

    /// A file of the site with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.root.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.root));
    }
}

/// An IDX file of bytes.
pub(crate) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

fn write_dataset(folder: &Path, train: u32, test: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for (prefix, samples) in [("train", train), ("t10k", test)] {
        let pixels: Vec<u8> = (0..samples * 6)
            .map(|n| (n * 37 % 251).to_le_bytes()[0])
            .collect();
        let labels: Vec<u8> = (0..samples).map(|n| (n % 2).to_le_bytes()[0]).collect();
        let put = |kind: &str, bytes| {
            std::fs::write(folder.join(format!("{prefix}-{kind}-ubyte")), bytes)
        };
        put("images-idx3", idx(&[samples, 2, 3], &pixels)).unwrap();
        put("labels-idx1", idx(&[samples], &labels)).unwrap();
    }
}

/// A run of 120 steps over the site's data set: 6 an epoch, the last one half as large.
pub(crate) fn run_toml(name: &str, extra: &str) -> String {
    let mut text = format!("name = \"{name}\"\nseed = 7\n");
    text.push_str("data = { format = \"idx\", path = \"tiny\" }\n");
    text.push_str("optimizer = { kind = \"adam\", learning_rate = 0.01 }\n");
    text.push_str("model = { input = [2, 3], loss = \"softmax_cross_entropy\", layers = [\n");
    text.push_str("  { kind = \"flatten\" }, { kind = \"dense\", units = 4 }, { kind = \"relu\" }, { kind = \"dense\", units = 2 },\n] }\n");
    if !extra.contains("[train]") {
        text.push_str("train = { epochs = 20, micro_batch = 2, global_batch = 8 }\n");
    }
    writeln!(text, "{extra}").unwrap();
    text
}

/// A server in this process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) handle: Handle,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        Self {
            handle: serve(config).await.unwrap(),
        }
    }

    pub(crate) fn public(&self) -> SocketAddr {
        self.handle.public_addr
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        http::request("GET", self.handle.public_addr, path, &[], "").await
    }

    pub(crate) async fn admin(&self, method: &'static str, path: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.handle.admin_token.reveal());
        let headers = [("authorization", authorization.as_str())];
        http::request(method, self.handle.admin_addr, path, &headers, body).await
    }

    /// A run's status.
    pub(crate) async fn run(&self, name: &str) -> Value {
        self.get(&format!("/api/runs/{name}")).await.json()
    }

    /// Waits until a run's status is as wished: the status is published a moment after it changes.
    pub(crate) async fn run_until(&self, name: &str, is_wished: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let status = self.run(name).await;
            if is_wished(&status) {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the run did not come so far: {}", self.run(name).await);
    }

    pub(crate) async fn stop(self) {
        self.handle.shutdown().await.unwrap();
    }
}

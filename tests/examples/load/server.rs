//! The real server, as a process of its own, and what the system says of it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::task::spawn_blocking;

/// A server that takes longer to start has failed.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Clock ticks a second in /proc, on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A running `tabswarm serve`, killed at the end.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) public: SocketAddr,
    admin: SocketAddr,
    token: String,
}

impl Server {
    /// Starts it on free ports of the loopback, with a fresh data directory.
    pub(crate) fn start(
        binary: &Path,
        datasets: &Path,
        folder: &Path,
        max_workers: usize,
    ) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let data_dir = folder.join("data");
        let log = folder.join("server.log");
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--max-workers", &max_workers.to_string()])
            .args(["--max-connections", &(max_workers + 64).to_string()])
            .arg("--data-dir")
            .arg(&data_dir)
            .arg("--datasets-dir")
            .arg(datasets)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server can't be started")?;
        let stderr = child.stderr.take().context("the server has no log")?;
        let (found, listening) = sync_channel(1);
        let mut copy = File::create(&log)?;
        let read = move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // It is for people who look for the reason of a failure.
                writeln!(copy, "{line}").ok();
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                let address = |key: &str| event[key].as_str().and_then(|text| text.parse().ok());
                if let (Some(public), Some(admin)) = (address("public_addr"), address("admin_addr"))
                {
                    // Nobody listens after the first time.
                    found.try_send((public, admin)).ok();
                }
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(read)?;
        let addresses = listening.recv_timeout(START_LIMIT);
        let (public, admin) = addresses
            .with_context(|| format!("the server did not start; see {}", log.display()))?;
        let token: PathBuf = data_dir.join("admin-token");
        let token = fs::read_to_string(token).context("the server has no token")?;
        Ok(Self {
            child,
            public,
            admin,
            token: token.trim().to_owned(),
        })
    }

    /// Creates a run.
    pub(crate) async fn create(&self, run_file: String, start: bool) -> Result<()> {
        let url = format!("http://{}/admin/runs?start={start}", self.admin);
        let bearer = format!("Bearer {}", self.token);
        let posted = spawn_blocking(move || {
            ureq::post(&url)
                .header("authorization", &bearer)
                .config()
                .http_status_as_error(false)
                .build()
                .send(&run_file)
        });
        let mut answer = posted.await?.context("the server does not answer")?;
        let is_created = answer.status().is_success();
        let text = answer.body_mut().read_to_string()?;
        anyhow::ensure!(is_created, "the run was not created: {text}");
        Ok(())
    }

    /// A public resource.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("http://{}{path}", self.public);
        let got = spawn_blocking(move || -> Result<Vec<u8>> {
            Ok(ureq::get(&url).call()?.body_mut().read_to_vec()?)
        });
        got.await?.with_context(|| format!("cannot get {path}"))
    }

    /// A run's status.
    pub(crate) async fn status(&self, run: &str) -> Result<Value> {
        Ok(serde_json::from_slice(
            &self.get(&format!("/api/runs/{run}")).await?,
        )?)
    }

    /// Seconds of CPU time so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .context("CPU time needs Linux's /proc")?;
        // The program's name may hold anything; it ends with the last parenthesis.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS_PER_S)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

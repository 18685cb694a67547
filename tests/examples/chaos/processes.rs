//! The real processes: a server that can be killed, and workers.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// A server that takes longer to start has failed; what is asked of it is far less.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Workers leave soon after their run has ended.
const LEAVE_LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(2);

/// What is started.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) server: PathBuf,
    pub(crate) worker: PathBuf,
    pub(crate) datasets: PathBuf,
}

/// What starting servers said of what they found.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recoveries {
    /// Steps applied again.
    pub(crate) replayed: u64,
    /// Starts that found half-written entries at the end of the log.
    pub(crate) torn_tails: u64,
    /// Starts that found damage, or a run that they could not restore.
    pub(crate) alarms: u64,
}

impl Recoveries {
    pub(crate) fn add(&mut self, other: &Self) {
        self.replayed += other.replayed;
        self.torn_tails += other.torn_tails;
        self.alarms += other.alarms;
    }

    fn note(&mut self, event: &Value) {
        let message = event["message"].as_str().unwrap_or_default();
        if message == "run recovered" {
            self.replayed += event["steps"].as_u64().unwrap_or_default();
        }
        self.torn_tails += u64::from(event["torn_bytes"].is_u64());
        self.alarms += u64::from(event["level"] == "ERROR");
    }
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    public: SocketAddr,
    admin: SocketAddr,
}

/// A running `tabswarm serve`, killed at the end.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    spawned: Instant,
    token: PathBuf,
    log: PathBuf,
    listening: Receiver<Addresses>,
    addresses: Option<Addresses>,
    reader: Option<JoinHandle<Recoveries>>,
}

impl Server {
    pub(crate) fn start(binaries: &Binaries, folder: &Path) -> Result<Self> {
        let log = folder.join("server.log");
        let data_dir = folder.join("data");
        let mut command = Command::new(&binaries.server);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--data-dir")
            .arg(&data_dir)
            .arg("--datasets-dir")
            .arg(&binaries.datasets)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let spawned = Instant::now();
        let mut child = command.spawn().context("the server can't be started")?;
        let stderr = child.stderr.take().context("the server has no log")?;
        let (found, listening) = sync_channel(1);
        let copy = File::options().create(true).append(true).open(&log)?;
        let read = move || read_log(BufReader::new(stderr), copy, &found);
        let reader = thread::Builder::new().name("log".to_owned()).spawn(read)?;
        Ok(Self {
            child,
            spawned,
            token: data_dir.join("admin-token"),
            log,
            listening,
            addresses: None,
            reader: Some(reader),
        })
    }

    /// Waits until it serves its runs; how long that took from its start.
    pub(crate) fn wait_until_ready(&mut self) -> Result<Duration> {
        let addresses = self.listening.recv_timeout(START_LIMIT);
        self.addresses =
            Some(addresses.with_context(|| {
                format!("the server did not start; see {}", self.log.display())
            })?);
        let url = format!("{}/healthz", self.url()?);
        while ureq::get(&url).call().is_err() {
            ensure!(
                self.spawned.elapsed() < START_LIMIT,
                "the server does not answer"
            );
            thread::sleep(POLL);
        }
        Ok(self.spawned.elapsed())
    }

    fn addresses(&self) -> Result<Addresses> {
        self.addresses.context("the server is not ready")
    }

    pub(crate) fn public_address(&self) -> Result<SocketAddr> {
        Ok(self.addresses()?.public)
    }

    pub(crate) fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.public_address()?))
    }

    /// Creates and starts a run.
    pub(crate) fn create(&self, run_file: &str) -> Result<()> {
        let token = fs::read_to_string(&self.token).context("the server has no token")?;
        let url = format!("http://{}/admin/runs?start=true", self.addresses()?.admin);
        ureq::post(&url)
            .header("authorization", &format!("Bearer {}", token.trim()))
            .send(run_file)
            .context("the run was not created")?;
        Ok(())
    }

    /// A run's status.
    pub(crate) fn status(&self, run: &str) -> Result<Value> {
        let url = format!("{}/api/runs/{run}", self.url()?);
        let mut answer = ureq::get(&url)
            .call()
            .context("the server does not answer")?;
        let text = answer.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<Recoveries> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "the server ended by itself ({status}); see {}",
                self.log.display()
            );
        }
        self.child.kill().context("the server can't be killed")?;
        self.ended()
    }

    /// Asks it to end, as service managers do.
    pub(crate) fn terminate(&mut self) -> Result<Recoveries> {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(asked.success(), "the server can't be told to end");
        let counts = self.ended()?;
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "the server ended with {status}; see {}",
            self.log.display()
        );
        Ok(counts)
    }

    fn ended(&mut self) -> Result<Recoveries> {
        self.child.wait()?;
        let reader = self.reader.take().context("the server has ended already")?;
        reader
            .join()
            .map_err(|_panic| anyhow::anyhow!("the log's reader has failed"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has mostly ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads a server's log to its end.
fn read_log(
    log: impl std::io::BufRead,
    mut copy: File,
    listening: &SyncSender<Addresses>,
) -> Recoveries {
    let mut counts = Recoveries::default();
    for line in log.lines().map_while(Result::ok) {
        // It is for people who look for the reason of a failure.
        writeln!(copy, "{line}").ok();
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        counts.note(&event);
        let address = |key: &str| event[key].as_str().and_then(|text| text.parse().ok());
        if let (Some(public), Some(admin)) = (address("public_addr"), address("admin_addr")) {
            // Nobody waits for a server that was killed at once.
            listening.try_send(Addresses { public, admin }).ok();
        }
    }
    counts
}

/// A running `tabswarm-worker`, killed at the end.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub(crate) fn start(binaries: &Binaries, url: &str, run: &str, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        let child = Command::new(&binaries.worker)
            .args(["--server", url, "--run", run, "--lanes", "1"])
            .args(["--exit-when-done", "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("a worker can't be started")?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    pub(crate) fn must_be_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("a worker ended ({status}); see {}", self.log.display()),
        }
    }

    /// Waits until it leaves.
    pub(crate) fn wait_for_success(mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("a worker ended ({status}); see {}", self.log.display()),
                None if started.elapsed() > LEAVE_LIMIT => {
                    bail!("a worker does not leave; see {}", self.log.display())
                }
                None => thread::sleep(POLL * 10),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

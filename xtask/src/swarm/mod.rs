//! A server and native workers on this machine, and what is asked of them.

mod progress;

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::http::Client;
use crate::service::Service;
use crate::workspace::Workspace;

pub(crate) use self::progress::Progress;

/// Holds the administrator's token; without it the server keeps one in its data folder.
const TOKEN_VARIABLE: &str = "TABSWARM_ADMIN_TOKEN";
/// A start reads snapshots and compresses the page, which takes seconds at most.
const START_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A run file's text and the name in it.
#[derive(Debug)]
pub(crate) struct RunFile {
    pub(crate) name: String,
    text: String,
}

impl RunFile {
    /// Reads the name only: whether the rest is right, the server says.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the run file {shown}"))?;
        let table: toml::Table = text
            .parse()
            .with_context(|| format!("{shown} is not TOML"))?;
        let name = table.get("name").and_then(toml::Value::as_str);
        let name = name.with_context(|| format!("{shown} has no name: add name = \"…\" on top"))?;
        Ok(Self {
            name: name.to_owned(),
            text,
        })
    }
}

/// Fails early, before minutes of building, if the server could not listen.
pub(crate) fn require_free_ports(port: u16) -> Result<()> {
    for (port, use_) in [(port, "the page"), (port + 1, "administration")] {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {port}, wanted for {use_}, is in use; end the program that has it or choose \
                 another with --port {}",
                if port >= 60_000 { 8090 } else { port + 1000 }
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on 127.0.0.1:{port}"));
            }
        }
    }
    Ok(())
}

/// Builds the server and the worker as users build them, and nothing else: this is the first wait of newcomers.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    command::run(
        workspace
            .cargo()
            .args(["build", "--release", "--bins"])
            .args([
                "--package",
                "tabswarm-server",
                "--package",
                "tabswarm-client-native",
            ]),
    )
}

/// A server and its workers. Workers are declared first: they are dropped, hence ended,
/// before the server.
#[derive(Debug)]
pub(crate) struct Swarm {
    workers: Vec<Service>,
    server: Service,
    public: Client,
    admin: Client,
    binaries: PathBuf,
    data_dir: PathBuf,
    port: u16,
}

impl Swarm {
    /// Starts the server and waits until it answers.
    pub(crate) fn start(
        workspace: &Workspace,
        data_dir: &Path,
        port: u16,
        interrupted: &AtomicBool,
    ) -> Result<Self> {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot create {}", data_dir.display()))?;
        let binaries = workspace.target().join("release");
        let mut serve = Command::new(binaries.join("tabswarm"));
        serve
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{}", port + 1)])
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--datasets-dir")
            .arg(workspace.datasets());
        let mut server = Service::start("server", &mut serve, &data_dir.join("server.log"))?;
        let public = Client::new(port, None);
        wait_until_healthy(&mut server, &public, interrupted)?;
        let admin = Client::new(port + 1, Some(admin_token(data_dir)?));
        Ok(Self {
            workers: Vec::new(),
            server,
            public,
            admin,
            binaries,
            data_dir: data_dir.to_owned(),
            port,
        })
    }

    /// Creates the run, which rests.
    pub(crate) fn create_run(&self, run_file: &RunFile) -> Result<()> {
        let created = self
            .admin
            .post("/admin/runs", "application/toml", &run_file.text)?;
        created
            .json()
            .with_context(|| format!("the run {} was not created", run_file.name))?;
        Ok(())
    }

    /// Starts a run that rests, or has it go on.
    pub(crate) fn order(&self, run: &str, verb: &str) -> Result<()> {
        let path = format!("/admin/runs/{run}/{verb}");
        let answer = self.admin.post(&path, "application/json", "")?;
        answer
            .json()
            .with_context(|| format!("the run {run} did not {verb}"))?;
        Ok(())
    }

    /// Creates and starts the run, or takes up the one of that name that the server has.
    pub(crate) fn start_run(&self, run_file: &RunFile) -> Result<()> {
        let name = &run_file.name;
        let known = self.admin.get(&format!("/admin/runs/{name}"))?;
        if known.status == 404 {
            self.create_run(run_file)?;
            return self.order(name, "start");
        }
        let progress = Progress::read(&known.json()?)?;
        println!(
            "{} holds {name} at step {}: resuming it as it was created (another --data-dir starts afresh)",
            self.data_dir.display(),
            progress.version
        );
        let verb = match progress.phase.as_str() {
            "created" => "start",
            "paused" => "resume",
            "stopped" => bail!("{name} was stopped for good; choose another --data-dir"),
            _ => return Ok(()),
        };
        self.order(name, verb)
    }

    /// Starts a native worker on that run; it ends when the run does.
    pub(crate) fn add_worker(&mut self, number: u16, run: &str) -> Result<()> {
        let mut worker = Command::new(self.binaries.join("tabswarm-worker"));
        worker
            .args(["--server", &format!("http://127.0.0.1:{}", self.port)])
            .args(["--run", run, "--lanes", "1", "--exit-when-done"]);
        let log = self.data_dir.join(format!("worker-{number}.log"));
        let service = Service::start(&format!("worker {number}"), &mut worker, &log)?;
        self.workers.push(service);
        Ok(())
    }

    /// Where the run stands.
    pub(crate) fn progress(&self, run: &str) -> Result<Progress> {
        Progress::read(&self.public.get(&format!("/api/runs/{run}"))?.json()?)
    }

    /// Fails if a process ended that should not have. Workers may end when the run has.
    pub(crate) fn check(&mut self, run_finished: bool) -> Result<()> {
        if let Some(status) = self.server.exit_status()? {
            bail!("the server ended ({status}); {}", self.server.log_tail());
        }
        for worker in &mut self.workers {
            if let Some(status) = worker.exit_status()?
                && !status.success()
                && !run_finished
            {
                bail!("{} ended ({status}); {}", worker.name(), worker.log_tail());
            }
        }
        Ok(())
    }

    /// Ends all processes, the server last so that workers can say goodbye to it.
    pub(crate) fn stop(&mut self) {
        self.workers.iter_mut().for_each(Service::stop);
        self.server.stop();
    }
}

fn wait_until_healthy(
    server: &mut Service,
    public: &Client,
    interrupted: &AtomicBool,
) -> Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = server.exit_status()? {
            bail!("the server did not start ({status}); {}", server.log_tail());
        }
        if public
            .get("/healthz")
            .is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted while the server was starting");
        }
        if start.elapsed() > START_LIMIT {
            bail!(
                "the server does not answer after {} s; {}",
                START_LIMIT.as_secs(),
                server.log_tail()
            );
        }
        thread::sleep(POLL);
    }
}

fn admin_token(data_dir: &Path) -> Result<String> {
    if let Ok(token) = env::var(TOKEN_VARIABLE) {
        return Ok(token);
    }
    let file = data_dir.join("admin-token");
    let token = fs::read_to_string(&file).with_context(|| {
        format!(
            "cannot read the administrator's token in {}",
            file.display()
        )
    })?;
    Ok(token.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_said_with_a_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let message = require_free_ports(port).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("port {port}, wanted for the page, is in use")),
            "{message}"
        );
        assert!(message.contains("--port "), "{message}");
    }

    #[test]
    fn the_shipped_run_has_a_name() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runs/mnist-mlp.toml");
        assert_eq!(RunFile::read(&path).unwrap().name, "mnist-mlp");
    }
}

//! A server and workers of it, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tabswarm_client_native::{
    Backend, Cpu, ServerAddress, Silent, Stop, Summary, WorkerConfig, WorkerError, run_on,
};
use tabswarm_model::digest::Digest;
use tabswarm_server::{Config, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Far beyond what a run takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server with its directories and one run.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) server: Handle,
    run_name: &'static str,
    pub(crate) steps_total: u64,
}

impl Site {
    pub(crate) async fn host(
        folder: tempfile::TempDir,
        run_file: &'static str,
        run_name: &'static str,
        steps_total: u64,
    ) -> Result<Self> {
        let server = tabswarm_server::serve(config(folder.path())).await?;
        let site = Self {
            folder,
            server,
            run_name,
            steps_total,
        };
        site.admin("POST", "/admin/runs?start=true", run_file)
            .await?;
        Ok(site)
    }

    /// An orderly restart; the ports change.
    pub(crate) async fn restart(self) -> Result<Self> {
        let Self { folder, server, .. } = self;
        server.shutdown().await?;
        let server = tabswarm_server::serve(config(folder.path())).await?;
        Ok(Self {
            folder,
            server,
            ..self
        })
    }

    pub(crate) async fn status(&self) -> Result<Value> {
        let path = format!("/admin/runs/{}", self.run_name);
        self.admin("GET", &path, "").await
    }

    pub(crate) async fn admin(
        &self,
        method: &'static str,
        path: &str,
        body: &'static str,
    ) -> Result<Value> {
        let url = format!("http://{}{path}", self.server.admin_addr);
        let bearer = format!("Bearer {}", self.server.admin_token.reveal());
        let text = tokio::task::spawn_blocking(move || -> Result<String> {
            let agent = ureq::agent();
            let mut response = match method {
                "POST" => agent
                    .post(&url)
                    .header("authorization", &bearer)
                    .send(body)?,
                _ => agent.get(&url).header("authorization", &bearer).call()?,
            };
            Ok(response.body_mut().read_to_string()?)
        });
        let text = text.await??;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    pub(crate) async fn version(&self) -> Result<u64> {
        let status = self.status().await?;
        status["version"]
            .as_u64()
            .with_context(|| status.to_string())
    }

    pub(crate) async fn wait_for_version(&self, version: u64) -> Result<()> {
        let started = Instant::now();
        while self.version().await? < version {
            if started.elapsed() > PATIENCE {
                bail!("version {version} was not reached in {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The digest at the end of the run.
    pub(crate) async fn final_digest(&self) -> Result<Digest> {
        self.wait_for_version(self.steps_total).await?;
        let status = self.status().await?;
        assert_eq!(status["phase"], "finished", "{status}");
        let hex = status["params_digest"].as_str().context("a digest")?;
        Digest::from_hex(hex).context("64 hexadecimal digits")
    }

    /// The evaluation of the final parameters.
    pub(crate) async fn final_evaluation(&self) -> Result<Value> {
        let started = Instant::now();
        loop {
            let status = self.status().await?;
            if status["eval"]["version"] == self.steps_total {
                return Ok(status["eval"].clone());
            }
            if started.elapsed() > PATIENCE {
                bail!("the final parameters were not evaluated: {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn worker(&self, lanes: u16, exit_when_done: bool) -> Result<Worker> {
        self.worker_on(lanes, exit_when_done, Arc::new(Cpu))
    }

    /// A worker whose lanes compute with a backend.
    pub(crate) fn worker_on(
        &self,
        lanes: u16,
        exit_when_done: bool,
        backend: Arc<dyn Backend>,
    ) -> Result<Worker> {
        let server: ServerAddress = format!("http://{}", self.server.public_addr).parse()?;
        let config = WorkerConfig {
            lanes,
            exit_when_done,
            ..WorkerConfig::new(server)
        };
        let (finish, finished) = oneshot::channel::<()>();
        let (stop, stops) = mpsc::channel(1);
        tokio::spawn(async move {
            if finished.await.is_ok() {
                stop.send(Stop::Finish).await.ok();
            } else {
                // The worker goes on until its run is done.
                stop.closed().await;
            }
        });
        let work = run_on(config, stops, Box::new(Silent), backend);
        let task = tokio::spawn(work);
        Ok(Worker { task, finish })
    }
}

pub(crate) struct Worker {
    pub(crate) task: JoinHandle<Result<Summary, WorkerError>>,
    pub(crate) finish: oneshot::Sender<()>,
}

fn config(folder: &Path) -> Config {
    let below = |name: &str| -> PathBuf { folder.join(name) };
    Config::local(below("data"), below("datasets"))
}

//! The real server on a free port with real native workers in the same process: whoever takes part, the
//! parameters are those of straight-line training.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tabswarm_client_native::{ServerAddress, Summary, WorkerConfig};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, Manifest, TargetKind, Vocabulary};
use tabswarm_model::digest::Digest;
use tabswarm_model::samples::SampleStore;
use tabswarm_server::{Config, Handle};
use tabswarm_tests::idx::{CLASSES, EDGE, Images};
use tabswarm_tests::reference;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SAMPLES: usize = 3_000;
/// Far beyond what a run takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(2);

const RUN_FILE: &str = r#"
name = "bars"
seed = 5

[data]
format = "idx"
path = "bars"
shuffle_window = 2048

[model]
input = [8, 8, 1]
layers = [
    { kind = "flatten" },
    { kind = "dense", units = 24 },
    { kind = "relu" },
    { kind = "dense", units = 4 },
]
loss = "softmax_cross_entropy"

[train]
epochs = 4
micro_batch = 8
global_batch = 64

[optimizer]
kind = "adam"
learning_rate = 0.002

[schedule]
warmup_steps = 10
decay = { kind = "cosine" }

[evaluation]
every_steps = 50

[snapshot]
every_steps = 20
"#;

/// All that is new with texts: tokens, several labels a sample, attention, and noise.
const TEXT_RUN_FILE: &str = r#"
name = "tale"
seed = 6

[data]
format = "text"
path = "tale"
vocabulary = "characters"
context = 4
validation = 0.1

[model]
input = [4]
layers = [
    { kind = "embedding", vocabulary = 7, width = 8 },
    { kind = "positional_embedding" },
    { kind = "residual", layers = [
        { kind = "layer_norm" },
        { kind = "attention", heads = 2 },
        { kind = "dropout", rate = 0.1 },
    ] },
    { kind = "dense", units = 7 },
]
loss = "softmax_cross_entropy"

[train]
epochs = 2
micro_batch = 8
global_batch = 64

[optimizer]
kind = "adamw"
learning_rate = 0.01

[evaluation]
every_steps = 10
"#;

/// A server with its directories and one run.
struct Site {
    folder: tempfile::TempDir,
    server: Handle,
    run_name: &'static str,
    steps_total: u64,
}

impl Site {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let bars = folder.path().join("datasets/bars");
        Images::generate(SAMPLES, 1).write(&bars, "train")?;
        Images::generate(500, 2).write(&bars, "t10k")?;
        Self::host(folder, RUN_FILE, "bars", steps_total()?).await
    }

    async fn start_text() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let tale = folder.path().join("datasets/tale");
        std::fs::create_dir_all(&tale)?;
        std::fs::write(tale.join("data.txt"), text())?;
        Self::host(folder, TEXT_RUN_FILE, "tale", text_plan()?.steps_total()).await
    }

    async fn host(
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
    async fn restart(self) -> Result<Self> {
        let Self { folder, server, .. } = self;
        server.shutdown().await?;
        let server = tabswarm_server::serve(config(folder.path())).await?;
        Ok(Self {
            folder,
            server,
            ..self
        })
    }

    async fn status(&self) -> Result<Value> {
        let path = format!("/admin/runs/{}", self.run_name);
        self.admin("GET", &path, "").await
    }

    async fn admin(&self, method: &'static str, path: &str, body: &'static str) -> Result<Value> {
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

    async fn version(&self) -> Result<u64> {
        let status = self.status().await?;
        status["version"]
            .as_u64()
            .with_context(|| status.to_string())
    }

    async fn wait_for_version(&self, version: u64) -> Result<()> {
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
    async fn final_digest(&self) -> Result<Digest> {
        self.wait_for_version(self.steps_total).await?;
        let status = self.status().await?;
        assert_eq!(status["phase"], "finished", "{status}");
        let hex = status["params_digest"].as_str().context("a digest")?;
        Digest::from_hex(hex).context("64 hexadecimal digits")
    }

    fn worker(&self, lanes: u16, exit_when_done: bool) -> Result<Worker> {
        let server: ServerAddress = format!("http://{}", self.server.public_addr).parse()?;
        let config = WorkerConfig {
            lanes,
            exit_when_done,
            ..WorkerConfig::new(server)
        };
        let (finish, finished) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let shutdown = async {
                if finished.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tabswarm_client_native::run(config, shutdown).await
        });
        Ok(Worker { task, finish })
    }
}

struct Worker {
    task: JoinHandle<Result<Summary, tabswarm_client_native::WorkerError>>,
    finish: oneshot::Sender<()>,
}

fn config(folder: &Path) -> Config {
    let below = |name: &str| -> PathBuf { folder.join(name) };
    Config::local(below("data"), below("datasets"))
}

fn run() -> Result<Run> {
    Ok(Run::from_toml(RUN_FILE)?)
}

fn steps_total() -> Result<u64> {
    let samples = u32::try_from(SAMPLES)?;
    Ok(BatchPlan::new(&run()?, samples).steps_total())
}

/// The digest that straight-line training of the same files ends on.
fn expected_digest() -> Result<Digest> {
    let images = Images::generate(SAMPLES, 1);
    let features = EDGE * EDGE;
    let per_chunk = CHUNK_SAMPLES as usize;
    let pixels = images.pixels.chunks(per_chunk * features);
    let chunks: Vec<Vec<u8>> = pixels
        .zip(images.labels.chunks(per_chunk))
        .map(|(pixels, labels)| Chunk::Labeled {
            inputs: pixels.to_vec(),
            labels: labels.iter().map(|&label| u16::from(label)).collect(),
        })
        .map(|chunk| chunk.to_bytes())
        .collect();
    let manifest = Manifest {
        sample_shape: vec![EDGE, EDGE, 1],
        classes: u32::from(CLASSES),
        samples: u32::try_from(SAMPLES)?,
        chunk_samples: CHUNK_SAMPLES,
        chunks: chunks.iter().map(|bytes| Digest::of(bytes)).collect(),
        vocabulary: None,
        targets: TargetKind::Labels,
    };
    let run = run()?;
    let plan = BatchPlan::new(&run, manifest.samples);
    let mut samples = SampleStore::new(manifest, plan, run.data.normalization);
    for (idx, bytes) in chunks.iter().enumerate() {
        samples.insert(idx, bytes)?;
    }
    reference::digests(&run, &mut samples)
        .pop()
        .context("at least version 0")
}

/// A text of seven different characters, which repeat with a pattern.
fn text() -> String {
    let characters = ['\n', ' ', 'a', 'b', 'c', 'é', '—'];
    (0..6_000)
        .map(|n| characters[(n * n + n / 5) % 7])
        .collect()
}

/// Of 5,400 characters for training: sequences of 4, each with the next character of each.
const TEXT_SAMPLES: u32 = 1_349;

fn text_plan() -> Result<BatchPlan> {
    Ok(BatchPlan::new(
        &Run::from_toml(TEXT_RUN_FILE)?,
        TEXT_SAMPLES,
    ))
}

fn expected_text_digest() -> Result<Digest> {
    let text = text();
    let vocabulary = Vocabulary::of(&text).context("a small vocabulary")?;
    let Ok(tokens) = vocabulary.encode(&text) else {
        bail!("the vocabulary is the text's");
    };
    let end = TEXT_SAMPLES as usize * 4 + 1;
    let chunks = [0..4_097, 4_096..end].map(|range| Chunk::Text(tokens.slice(range)).to_bytes());
    let manifest = Manifest {
        sample_shape: vec![4],
        classes: 7,
        samples: TEXT_SAMPLES,
        chunk_samples: CHUNK_SAMPLES,
        chunks: chunks.iter().map(|bytes| Digest::of(bytes)).collect(),
        vocabulary: Some(vocabulary),
        targets: TargetKind::Labels,
    };
    let run = Run::from_toml(TEXT_RUN_FILE)?;
    let mut samples = SampleStore::new(manifest, text_plan()?, run.data.normalization);
    for (idx, bytes) in chunks.iter().enumerate() {
        samples.insert(idx, bytes)?;
    }
    reference::digests(&run, &mut samples)
        .pop()
        .context("at least version 0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_text_is_trained_on_like_everything_else() -> Result<()> {
    let site = Site::start_text().await?;
    let workers = [site.worker(2, true)?, site.worker(1, true)?];
    assert_eq!(site.final_digest().await?, expected_text_digest()?);
    for worker in workers {
        worker.task.await??;
    }
    let started = Instant::now();
    let evaluated = loop {
        let status = site.status().await?;
        if status["eval"]["version"] == site.steps_total {
            break status;
        }
        assert!(started.elapsed() < PATIENCE, "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // In nats per character: better than guessing among seven.
    let loss = evaluated["eval"]["loss"].as_f64().context("a loss")?;
    let accuracy = evaluated["eval"]["accuracy"].as_f64();
    assert!(loss < 7_f64.ln(), "{evaluated}");
    assert!(accuracy.is_some_and(|share| share > 1.0 / 7.0 && share <= 1.0));
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_worker_equals_straight_line_training() -> Result<()> {
    let site = Site::start().await?;
    let worker = site.worker(1, true)?;
    assert_eq!(site.final_digest().await?, expected_digest()?);
    let summary = worker.task.await??;
    // The first step begins again when its gradients have been measured: that work is accepted twice and
    // committed once.
    assert!(
        summary.samples_accepted >= 4 * SAMPLES as u64,
        "{summary:?}"
    );
    let status = site.status().await?;
    assert_eq!(status["samples_committed"], 4 * SAMPLES);
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_workers_of_two_lanes_under_churn_equal_one() -> Result<()> {
    let site = Site::start().await?;
    let workers = [(); 4].map(|()| site.worker(2, true));
    let [a, b, c, d] = workers;
    let (killed, leaving) = (a?, b?);
    site.wait_for_version(30).await?;
    // One dies without a word, one finishes its lease and says goodbye, one comes late.
    killed.task.abort();
    site.wait_for_version(60).await?;
    leaving.finish.send(()).ok();
    let late = site.worker(1, true)?;
    assert_eq!(site.final_digest().await?, expected_digest()?);
    let summary = leaving.task.await??;
    assert!(summary.samples_accepted > 0, "{summary:?}");
    for worker in [c?, d?, late] {
        worker.task.await??;
    }
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restarted_server_goes_on_to_the_same_digest() -> Result<()> {
    let site = Site::start().await?;
    let before = site.worker(2, false)?;
    site.wait_for_version(33).await?;
    before.task.abort();
    let site = site.restart().await?;
    assert!(
        site.version().await? >= 33,
        "an orderly shutdown takes a snapshot"
    );
    let after = site.worker(2, true)?;
    assert_eq!(site.final_digest().await?, expected_digest()?);
    after.task.await??;
    site.server.shutdown().await?;
    Ok(())
}

//! The real server on a free port with real native workers in the same process: whoever takes part, the
//! parameters are those of straight-line training.

#[path = "swarm/modes.rs"]
mod modes;
#[path = "swarm/panics.rs"]
mod panics;
#[path = "swarm/site.rs"]
mod site;
#[path = "swarm/soft.rs"]
mod soft;
#[path = "swarm/table.rs"]
mod table;

use anyhow::{Context as _, Result, bail};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, InputKind, Manifest, TargetKind, Vocabulary};
use tabswarm_model::digest::Digest;
use tabswarm_model::rounds::RoundPlan;
use tabswarm_model::samples::SampleStore;
use tabswarm_tests::idx::{CLASSES, EDGE, Images};
use tabswarm_tests::reference;

use site::Site;

const SAMPLES: usize = 3_000;

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

/// A server with the bars.
async fn start() -> Result<Site> {
    start_with(RUN_FILE).await
}

/// A server with the bars and a run file of them.
async fn start_with(run_file: &'static str) -> Result<Site> {
    let folder = tempfile::tempdir()?;
    let bars = folder.path().join("datasets/bars");
    Images::generate(SAMPLES, 1).write(&bars, "train")?;
    Images::generate(500, 2).write(&bars, "t10k")?;
    Site::host(folder, run_file, "bars", versions_total(run_file)?).await
}

/// A server with the tale.
async fn start_text() -> Result<Site> {
    let folder = tempfile::tempdir()?;
    let tale = folder.path().join("datasets/tale");
    std::fs::create_dir_all(&tale)?;
    std::fs::write(tale.join("data.txt"), text())?;
    Site::host(folder, TEXT_RUN_FILE, "tale", text_plan()?.steps_total()).await
}

fn versions_total(run_file: &str) -> Result<u64> {
    let samples = u32::try_from(SAMPLES)?;
    Ok(RoundPlan::new(&Run::from_toml(run_file)?, samples).versions_total())
}

/// The digest that straight-line training of the same files ends on.
fn expected_digest() -> Result<Digest> {
    expected_digest_of(RUN_FILE)
}

fn expected_digest_of(run_file: &str) -> Result<Digest> {
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
        inputs: InputKind::Bytes,
        preparation: None,
    };
    let run = Run::from_toml(run_file)?;
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
        inputs: InputKind::Bytes,
        preparation: None,
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
    let site = start_text().await?;
    let workers = [site.worker(2, true)?, site.worker(1, true)?];
    assert_eq!(site.final_digest().await?, expected_text_digest()?);
    for worker in workers {
        worker.task.await??;
    }
    let evaluated = site.final_evaluation().await?;
    // In nats per character: better than guessing among seven.
    let loss = evaluated["loss"].as_f64().context("a loss")?;
    let accuracy = evaluated["accuracy"].as_f64();
    assert!(loss < 7_f64.ln(), "{evaluated}");
    assert!(accuracy.is_some_and(|share| share > 1.0 / 7.0 && share <= 1.0));
    site.server.shutdown().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_worker_equals_straight_line_training() -> Result<()> {
    let site = start().await?;
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
    let site = start().await?;
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
    let site = start().await?;
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

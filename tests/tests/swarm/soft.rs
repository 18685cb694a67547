//! Distillation: training on a teacher's probabilities, from the files to the evaluation.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Chunk, InputKind, Manifest, TargetKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::samples::SampleStore;
use tabswarm_tests::idx::{CLASSES, EDGE, Images};
use tabswarm_tests::reference;

use crate::site::Site;

const SAMPLES: usize = 1_500;

const RUN_FILE: &str = r#"
name = "pupil"
seed = 8

[data]
format = "idx"
path = "taught"

[model]
input = [8, 8, 1]
layers = [
    { kind = "flatten" },
    { kind = "dense", units = 12 },
    { kind = "gelu" },
    { kind = "dense", units = 4 },
]
loss = { kind = "softmax_cross_entropy", targets = "soft", temperature = 2.0 }

[train]
epochs = 6
micro_batch = 10
global_batch = 50

[optimizer]
kind = "adam"
learning_rate = 0.005

[evaluation]
every_steps = 60
"#;

/// What a teacher may say of images: mostly their class, sometimes a bit of the next one.
fn teach(images: &Images) -> Vec<f32> {
    let rows = images.labels.iter().enumerate().flat_map(|(idx, &label)| {
        let doubt = if idx % 3 == 0 { 0.25 } else { 0.0625 };
        (0..CLASSES).map(
            move |class| match (class + CLASSES - u16::from(label)) % CLASSES {
                0 => 1.0 - doubt,
                1 => doubt,
                _ => 0.0,
            },
        )
    });
    rows.collect()
}

fn write_targets(folder: &Path, part: &str, targets: &[f32]) -> Result<()> {
    let rows = u32::try_from(targets.len() / usize::from(CLASSES))?;
    let mut bytes = vec![0, 0, 0x0d, 2];
    bytes.extend(rows.to_be_bytes());
    bytes.extend(u32::from(CLASSES).to_be_bytes());
    bytes.extend(targets.iter().flat_map(|target| target.to_be_bytes()));
    fs::write(folder.join(format!("{part}-targets-idx2-float")), bytes)?;
    Ok(())
}

/// The digest that straight-line training on the same files ends on.
fn expected_digest(images: &Images, targets: &[f32]) -> Result<Digest> {
    let per_chunk = CHUNK_SAMPLES as usize;
    let pixels = images.pixels.chunks(per_chunk * EDGE * EDGE);
    let chunks: Vec<Vec<u8>> = pixels
        .zip(targets.chunks(per_chunk * usize::from(CLASSES)))
        .map(|(pixels, targets)| Chunk::Soft {
            inputs: pixels.to_vec(),
            targets: targets.to_vec(),
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
        targets: TargetKind::Soft,
        inputs: InputKind::Bytes,
        preparation: None,
    };
    let run = Run::from_toml(RUN_FILE)?;
    let mut samples = SampleStore::of_run(&run, &run.graph(), manifest)?;
    for (idx, bytes) in chunks.iter().enumerate() {
        samples.insert(idx, bytes)?;
    }
    reference::digests(&run, &mut samples)
        .pop()
        .context("at least version 0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pupil_learns_from_its_teacher() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let taught = folder.path().join("datasets/taught");
    let (train, test) = (Images::generate(SAMPLES, 1), Images::generate(400, 2));
    for (part, images) in [("train", &train), ("t10k", &test)] {
        images.write(&taught, part)?;
        write_targets(&taught, part, &teach(images))?;
        // Nobody needs labels.
        fs::remove_file(taught.join(format!("{part}-labels-idx1-ubyte")))?;
    }
    let samples = u32::try_from(SAMPLES)?;
    let steps_total = BatchPlan::new(&Run::from_toml(RUN_FILE)?, samples).steps_total();
    let site = Site::host(folder, RUN_FILE, "pupil", steps_total).await?;
    let workers = [site.worker(2, true)?, site.worker(1, true)?];
    let expected = expected_digest(&train, &teach(&train))?;
    assert_eq!(site.final_digest().await?, expected);
    for worker in workers {
        worker.task.await??;
    }
    // Right is what the teacher finds most probable, which here is the class.
    let evaluated = site.final_evaluation().await?;
    let accuracy = evaluated["accuracy"].as_f64().context("a share")?;
    assert!(accuracy > 0.9, "{evaluated}");
    // With T² = 4 as factor: below what guessing costs, and not below the teacher's own doubt.
    let loss = evaluated["loss"].as_f64().context("a loss")?;
    let entropy = |p: f64| -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
    let doubt = 4.0 * (entropy(0.25) / 3.0 + entropy(0.0625) * 2.0 / 3.0);
    assert!(loss > doubt && loss < 4.0 * 4_f64.ln(), "{loss} {doubt}");
    site.server.shutdown().await?;
    Ok(())
}

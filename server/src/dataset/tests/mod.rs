//! Arrays, pictures and Parquet files from disk to samples and back, and every mistake with its message.

mod arrays;
mod files;
mod images;
mod parquet;

use std::fs;
use std::path::PathBuf;

use tabswarm_model::Run;
use tabswarm_model::dataset::{Chunk, Manifest};

use super::{Ingested, ingest};
use crate::scratch::{Scratch, listing};
use crate::store::Store;

/// A folder of data sets beside a data directory.
struct Place {
    scratch: Scratch,
    store: Store,
}

impl Place {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("data-{name}"));
        fs::create_dir(scratch.path().join("datasets")).unwrap();
        let store = Store::open(&scratch.path().join("data")).unwrap();
        Self { scratch, store }
    }

    fn datasets(&self) -> PathBuf {
        self.scratch.path().join("datasets")
    }

    /// Writes a file of the folder of data sets.
    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.datasets().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn ingest(&self, run: &Run) -> Ingested {
        ingest(run, &self.datasets(), &self.store).unwrap()
    }

    /// Inputs and labels of the training set, in order.
    fn values(&self, manifest: &Manifest) -> (Vec<f32>, Vec<u16>) {
        let (mut inputs, mut labels) = (Vec::new(), Vec::new());
        for idx in 0..manifest.chunks.len() {
            match self.store.training.chunk(manifest, idx).unwrap() {
                Chunk::Values {
                    inputs: i,
                    labels: l,
                } => {
                    inputs.extend(i);
                    labels.extend(l);
                }
                Chunk::Labeled {
                    inputs: i,
                    labels: l,
                } => {
                    inputs.extend(i.into_iter().map(f32::from));
                    labels.extend(l);
                }
                other => panic!("{other:?}"),
            }
        }
        (inputs, labels)
    }
}

/// A run on samples of a shape, with so many classes.
fn run(data: &str, input: &[usize], classes: usize) -> Run {
    let flatten = if input.len() > 1 {
        r#"{ kind = "flatten" }, "#
    } else {
        ""
    };
    let toml = format!(
        r#"
name = "things"
seed = 1
data = {{ {data} }}
model = {{ input = {input:?}, layers = [{flatten}{{ kind = "dense", units = {classes} }}], loss = "softmax_cross_entropy" }}
train = {{ epochs = 1, micro_batch = 4, global_batch = 4 }}
optimizer = {{ kind = "sgd", learning_rate = 0.1 }}
"#
    );
    Run::from_toml(&toml).unwrap()
}

/// A run, files, and what the message says.
struct Mistake {
    run: Run,
    files: Vec<(&'static str, Vec<u8>)>,
    parts: &'static [&'static str],
}

/// Each has one message of one line with all its parts, ends with a remedy, and leaves nothing behind.
fn check(name: &str, mistakes: Vec<Mistake>) {
    for (idx, mistake) in mistakes.into_iter().enumerate() {
        let place = Place::new(&format!("{name}-{idx}"));
        for (file, bytes) in &mistake.files {
            place.write(file, bytes);
        }
        let before = listing(place.scratch.path());
        let message = ingest(&mistake.run, &place.datasets(), &place.store)
            .unwrap_err()
            .to_string();
        for part in mistake.parts {
            assert!(
                message.contains(part),
                "{name} {idx}: {message:?} should contain {part:?}"
            );
        }
        assert!(
            message.contains("; ") && !message.contains('\n') && message.len() < 1_000,
            "{name} {idx}: {message}"
        );
        let after = listing(place.scratch.path());
        assert_eq!(after, before, "{name} {idx} leaves something behind");
    }
}

//! Ingestion: the operator's files become content-addressed chunks and manifests in the data directory.
//!
//! What is there already is left alone, so a second run over the same data costs reading and hashing only.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{DatasetError, Manifest};
use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::DataFormat;
use thiserror::Error;

use super::fault::{Fault, inside};
use super::idx::IdxError;
use super::split::Part;
use super::text::TextError;
use super::writer::Target;
use super::{arrays, images, labeled, table, text};
use crate::store::Store;
use crate::store::chunks::{ChunkStore, StoredSetError};

/// Brotli quality of chunks: higher ones take several times as long for a few percent.
const BROTLI_QUALITY: u32 = 5;
/// Brotli window of 4 MiB: no chunk of usual size is larger.
const BROTLI_WINDOW_BITS: u32 = 22;

/// What a run's data became.
#[derive(Debug, Clone)]
pub(crate) struct Ingested {
    /// Digest of the training set's manifest.
    pub(crate) dataset: Digest,
    /// The training set.
    pub(crate) manifest: Manifest,
    /// Digest of the test set's manifest.
    pub(crate) test_set: Digest,
    /// What is in which part.
    pub(crate) counts: Counts,
}

/// How many samples are for training, for validation, and for a last test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// In all.
    pub(crate) samples: [u64; 3],
    /// Of each class; none of texts and where targets are soft.
    pub(crate) classes: Vec<[u64; 3]>,
}

impl Counts {
    /// For so many classes.
    pub(super) fn new(classes: usize) -> Self {
        Self {
            samples: [0; 3],
            classes: vec![[0; 3]; classes],
        }
    }

    /// Counts a sample.
    pub(super) fn add(&mut self, part: Part, target: Target<'_>) {
        self.samples[part as usize] += 1;
        if let Target::Class(class) = target
            && let Some(count) = self.classes.get_mut(usize::from(class))
        {
            count[part as usize] += 1;
        }
    }
}

/// Where training samples go, and where all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets<'a> {
    pub(super) training: &'a ChunkStore,
    pub(super) test: &'a ChunkStore,
}

/// Why a run's data can't be used.
#[derive(Debug, Error)]
pub(crate) enum IngestError {
    /// A file is missing or damaged.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// Images and labels are not equally many.
    #[error(
        "{} has {images} {prefix} images but {labels} {prefix} labels; delete the files and run `cargo xtask setup` to fetch them again",
        folder.display()
    )]
    Counts {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Images and soft targets are not equally many.
    #[error(
        "{} has {images} {prefix} images but {targets} rows of {prefix} targets; write one row for each image",
        folder.display()
    )]
    TargetCount {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Number of images.
        images: usize,
        /// Number of rows.
        targets: usize,
    },
    /// Soft targets for another number of classes.
    #[error(
        "the rows of {prefix} targets in {} have {got} values, but the model has {classes} outputs; change the last layer's units or the targets",
        folder.display()
    )]
    TargetClasses {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Values of a row.
        got: usize,
        /// Outputs of the model.
        classes: usize,
    },
    /// A row of soft targets that is none.
    #[error(
        "the targets of {prefix} sample {sample} in {} are no probabilities: {problem}; write the teacher's softmax, not its logits",
        folder.display()
    )]
    Target {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Index of the sample.
        sample: usize,
        /// What is wrong.
        problem: String,
    },
    /// There are no samples.
    #[error("{} has no {prefix} samples", folder.display())]
    Empty {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
    },
    /// The images do not fit the model.
    #[error(
        "the {prefix} images of {} are {got:?}, but model.input is {expected:?}; change model.input or data.path",
        folder.display()
    )]
    Shape {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Of one image.
        got: Vec<usize>,
        /// Of the model.
        expected: Vec<usize>,
    },
    /// A label has no output of the model.
    #[error(
        "label {label} of {prefix} sample {sample} in {} is out of range: the model has {classes} outputs; change the last layer's units or data.path",
        folder.display()
    )]
    Label {
        /// The data set's folder.
        folder: PathBuf,
        /// `train` or `t10k`.
        prefix: &'static str,
        /// Index of the sample.
        sample: usize,
        /// The label.
        label: u8,
        /// Outputs of the model.
        classes: usize,
    },
    /// Anything about tables, arrays and pictures.
    #[error(transparent)]
    Data(#[from] Fault),
    /// A text is missing or unsuitable.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The manifest would break a limit.
    #[error("{}: {source}", path.display())]
    Limits {
        /// The data set's folder or file.
        path: PathBuf,
        /// Which limit.
        source: DatasetError,
    },
    /// The data directory can't be written.
    #[error(transparent)]
    Store(#[from] StoredSetError),
}

/// Reads, checks and stores a run's training and test set.
pub(crate) fn ingest(
    run: &Run,
    datasets_dir: &Path,
    store: &Store,
) -> Result<Ingested, IngestError> {
    let _turn = store.ingestion();
    let sets = Sets {
        training: &store.training,
        test: &store.test,
    };
    prepare(run, datasets_dir, sets)
}

/// Does all that [`ingest`] does and keeps nothing.
pub(crate) fn rehearse(run: &Run, datasets_dir: &Path) -> Result<Ingested, IngestError> {
    let [training, test] = [(); 2].map(|()| ChunkStore::forgetful());
    let sets = Sets {
        training: &training,
        test: &test,
    };
    prepare(run, datasets_dir, sets)
}

fn prepare(run: &Run, datasets_dir: &Path, sets: Sets<'_>) -> Result<Ingested, IngestError> {
    let path = datasets_dir.join(&run.data.path);
    match &run.data.format {
        DataFormat::Idx => labeled::ingest(run, &path, sets),
        DataFormat::Text(spec) => text::ingest(run, spec, &path, sets),
        DataFormat::Table(spec) => table::ingest(run, spec, &inside(datasets_dir, &path)?, sets),
        DataFormat::Arrays(spec) => arrays::ingest(run, spec, &inside(datasets_dir, &path)?, sets),
        &DataFormat::Images { fit, split } => {
            images::ingest(run, (fit, split), &inside(datasets_dir, &path)?, sets)
        }
    }
}

/// Stores a chunk, also in the form in which it is sent if it is to be.
pub(super) fn put_chunk(
    bytes: &[u8],
    digest: Digest,
    store: &ChunkStore,
    compress: bool,
) -> Result<(), StoredSetError> {
    store.put(&store.chunk_path(digest), bytes)?;
    let path = store.brotli_path(digest);
    if compress && store.is_kept() && !path.exists() {
        store.put(&path, &brotli(bytes, BROTLI_QUALITY))?;
    }
    Ok(())
}

/// Bytes in brotli form.
pub(crate) fn brotli(bytes: &[u8], quality: u32) -> Vec<u8> {
    let mut writer =
        brotli::CompressorWriter::new(Vec::new(), 64 << 10, quality, BROTLI_WINDOW_BITS);
    writer
        .write_all(bytes)
        .expect("writing to memory does not fail");
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::TestSet;
    use crate::fixture;
    use crate::scratch::{Scratch, listing};
    use tabswarm_model::dataset::Chunk;

    fn check(change: impl FnOnce(&Path), expected: &[&str], name: &str) {
        let scratch = Scratch::new(&format!("ingest-{name}"));
        let datasets = scratch.path().join("datasets");
        let folder = datasets.join("tiny");
        fixture::write_dataset(&folder, 20, 10);
        change(&folder);
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let before = listing(scratch.path());
        let message = ingest(&fixture::run(), &datasets, &store)
            .unwrap_err()
            .to_string();
        assert_eq!(listing(scratch.path()), before, "{message}");
        for part in expected {
            assert!(
                message.contains(part),
                "{message:?} should contain {part:?}"
            );
        }
    }

    #[test]
    fn each_mistake_has_one_clear_message_and_leaves_nothing_behind() {
        let write = |name: &'static str, bytes: Vec<u8>| {
            move |folder: &Path| std::fs::write(folder.join(name), bytes).unwrap()
        };
        check(
            |folder| std::fs::remove_file(folder.join("t10k-images-idx3-ubyte")).unwrap(),
            &["t10k-images-idx3-ubyte", "cargo xtask setup"],
            "missing",
        );
        check(
            write("train-labels-idx1-ubyte", fixture::idx(&[3], &[0; 3])),
            &["20 train images", "3 train labels"],
            "counts",
        );
        check(
            write(
                "train-images-idx3-ubyte",
                fixture::idx(&[20, 3, 2], &[0; 120]),
            ),
            &["[3, 2]", "model.input is [2, 3]"],
            "shape",
        );
        let labels = [[0; 9].as_slice(), &[2]].concat();
        check(
            write("t10k-labels-idx1-ubyte", fixture::idx(&[10], &labels)),
            &["label 2 of t10k sample 9", "2 outputs"],
            "label",
        );
        let empty = |folder: &Path| fixture::write_dataset(folder, 0, 10);
        check(empty, &["no train samples"], "empty");
    }

    #[test]
    fn chunks_are_stored_once_and_come_back() {
        let scratch = Scratch::new("ingest-twice");
        let datasets = scratch.path().join("datasets");
        fixture::write_dataset(&datasets.join("tiny"), 2_500, 10);
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let run = fixture::run();
        let first = ingest(&run, &datasets, &store).unwrap();
        let second = ingest(&run, &datasets, &store).unwrap();
        assert_eq!(first.dataset, second.dataset);
        let manifest = store.training.verify(first.dataset).unwrap();
        assert_eq!((manifest.samples, manifest.chunks.len()), (2_500, 3));
        let chunk = store.training.chunk(&manifest, 2).unwrap();
        let Chunk::Labeled { labels, .. } = chunk else {
            panic!("images have labels");
        };
        assert_eq!((labels.len(), labels[1]), (452, 1));
        assert!(store.training.brotli_path(manifest.chunks[0]).exists());
        let test = TestSet::load(&store, first.test_set).unwrap();
        assert_eq!(test.samples(), 10);
        // The test set is nowhere that the public can ask for.
        assert!(!store.training.manifest_path(first.test_set).exists());
    }
}

//! Labeled samples: the images and labels of IDX files, checked against the run.

use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{CHUNK_SAMPLES, Manifest};

use super::idx;
use super::ingest::{Contents, IngestError, SampleSet};

/// Reads a run's training and test samples from the files in a folder.
pub(super) fn read(run: &Run, folder: &Path) -> Result<[SampleSet; 2], IngestError> {
    let source = Source {
        folder: folder.to_owned(),
        run,
    };
    Ok([source.read("train")?, source.read("t10k")?])
}

struct Source<'a> {
    folder: PathBuf,
    run: &'a Run,
}

impl Source<'_> {
    fn read(&self, prefix: &'static str) -> Result<SampleSet, IngestError> {
        let folder = || self.folder.clone();
        let images = idx::read(&self.folder, &format!("{prefix}-images-idx3-ubyte"), 3)?;
        let labels = idx::read(&self.folder, &format!("{prefix}-labels-idx1-ubyte"), 1)?.data;
        if images.dims[0] != labels.len() {
            let (images, labels) = (images.dims[0], labels.len());
            return Err(IngestError::Counts {
                folder: folder(),
                prefix,
                images,
                labels,
            });
        }
        if labels.is_empty() {
            return Err(IngestError::Empty {
                folder: folder(),
                prefix,
            });
        }
        // A model may say [28, 28, 1] where the file says [28, 28].
        let squeezed =
            |dims: &[usize]| -> Vec<usize> { dims.iter().copied().filter(|&n| n != 1).collect() };
        let expected = &self.run.model.input;
        let got = &images.dims[1..];
        let flat = expected.len() == 1 && expected[0] == got.iter().product::<usize>();
        if !flat && squeezed(expected) != squeezed(got) {
            let (got, expected) = (got.to_vec(), expected.clone());
            return Err(IngestError::Shape {
                folder: folder(),
                prefix,
                got,
                expected,
            });
        }
        let classes = self.run.graph().classes;
        if let Some(sample) = labels
            .iter()
            .position(|&label| usize::from(label) >= classes)
        {
            let label = labels[sample];
            return Err(IngestError::Label {
                folder: folder(),
                prefix,
                sample,
                label,
                classes,
            });
        }
        let count = |n: usize| u32::try_from(n).expect("IDX dimensions are 32 bits");
        Ok(SampleSet {
            manifest: Manifest {
                sample_shape: expected.clone(),
                classes: count(classes),
                samples: count(labels.len()),
                chunk_samples: CHUNK_SAMPLES,
                chunks: Vec::new(),
                vocabulary: None,
            },
            contents: Contents::Labeled {
                inputs: images.data,
                labels,
            },
        })
    }
}

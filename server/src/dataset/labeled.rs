//! Images with labels or soft targets: the files in a folder, checked against the run.

use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{InputKind, TargetKind};

use super::idx::{Kind, Rows};
use super::ingest::{IngestError, Ingested, Sets};
use super::split::Part;
use super::writer::{Inputs, Target, Writer};

/// A row of soft targets may miss 1 by so much: `f32` sums of many small values do.
const MASS_TOLERANCE: f64 = 1e-3;

/// Reads, checks and stores a run's training and test samples from the files in a folder.
pub(super) fn ingest(run: &Run, folder: &Path, sets: Sets<'_>) -> Result<Ingested, IngestError> {
    let graph = run.graph();
    let source = |prefix| Source {
        folder: folder.to_owned(),
        prefix,
        run,
        classes: graph.classes,
    };
    let kind = TargetKind::of(&graph);
    // All files' headers are looked at before anything is stored.
    let opened = |prefix| {
        let source = source(prefix);
        source.open(kind).map(|opened| (source, opened))
    };
    let parts = [opened("train")?, opened("t10k")?];
    let mut writer = Writer::new(run, folder, InputKind::Bytes, None, sets);
    for ((source, opened), part) in parts.into_iter().zip([Part::Training, Part::Validation]) {
        source.read(opened, part, &mut writer)?;
    }
    writer.finish()
}

struct Source<'a> {
    folder: PathBuf,
    /// `train` or `t10k`.
    prefix: &'static str,
    run: &'a Run,
    /// Outputs of the model.
    classes: usize,
}

/// The files of a part.
struct Opened {
    samples: usize,
    images: Rows,
    targets: Targets,
}

enum Targets {
    /// A byte each.
    Labels(Rows),
    /// Rows of floats.
    Soft(Rows),
}

impl Source<'_> {
    fn open(&self, kind: TargetKind) -> Result<Opened, IngestError> {
        let name = format!("{}-images-idx3-ubyte", self.prefix);
        let images = Rows::open(&self.folder, &name, Kind::Bytes, 3)?;
        let samples = images.dims[0];
        let targets = match kind {
            TargetKind::Labels => Targets::Labels(self.labels(samples)?),
            TargetKind::Soft => Targets::Soft(self.soft_targets(samples)?),
        };
        self.check_images(&images.dims)?;
        Ok(Opened {
            samples,
            images,
            targets,
        })
    }

    fn read(
        &self,
        mut opened: Opened,
        part: Part,
        writer: &mut Writer<'_>,
    ) -> Result<(), IngestError> {
        let mut probabilities = Vec::with_capacity(self.classes);
        for sample in 0..opened.samples {
            let inputs = Inputs::Bytes(opened.images.next()?);
            let target = match &mut opened.targets {
                Targets::Labels(labels) => Target::Class(self.label(sample, labels.next()?)?),
                Targets::Soft(rows) => {
                    let (words, _) = rows.next()?.as_chunks();
                    probabilities.clear();
                    probabilities.extend(words.iter().map(|word| f32::from_be_bytes(*word)));
                    if let Some(problem) = fault(&probabilities) {
                        return Err(IngestError::Target {
                            folder: self.folder.clone(),
                            prefix: self.prefix,
                            sample,
                            problem,
                        });
                    }
                    Target::Soft(&probabilities)
                }
            };
            writer.push(part, inputs, target)?;
        }
        Ok(())
    }

    fn labels(&self, images: usize) -> Result<Rows, IngestError> {
        let name = format!("{}-labels-idx1-ubyte", self.prefix);
        let labels = Rows::open(&self.folder, &name, Kind::Bytes, 1)?;
        if images == labels.dims[0] {
            return Ok(labels);
        }
        Err(IngestError::Counts {
            folder: self.folder.clone(),
            prefix: self.prefix,
            images,
            labels: labels.dims[0],
        })
    }

    fn label(&self, sample: usize, row: &[u8]) -> Result<u16, IngestError> {
        let label = row[0];
        if usize::from(label) < self.classes {
            return Ok(label.into());
        }
        Err(IngestError::Label {
            folder: self.folder.clone(),
            prefix: self.prefix,
            sample,
            label,
            classes: self.classes,
        })
    }

    /// Opens rows of probabilities.
    fn soft_targets(&self, images: usize) -> Result<Rows, IngestError> {
        let name = format!("{}-targets-idx2-float", self.prefix);
        let rows = Rows::open(&self.folder, &name, Kind::Floats, 2)?;
        let (prefix, classes) = (self.prefix, self.classes);
        let folder = || self.folder.clone();
        if rows.dims[0] != images {
            return Err(IngestError::TargetCount {
                folder: folder(),
                prefix,
                images,
                targets: rows.dims[0],
            });
        }
        if rows.dims[1] != classes {
            return Err(IngestError::TargetClasses {
                folder: folder(),
                prefix,
                got: rows.dims[1],
                classes,
            });
        }
        Ok(rows)
    }

    fn check_images(&self, dims: &[usize]) -> Result<(), IngestError> {
        let (folder, prefix) = (|| self.folder.clone(), self.prefix);
        if dims[0] == 0 {
            return Err(IngestError::Empty {
                folder: folder(),
                prefix,
            });
        }
        // A model may say [28, 28, 1] where the file says [28, 28].
        let squeezed =
            |sizes: &[usize]| -> Vec<usize> { sizes.iter().copied().filter(|&n| n != 1).collect() };
        let expected = &self.run.model.input;
        let got = &dims[1..];
        let flat = expected.len() == 1 && expected[0] == got.iter().product::<usize>();
        if flat || squeezed(expected) == squeezed(got) {
            return Ok(());
        }
        Err(IngestError::Shape {
            folder: folder(),
            prefix,
            got: got.to_vec(),
            expected: expected.clone(),
        })
    }
}

/// Why a row is no distribution of probabilities; none if it is one.
fn fault(row: &[f32]) -> Option<String> {
    // Neither infinity nor what is no number is in the range.
    let bad = row.iter().position(|p| !(0.0..=1.0).contains(p));
    if let Some(class) = bad {
        return Some(format!("class {class} has {}", row[class]));
    }
    let mass: f64 = row.iter().map(|&p| f64::from(p)).sum();
    ((mass - 1.0).abs() > MASS_TOLERANCE).then(|| format!("they add up to {mass}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{TestSet, ingest};
    use crate::fixture;
    use crate::scratch::Scratch;
    use crate::store::Store;
    use tabswarm_model::dataset::Chunk;
    use tabswarm_model::samples::MicroBatch;

    #[test]
    fn soft_targets_are_stored_beside_the_images() {
        let scratch = Scratch::new("soft-targets");
        let folder = scratch.path().join("datasets/tiny");
        fixture::write_dataset(&folder, 1_030, 10);
        fixture::write_soft_targets(&folder, 1_030, 10);
        // With soft targets nobody asks for labels.
        std::fs::remove_file(folder.join("train-labels-idx1-ubyte")).unwrap();
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let run = fixture::soft_run();
        let ingested = ingest(&run, &scratch.path().join("datasets"), &store).unwrap();
        let manifest = store.training.verify(ingested.dataset).unwrap();
        assert_eq!(manifest.targets, TargetKind::Soft);
        assert_eq!(manifest.check_fit(&run.graph()), Ok(()));
        let chunk = store.training.chunk(&manifest, 1).unwrap();
        let Chunk::Soft { inputs, targets } = chunk else {
            panic!("{chunk:?}");
        };
        assert_eq!((inputs.len(), targets.len()), (6 * 6, 6 * 2));
        assert_eq!(targets[..4], [0.75, 0.25, 0.125, 0.875]);
        let test = TestSet::load(&store, ingested.test_set).unwrap();
        let mut batch = MicroBatch::default();
        let mut reader = test.reader(run.data.normalization);
        reader.read(&test, 3..5, &mut batch).unwrap();
        assert_eq!((batch.samples, batch.inputs.len()), (2, 12));
        assert_eq!(batch.soft_targets, [0.125, 0.875, 0.75, 0.25]);
        assert!(batch.labels.is_empty());
    }

    #[test]
    fn each_mistake_in_soft_targets_has_its_message() {
        let file = |dims: &[u32], values: &[f32]| fixture::idx_floats(dims, values);
        let mut rows = [0.5; 40];
        rows[7] = -0.5;
        let negative = file(&[20, 2], &rows);
        rows[7] = f32::NAN;
        let nan = file(&[20, 2], &rows);
        rows[7] = 0.25;
        let short_of_one = file(&[20, 2], &rows);
        for (name, bytes, expected) in [
            (
                "rows",
                file(&[19, 2], &[0.5; 38]),
                "has 20 train images but 19 rows of train targets; write one row for each image",
            ),
            (
                "classes",
                file(&[20, 1], &[1.0; 20]),
                "have 1 values, but the model has 2 outputs; change the last layer's units or the targets",
            ),
            (
                "negative",
                negative,
                "are no probabilities: class 1 has -0.5; write the teacher's softmax, not its logits",
            ),
            ("nan", nan, "are no probabilities: class 1 has NaN;"),
            ("mass", short_of_one, "the targets of train sample 3 in"),
            (
                "kind",
                fixture::idx(&[20, 2], &[0; 40]),
                "no IDX file of floats with 2 dimensions",
            ),
        ] {
            let scratch = Scratch::new(&format!("soft-{name}"));
            let folder = scratch.path().join("datasets/tiny");
            fixture::write_dataset(&folder, 20, 10);
            fixture::write_soft_targets(&folder, 20, 10);
            std::fs::write(folder.join("train-targets-idx2-float"), bytes).unwrap();
            let store = Store::open(&scratch.path().join("data")).unwrap();
            let datasets = scratch.path().join("datasets");
            let message = ingest(&fixture::soft_run(), &datasets, &store)
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(fault(&[0.5, 0.25]).unwrap(), "they add up to 0.75");
        assert_eq!(fault(&[1.0, 0.0]), None);
    }
}

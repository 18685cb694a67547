//! Texts: read, turned into tokens, and divided into a training and a validation part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tabswarm_model::Run;
use tabswarm_model::dataset::{CHUNK_SAMPLES, InputKind, Manifest, TargetKind, Tokens, Vocabulary};
use thiserror::Error;

use super::ingest::{Contents, SampleSet};

/// The file that is meant where `data.path` is a folder.
const USUAL_NAME: &str = "data.txt";
/// A text is in memory as a whole while it is read.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// Why a text can't be used.
#[derive(Debug, Error)]
pub(crate) enum TextError {
    /// It is not there.
    #[error(
        "{} does not exist; run `cargo xtask setup` to fetch the data sets, or put the text there",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A folder does not say which text is meant.
    #[error(
        "{} has no {USUAL_NAME}, and {texts} other files that end in .txt; write the text's name in data.path",
        folder.display()
    )]
    Unclear {
        /// The folder.
        folder: PathBuf,
        /// Number of texts in it.
        texts: usize,
    },
    /// The system can't read it.
    #[error("{} can't be read: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's message.
        source: io::Error,
    },
    /// It is too long.
    #[error("{} has {bytes} bytes; texts of up to {MAX_TEXT_BYTES} bytes can be used", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// It is in another encoding.
    #[error(
        "{} is not UTF-8: the byte at offset {offset} does not belong there; convert it, for example with iconv -t UTF-8",
        path.display()
    )]
    Encoding {
        /// Which.
        path: PathBuf,
        /// Bytes before the first wrong one.
        offset: usize,
    },
    /// There is not one sequence in a part.
    #[error(
        "{} has {characters} characters, of which {part} are for {purpose}: a sequence of data.context = {context} and its last label take {}; use a longer text, a smaller data.context or another data.validation",
        path.display(),
        context + 1
    )]
    TooShort {
        /// Which.
        path: PathBuf,
        /// Its length.
        characters: usize,
        /// Of the part that is too short.
        part: usize,
        /// `training` or `validation`.
        purpose: &'static str,
        /// Characters of a sequence.
        context: usize,
    },
    /// No token for some characters.
    #[error("{} has more than 65536 different characters, which is the most that a model can tell apart", path.display())]
    TooManyCharacters {
        /// Which.
        path: PathBuf,
    },
    /// The model has another vocabulary.
    #[error(
        "{} has {got} different characters, but the model has a vocabulary of {expected}; write vocabulary = {got} in the embedding layer and as many units in a last dense layer",
        path.display()
    )]
    Vocabulary {
        /// Which.
        path: PathBuf,
        /// Of the text.
        got: usize,
        /// Of the model.
        expected: usize,
    },
}

/// Reads the text at a path, or in the folder there: its training part and its end, for validation.
pub(super) fn read(
    run: &Run,
    path: &Path,
    context: usize,
    validation: f64,
) -> Result<[SampleSet; 2], TextError> {
    let path = find(path)?;
    let text = read_text(&path)?;
    let characters = text.chars().count();
    let training = characters - part(characters, validation);
    for (purpose, part) in [
        ("training", training),
        ("validation", characters - training),
    ] {
        if part <= context {
            return Err(TextError::TooShort {
                path,
                characters,
                part,
                purpose,
                context,
            });
        }
    }
    let Some(vocabulary) = Vocabulary::of(&text) else {
        return Err(TextError::TooManyCharacters { path });
    };
    let expected = run.graph().vocabulary.unwrap_or_default();
    if vocabulary.len() != expected {
        let got = vocabulary.len();
        return Err(TextError::Vocabulary {
            path,
            got,
            expected,
        });
    }
    let tokens = vocabulary
        .encode(&text)
        .expect("the vocabulary is of this text");
    let set = |tokens: Tokens| {
        let count = |n: usize| u32::try_from(n).expect("fewer than the bytes of the longest text");
        let manifest = Manifest {
            sample_shape: vec![context],
            classes: count(vocabulary.len()),
            samples: count((tokens.len() - 1) / context),
            chunk_samples: CHUNK_SAMPLES,
            chunks: Vec::new(),
            vocabulary: Some(vocabulary.clone()),
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let contents = Contents::Text(tokens);
        SampleSet { manifest, contents }
    };
    Ok([
        set(tokens.slice(0..training)),
        set(tokens.slice(training..characters)),
    ])
}

/// The share of a text, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between 0 and `characters`"
)]
fn part(characters: usize, share: f64) -> usize {
    (characters as f64 * share) as usize
}

fn find(path: &Path) -> Result<PathBuf, TextError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        let path = path.to_owned();
        return Err(TextError::Missing { path });
    }
    let usual = path.join(USUAL_NAME);
    if usual.is_file() {
        return Ok(usual);
    }
    let is_text = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "txt");
    let entries = fs::read_dir(path).map_err(|source| io_error(path, source))?;
    let mut texts: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_text)
        .collect();
    match texts.pop() {
        Some(only) if texts.is_empty() => Ok(only),
        last => Err(TextError::Unclear {
            folder: path.to_owned(),
            texts: texts.len() + usize::from(last.is_some()),
        }),
    }
}

fn read_text(path: &Path) -> Result<String, TextError> {
    let bytes = fs::metadata(path)
        .map_err(|source| io_error(path, source))?
        .len();
    if bytes > MAX_TEXT_BYTES {
        let path = path.to_owned();
        return Err(TextError::TooLong { path, bytes });
    }
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    String::from_utf8(bytes).map_err(|error| TextError::Encoding {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

fn io_error(path: &Path, source: io::Error) -> TextError {
    TextError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{TestSet, ingest};
    use crate::fixture;
    use crate::scratch::Scratch;
    use crate::store::Store;
    use tabswarm_model::batches::BatchPlan;
    use tabswarm_model::samples::{MicroBatch, SampleStore};

    /// Characters of the text.
    const LENGTH: usize = 10_000;

    /// Files, and what the message says.
    type Case<'a> = (&'a [(&'a str, &'a [u8])], &'a [&'a str]);

    fn write(folder: &Path, name: &str, bytes: &[u8]) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn a_text_becomes_sequences_and_comes_back() {
        let scratch = Scratch::new("text-sequences");
        let datasets = scratch.path().join("datasets");
        let text = fixture::text(LENGTH);
        write(&datasets.join("tale"), "any.txt", text.as_bytes());
        let store = Store::open(&scratch.path().join("data")).unwrap();
        let run = fixture::text_run();
        let ingested = ingest(&run, &datasets, &store).unwrap();
        assert_eq!(
            ingested.dataset,
            ingest(&run, &datasets, &store).unwrap().dataset
        );
        let manifest = store.training.verify(ingested.dataset).unwrap();
        // 9,000 characters: 8,999 with a next one, in sequences of 4.
        assert_eq!((manifest.samples, manifest.chunks.len()), (2_249, 3));
        assert_eq!(manifest.check_fit(&run.graph()), Ok(()));
        let characters = manifest.vocabulary.clone().unwrap();
        let plan = BatchPlan::new(&run, manifest.samples);
        let mut samples = SampleStore::new(manifest.clone(), plan, run.data.normalization);
        for (idx, &chunk) in manifest.chunks.iter().enumerate() {
            let bytes = fs::read(store.training.chunk_path(chunk)).unwrap();
            samples.insert(idx, &bytes).unwrap();
        }
        let mut batch = MicroBatch::default();
        let step = plan.step(0);
        let first = plan.epoch_order(0)[plan.positions(step, 1).start] as usize;
        assert!(samples.gather(step, 1, &mut batch));
        let got: String = batch.labels[..4]
            .iter()
            .map(|&label| characters.characters()[usize::from(label)])
            .collect();
        let expected: String = text.chars().skip(first * 4 + 1).take(4).collect();
        assert_eq!(got, expected);

        let test = TestSet::load(&store, ingested.test_set).unwrap();
        assert_eq!(test.samples(), 249);
        let reader = test.reader(run.data.normalization);
        test.read(0..1, &reader, &mut batch);
        let first = text.chars().nth(9_000).unwrap();
        let token = characters.token(first).unwrap();
        assert_eq!(batch.inputs[..1], [f32::from(token)]);
    }

    #[test]
    fn each_mistake_has_one_clear_message() {
        let text = fixture::text(LENGTH);
        let more = format!("{text}x");
        let short: String = text.chars().take(30).collect();
        let cases: [Case<'_>; 6] = [
            (&[], &["tale does not exist", "cargo xtask setup"]),
            (
                &[("a.txt", b"a"), ("b.txt", b"b")],
                &["no data.txt, and 2 other files", "data.path"],
            ),
            (&[("readme.md", b"a")], &["and 0 other files"]),
            (
                &[("data.txt", b"na\xefve")],
                &["data.txt is not UTF-8", "offset 2", "iconv"],
            ),
            (
                &[("data.txt", short.as_bytes())],
                &["30 characters", "3 are for validation", "take 5"],
            ),
            (
                &[("data.txt", more.as_bytes())],
                &[
                    "6 different characters",
                    "a vocabulary of 5",
                    "vocabulary = 6",
                ],
            ),
        ];
        for (files, expected) in cases {
            let scratch = Scratch::new("text-mistakes");
            let datasets = scratch.path().join("datasets");
            for (name, bytes) in files {
                write(&datasets.join("tale"), name, bytes);
            }
            let store = Store::open(&scratch.path().join("data")).unwrap();
            let error = ingest(&fixture::text_run(), &datasets, &store).unwrap_err();
            let message = error.to_string();
            for part in expected {
                assert!(
                    message.contains(part),
                    "{message:?} should contain {part:?}"
                );
            }
        }
    }
}

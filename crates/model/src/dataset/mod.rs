//! Data sets as workers see them: a manifest and content-addressed chunks.
//!
//! A chunk holds consecutive samples: of labeled samples all inputs (`samples · features` bytes), then all
//! labels (`u16` little-endian); of a text `samples · context + 1` tokens, of which the last one is also the
//! first of the next chunk, so that each chunk holds the labels of all of its samples. Chunks are named by the
//! digest of their bytes, the manifest by the digest of its JSON.

mod text;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use text::{Tokens, Vocabulary};

use crate::digest::Digest;
use crate::graph::Graph;

/// Samples of a full chunk.
pub const CHUNK_SAMPLES: u32 = 1_024;
/// Largest chunk in bytes.
pub const MAX_CHUNK_BYTES: usize = 32 << 20;
/// Largest manifest in bytes.
pub const MAX_MANIFEST_BYTES: usize = 8 << 20;

/// The manifest of a training set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Shape of one sample.
    pub sample_shape: Vec<usize>,
    /// Labels are below it.
    pub classes: u32,
    /// Samples in all.
    pub samples: u32,
    /// Samples of each chunk but the last.
    pub chunk_samples: u32,
    /// The chunks in order.
    pub chunks: Vec<Digest>,
    /// The characters of a text, whose samples are sequences of tokens; none for labeled samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
}

/// Why a manifest or a chunk is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatasetError {
    /// The manifest is not JSON of the expected form.
    #[error("the data set manifest can't be read: {message}")]
    Manifest {
        /// The parser's message.
        message: String,
    },
    /// The manifest's numbers contradict each other.
    #[error("the data set manifest is inconsistent: {problem}")]
    Inconsistent {
        /// What contradicts.
        problem: &'static str,
    },
    /// A chunk's bytes are not those that its name promises.
    #[error("chunk {chunk_idx} has digest {got}, the manifest says {expected}")]
    WrongDigest {
        /// Which chunk.
        chunk_idx: usize,
        /// As in the manifest.
        expected: Digest,
        /// Of the bytes received.
        got: Digest,
    },
    /// A chunk has the wrong length.
    #[error("chunk {chunk_idx} has {got} bytes instead of {expected}")]
    WrongLength {
        /// Which chunk.
        chunk_idx: usize,
        /// From the manifest.
        expected: usize,
        /// Bytes received.
        got: usize,
    },
    /// A label is not below the number of classes.
    #[error("chunk {chunk_idx} has label {label}, but there are {classes} classes")]
    WrongLabel {
        /// Which chunk.
        chunk_idx: usize,
        /// The label.
        label: u16,
        /// Number of classes.
        classes: u32,
    },
}

/// A checked chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Samples with one label each.
    Labeled {
        /// (samples, features).
        inputs: Vec<u8>,
        /// One per sample.
        labels: Vec<u16>,
    },
    /// A piece of a text: the samples' tokens and the one that follows.
    Text(Tokens),
}

impl Chunk {
    /// The bytes as stored and served.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Labeled { inputs, labels } => {
                let mut bytes = inputs.clone();
                bytes.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
                bytes
            }
            Self::Text(tokens) => tokens.to_bytes(),
        }
    }
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// Where the JSON or its numbers are wrong.
    pub fn from_json(text: &str) -> Result<Self, DatasetError> {
        if text.len() > MAX_MANIFEST_BYTES {
            return Err(DatasetError::Inconsistent {
                problem: "it is longer than 8 MiB",
            });
        }
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| DatasetError::Manifest {
                message: error.to_string(),
            })?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The JSON that the digest names.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest has string keys only")
    }

    fn check(&self) -> Result<(), DatasetError> {
        let inconsistent = |problem| Err(DatasetError::Inconsistent { problem });
        if self.samples == 0 || self.chunk_samples == 0 {
            return inconsistent("it has no samples");
        }
        if !(1..=65_536).contains(&self.classes) {
            return inconsistent("the number of classes is not between 1 and 65536");
        }
        let features = self
            .sample_shape
            .iter()
            .try_fold(1_usize, |acc, &n| acc.checked_mul(n));
        if let Some(vocabulary) = &self.vocabulary {
            if self.sample_shape.len() != 1 {
                return inconsistent("the samples of a text are sequences");
            }
            if vocabulary.len() != self.classes as usize {
                return inconsistent("a text has one class for each character of its vocabulary");
            }
        }
        let chunk_bytes = features
            .filter(|&n| n > 0)
            .and_then(|n| self.chunk_bytes(self.chunk_samples as usize, n));
        if chunk_bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return inconsistent("a chunk would be empty or too large");
        }
        if self.chunks.len() != self.samples.div_ceil(self.chunk_samples) as usize {
            return inconsistent("the number of chunks does not follow from the number of samples");
        }
        Ok(())
    }

    /// Length of a chunk; none where it overflows.
    fn chunk_bytes(&self, samples: usize, features: usize) -> Option<usize> {
        match &self.vocabulary {
            None => features.checked_add(2)?.checked_mul(samples),
            Some(vocabulary) => samples
                .checked_mul(features)?
                .checked_add(1)?
                .checked_mul(vocabulary.token_bytes()),
        }
    }

    /// Whether a model can be trained on it.
    pub fn fits(&self, graph: &Graph) -> bool {
        let classes = self.classes as usize;
        self.features() == graph.input_features()
            && match &self.vocabulary {
                None => graph.vocabulary.is_none() && classes <= graph.classes,
                Some(_) => graph.vocabulary == Some(classes) && classes == graph.classes,
            }
    }

    /// Values of one sample.
    pub fn features(&self) -> usize {
        self.sample_shape.iter().product()
    }

    /// The chunk that holds a sample, and the sample's place in it.
    pub fn locate(&self, sample: u32) -> (usize, usize) {
        let chunk = sample / self.chunk_samples;
        (chunk as usize, (sample % self.chunk_samples) as usize)
    }

    /// Samples of a chunk.
    pub fn samples_of_chunk(&self, chunk_idx: usize) -> usize {
        let start = chunk_idx * self.chunk_samples as usize;
        (self.samples as usize - start).min(self.chunk_samples as usize)
    }

    /// Checks a chunk's digest, length and labels.
    ///
    /// # Errors
    /// Where the bytes are not those that the manifest names.
    pub fn parse_chunk(&self, chunk_idx: usize, bytes: &[u8]) -> Result<Chunk, DatasetError> {
        let samples = self.samples_of_chunk(chunk_idx);
        let expected = self
            .chunk_bytes(samples, self.features())
            .expect("a full chunk's length was checked with the manifest");
        if bytes.len() != expected {
            return Err(DatasetError::WrongLength {
                chunk_idx,
                expected,
                got: bytes.len(),
            });
        }
        let got = Digest::of(bytes);
        if got != self.chunks[chunk_idx] {
            return Err(DatasetError::WrongDigest {
                chunk_idx,
                expected: self.chunks[chunk_idx],
                got,
            });
        }
        let (chunk, largest) = match &self.vocabulary {
            None => self.labeled(bytes, samples),
            Some(vocabulary) => {
                let tokens = vocabulary.read_tokens(bytes);
                let largest = tokens.max();
                (Chunk::Text(tokens), largest)
            }
        };
        match largest {
            Some(label) if u32::from(label) >= self.classes => Err(DatasetError::WrongLabel {
                chunk_idx,
                label,
                classes: self.classes,
            }),
            _ => Ok(chunk),
        }
    }

    fn labeled(&self, bytes: &[u8], samples: usize) -> (Chunk, Option<u16>) {
        let (inputs, labels) = bytes.split_at(samples * self.features());
        let labels: Vec<u16> = labels
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let largest = labels.iter().copied().max();
        let inputs = inputs.to_vec();
        (Chunk::Labeled { inputs, labels }, largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        Chunk::Labeled {
            inputs: vec![1, 2, 3, 4, 5, 6],
            labels: vec![0, 1, 2],
        }
    }

    fn manifest() -> Manifest {
        Manifest {
            sample_shape: vec![2],
            classes: 3,
            samples: 3,
            chunk_samples: 4,
            chunks: vec![Digest::of(&chunk().to_bytes())],
            vocabulary: None,
        }
    }

    fn text() -> (Manifest, Chunk) {
        let vocabulary = Vocabulary::of("abc").unwrap();
        let chunk = Chunk::Text(vocabulary.encode("abcabca").unwrap());
        let manifest = Manifest {
            sample_shape: vec![2],
            classes: 3,
            samples: 3,
            chunk_samples: 4,
            chunks: vec![Digest::of(&chunk.to_bytes())],
            vocabulary: Some(vocabulary),
        };
        (manifest, chunk)
    }

    #[test]
    fn chunk_round_trip() {
        assert_eq!(manifest().parse_chunk(0, &chunk().to_bytes()), Ok(chunk()));
        assert_eq!(Manifest::from_json(&manifest().to_json()), Ok(manifest()));
        let (manifest, chunk) = text();
        assert_eq!(manifest.parse_chunk(0, &chunk.to_bytes()), Ok(chunk));
        assert_eq!(Manifest::from_json(&manifest.to_json()), Ok(manifest));
    }

    #[test]
    fn digests_of_labeled_sets_stay_what_they_are() {
        let json = manifest().to_json();
        let chunk = manifest().chunks[0];
        let expected = format!(
            r#"{{"sample_shape":[2],"classes":3,"samples":3,"chunk_samples":4,"chunks":["{chunk}"]}}"#
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn a_manifest_fits_models_of_its_kind() {
        let graph = |input, layers| {
            crate::graph::build(&crate::run_file::ModelSpec {
                input,
                layers,
                loss: crate::run_file::LossSpec::SoftmaxCrossEntropy,
            })
        };
        let dense = |units| crate::run_file::LayerSpec::dense(units);
        let embedding = |vocabulary| crate::run_file::LayerSpec::Embedding {
            vocabulary,
            width: 2,
        };
        let (text, _) = text();
        let words = graph(vec![2], vec![embedding(3), dense(3)]);
        let more_words = graph(vec![2], vec![embedding(4), dense(4)]);
        let values = graph(vec![2], vec![dense(3)]);
        let wide = graph(vec![3], vec![dense(3)]);
        let few = graph(vec![2], vec![dense(2)]);
        assert!(text.fits(&words));
        assert!(![&more_words, &values].into_iter().any(|g| text.fits(g)));
        assert!(manifest().fits(&values));
        assert!(
            ![&words, &wide, &few]
                .into_iter()
                .any(|g| manifest().fits(g))
        );
    }

    #[test]
    fn bad_chunks_are_refused() {
        let mut bytes = chunk().to_bytes();
        assert!(matches!(
            manifest().parse_chunk(0, &bytes[1..]),
            Err(DatasetError::WrongLength {
                expected: 12,
                got: 11,
                ..
            })
        ));
        bytes[0] ^= 1;
        assert!(matches!(
            manifest().parse_chunk(0, &bytes),
            Err(DatasetError::WrongDigest { .. })
        ));
        let (text, _) = text();
        let foreign = Chunk::Text(Tokens::Narrow(vec![0, 1, 2, 3, 0, 1, 2]));
        let text = Manifest {
            chunks: vec![Digest::of(&foreign.to_bytes())],
            ..text
        };
        assert!(matches!(
            text.parse_chunk(0, &foreign.to_bytes()),
            Err(DatasetError::WrongLabel { label: 3, .. })
        ));
        let few_classes = Manifest {
            classes: 2,
            ..manifest()
        };
        assert!(matches!(
            few_classes.parse_chunk(0, &chunk().to_bytes()),
            Err(DatasetError::WrongLabel {
                label: 2,
                classes: 2,
                ..
            })
        ));
    }

    #[test]
    fn inconsistent_manifests_are_refused() {
        let cases = [
            Manifest {
                samples: 0,
                ..manifest()
            },
            Manifest {
                samples: 5,
                ..manifest()
            },
            Manifest {
                classes: 0,
                ..manifest()
            },
            Manifest {
                sample_shape: vec![usize::MAX, 2],
                ..manifest()
            },
            Manifest {
                sample_shape: vec![0],
                ..manifest()
            },
        ];
        let (text, _) = text();
        let texts = [
            Manifest {
                classes: 4,
                ..text.clone()
            },
            Manifest {
                sample_shape: vec![2, 1],
                ..text.clone()
            },
            Manifest {
                sample_shape: vec![MAX_CHUNK_BYTES],
                ..text
            },
        ];
        for case in cases.into_iter().chain(texts) {
            assert!(Manifest::from_json(&case.to_json()).is_err(), "{case:?}");
        }
        assert!(Manifest::from_json("{").is_err());
    }
}

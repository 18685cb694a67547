//! Data sets as workers see them: a manifest and content-addressed chunks.
//!
//! A chunk holds consecutive samples: of labeled samples all inputs (`samples · features` bytes), then all
//! labels (`u16` little-endian), where an input is a byte or an `f32` (little-endian); of samples with soft targets all inputs, then a probability for each class
//! (`samples · classes` `f32` little-endian); of a text `samples · context + 1` tokens, of which the last one is also the
//! first of the next chunk, so that each chunk holds the labels of all of its samples. Chunks are named by the
//! digest of their bytes, the manifest by the digest of its JSON.

mod chunk;
mod columns;
#[cfg(test)]
mod tests;
mod text;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use chunk::Chunk;
pub use columns::{Column, ColumnKind, Preparation};
pub use text::{Tokens, Vocabulary};

use crate::digest::Digest;
use crate::graph::{Graph, Targets};

/// Samples of a full chunk.
pub const CHUNK_SAMPLES: u32 = 1_024;
/// Largest chunk in bytes.
pub const MAX_CHUNK_BYTES: usize = 32 << 20;
/// Largest manifest in bytes.
pub const MAX_MANIFEST_BYTES: usize = 8 << 20;

/// What the samples of a data set are to be told apart by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A class for each sample or, of a text, each token.
    #[default]
    Labels,
    /// A probability for each class, as a teacher gives them.
    Soft,
}

impl TargetKind {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Soft => "soft targets",
        }
    }

    /// What a graph's loss compares with.
    pub fn of(graph: &Graph) -> Self {
        match graph.loss.targets() {
            Targets::Classes => Self::Labels,
            Targets::Values => Self::Soft,
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    fn is_labels(&self) -> bool {
        *self == Self::Labels
    }
}

/// How the inputs of a sample that is no text are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A byte each, which the run's normalization makes a value of.
    #[default]
    Bytes,
    /// A little-endian `f32` each, as the model takes it.
    Values,
}

impl InputKind {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    fn is_bytes(&self) -> bool {
        *self == Self::Bytes
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Values => size_of::<f32>(),
        }
    }
}

/// The manifest of a training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What stands beside the inputs.
    #[serde(default, skip_serializing_if = "TargetKind::is_labels")]
    pub targets: TargetKind,
    /// How inputs are stored.
    #[serde(default, skip_serializing_if = "InputKind::is_bytes")]
    pub inputs: InputKind,
    /// Where the values and the classes come from: what it takes to prepare further samples in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preparation: Option<Preparation>,
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
    /// The manifest is not the one that was named.
    #[error(
        "the data set manifest was damaged on its way: its digest is {got} instead of {expected}"
    )]
    WrongManifest {
        /// As named.
        expected: Digest,
        /// Of the bytes received.
        got: Digest,
    },
    /// The model is made for other data.
    #[error("the data does not fit the model: it has {data}, the model takes {model}")]
    Unfit {
        /// Kind and sizes of the data.
        data: String,
        /// What the model takes.
        model: String,
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
    /// An input is infinite or undefined.
    #[error("chunk {chunk_idx} has {value} as an input, which is no finite number")]
    WrongInput {
        /// Which chunk.
        chunk_idx: usize,
        /// The value, printed.
        value: String,
    },
    /// A soft target is no probability.
    #[error(
        "chunk {chunk_idx} has {value} as the target of class {class}, which is no probability"
    )]
    WrongTarget {
        /// Which chunk.
        chunk_idx: usize,
        /// Which class.
        class: usize,
        /// The value, printed.
        value: String,
    },
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

    /// Reads the manifest that a digest names.
    ///
    /// # Errors
    /// Where it is another one, or wrong in itself.
    pub fn from_bytes(bytes: &[u8], expected: Digest) -> Result<Self, DatasetError> {
        let got = Digest::of(bytes);
        if got != expected {
            return Err(DatasetError::WrongManifest { expected, got });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| DatasetError::Manifest {
            message: error.to_string(),
        })?;
        Self::from_json(text)
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
        let is_plain = self.vocabulary.is_none() && self.targets == TargetKind::Labels;
        if self.inputs == InputKind::Values && !is_plain {
            return inconsistent("only samples with a class each are stored as values");
        }
        if let Some(preparation) = &self.preparation {
            preparation.check(features, self.classes)?;
        }
        if let Some(vocabulary) = &self.vocabulary {
            if self.sample_shape.len() != 1 {
                return inconsistent("the samples of a text are sequences");
            }
            if self.targets != TargetKind::Labels {
                return inconsistent("the targets of a text are its own characters");
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
            None => features
                .checked_mul(self.inputs.bytes())?
                .checked_add(self.target_bytes())?
                .checked_mul(samples),
            Some(vocabulary) => samples
                .checked_mul(features)?
                .checked_add(1)?
                .checked_mul(vocabulary.token_bytes()),
        }
    }

    /// Bytes beside each sample's inputs.
    fn target_bytes(&self) -> usize {
        match self.targets {
            TargetKind::Labels => size_of::<u16>(),
            TargetKind::Soft => self.classes as usize * size_of::<f32>(),
        }
    }

    /// Length of a full chunk.
    pub fn full_chunk_bytes(&self) -> usize {
        self.chunk_bytes(self.chunk_samples as usize, self.features())
            .unwrap_or(MAX_CHUNK_BYTES)
    }

    /// Checks that a model can be trained on it.
    ///
    /// # Errors
    /// [`DatasetError::Unfit`], with what either has.
    pub fn check_fit(&self, graph: &Graph) -> Result<(), DatasetError> {
        let classes = self.classes as usize;
        let targets = TargetKind::of(graph);
        let has_classes = match (&self.vocabulary, targets) {
            (None, TargetKind::Labels) => classes <= graph.classes,
            _ => classes == graph.classes,
        };
        let vocabulary = self.vocabulary.as_ref().map(Vocabulary::len);
        if self.features() == graph.input_features()
            && vocabulary == graph.vocabulary
            && self.targets == targets
            && has_classes
        {
            return Ok(());
        }
        let words = |features, vocabulary: Option<usize>, classes, targets: TargetKind| {
            let inputs = match vocabulary {
                None => format!("{features} values"),
                Some(tokens) => format!("{features} of {tokens} tokens"),
            };
            format!("{inputs} and {} of {classes} classes", targets.as_str())
        };
        Err(DatasetError::Unfit {
            data: words(self.features(), vocabulary, classes, self.targets),
            model: words(
                graph.input_features(),
                graph.vocabulary,
                graph.classes,
                targets,
            ),
        })
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
}

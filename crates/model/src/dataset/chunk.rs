//! Chunks: samples as they are stored and sent.

use super::{DatasetError, InputKind, Manifest, TargetKind, Tokens};
use crate::digest::Digest;

/// A checked chunk.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// Samples with one label each.
    Labeled {
        /// (samples, features).
        inputs: Vec<u8>,
        /// One per sample.
        labels: Vec<u16>,
    },
    /// Samples with a probability for each class.
    Soft {
        /// (samples, features).
        inputs: Vec<u8>,
        /// (samples, classes).
        targets: Vec<f32>,
    },
    /// Samples that are stored as the model takes them, with one label each.
    Values {
        /// (samples, features).
        inputs: Vec<f32>,
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
            Self::Soft { inputs, targets } => {
                let mut bytes = inputs.clone();
                bytes.extend(targets.iter().flat_map(|target| target.to_le_bytes()));
                bytes
            }
            Self::Values { inputs, labels } => {
                let values = inputs.iter().flat_map(|value| value.to_le_bytes());
                let labels = labels.iter().flat_map(|label| label.to_le_bytes());
                values.chain(labels).collect()
            }
            Self::Text(tokens) => tokens.to_bytes(),
        }
    }
}

impl Manifest {
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
        let (chunk, largest) = match (&self.vocabulary, self.targets) {
            (None, TargetKind::Labels) if self.inputs == InputKind::Values => {
                self.values(chunk_idx, bytes, samples)?
            }
            (None, TargetKind::Labels) => self.labeled(bytes, samples),
            (None, TargetKind::Soft) => (self.soft(chunk_idx, bytes, samples)?, None),
            (Some(vocabulary), _) => {
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
        let (labels, largest) = read_labels(labels);
        let inputs = inputs.to_vec();
        (Chunk::Labeled { inputs, labels }, largest)
    }

    fn values(
        &self,
        chunk_idx: usize,
        bytes: &[u8],
        samples: usize,
    ) -> Result<(Chunk, Option<u16>), DatasetError> {
        let (inputs, labels) = bytes.split_at(samples * self.features() * size_of::<f32>());
        let (words, _) = inputs.as_chunks();
        let inputs: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        if let Some(at) = inputs.iter().position(|value| !value.is_finite()) {
            let value = inputs[at].to_string();
            return Err(DatasetError::WrongInput { chunk_idx, value });
        }
        let (labels, largest) = read_labels(labels);
        Ok((Chunk::Values { inputs, labels }, largest))
    }

    fn soft(&self, chunk_idx: usize, bytes: &[u8], samples: usize) -> Result<Chunk, DatasetError> {
        let (inputs, targets) = bytes.split_at(samples * self.features());
        let (words, _) = targets.as_chunks();
        let targets: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        // Neither infinity nor what is no number is in the range.
        let bad = targets.iter().position(|t| !(0.0..=1.0).contains(t));
        if let Some(at) = bad {
            return Err(DatasetError::WrongTarget {
                chunk_idx,
                class: at % self.classes as usize,
                value: targets[at].to_string(),
            });
        }
        let inputs = inputs.to_vec();
        Ok(Chunk::Soft { inputs, targets })
    }
}

/// Stored labels and the largest of them.
fn read_labels(bytes: &[u8]) -> (Vec<u16>, Option<u16>) {
    let (pairs, _) = bytes.as_chunks();
    let labels: Vec<u16> = pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect();
    let largest = labels.iter().copied().max();
    (labels, largest)
}

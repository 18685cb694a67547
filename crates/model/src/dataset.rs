//! Data sets as workers see them: a manifest and content-addressed chunks.
//!
//! A chunk holds consecutive samples: all inputs (`samples · features` bytes), then all labels (`u16`
//! little-endian). Chunks are named by the digest of their bytes, the manifest by the digest of its JSON.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::Digest;

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
pub struct Chunk {
    /// (samples, features).
    pub inputs: Vec<u8>,
    /// One per sample.
    pub labels: Vec<u16>,
}

impl Chunk {
    /// The bytes as stored and served.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.inputs.clone();
        bytes.extend(self.labels.iter().flat_map(|label| label.to_le_bytes()));
        bytes
    }
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// Where the JSON or its numbers are wrong.
    pub fn from_json(text: &str) -> Result<Self, DatasetError> {
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
        let chunk_bytes = features
            .filter(|&n| n > 0)
            .and_then(|n| n.checked_add(2))
            .and_then(|n| n.checked_mul(self.chunk_samples as usize));
        if chunk_bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return inconsistent("a chunk would be empty or too large");
        }
        if self.chunks.len() != self.samples.div_ceil(self.chunk_samples) as usize {
            return inconsistent("the number of chunks does not follow from the number of samples");
        }
        Ok(())
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
        let expected = samples * (self.features() + 2);
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
        let (inputs, labels) = bytes.split_at(samples * self.features());
        let labels: Vec<u16> = labels
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        if let Some(&label) = labels
            .iter()
            .find(|&&label| u32::from(label) >= self.classes)
        {
            return Err(DatasetError::WrongLabel {
                chunk_idx,
                label,
                classes: self.classes,
            });
        }
        Ok(Chunk {
            inputs: inputs.to_vec(),
            labels,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        Chunk {
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
        }
    }

    #[test]
    fn chunk_round_trip() {
        assert_eq!(manifest().parse_chunk(0, &chunk().to_bytes()), Ok(chunk()));
        assert_eq!(Manifest::from_json(&manifest().to_json()), Ok(manifest()));
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
        for case in cases {
            assert!(Manifest::from_json(&case.to_json()).is_err(), "{case:?}");
        }
        assert!(Manifest::from_json("{").is_err());
    }
}

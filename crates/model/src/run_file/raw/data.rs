//! The section `[data]` as written: one form for each kind of file.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::run_file) enum RawData {
    Idx {
        path: String,
        #[serde(default)]
        normalize: RawNormalize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shuffle_window: Option<u32>,
    },
    Text {
        path: String,
        vocabulary: RawVocabulary,
        context: usize,
        #[serde(default = "validation")]
        validation: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shuffle_window: Option<u32>,
    },
    Csv(RawTable),
    Tsv(RawTable),
    Parquet(RawTable),
    Npy(RawArrays),
    Images(RawImages),
}

fn validation() -> f64 {
    0.1
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawVocabulary {
    Characters,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawNormalize {
    pub(in crate::run_file) mean: f32,
    pub(in crate::run_file) std: f32,
}

impl Default for RawNormalize {
    fn default() -> Self {
        Self {
            mean: 0.0,
            std: 1.0,
        }
    }
}

/// Rows of named columns: comma- or tab-separated text, or Parquet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawTable {
    pub(in crate::run_file) path: String,
    /// The column that holds the class.
    pub(in crate::run_file) label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) separator: Option<char>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) header: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::run_file) categorical: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::run_file) ignore: Vec<String>,
    #[serde(default)]
    pub(in crate::run_file) missing: RawMissing,
    #[serde(default = "standard")]
    pub(in crate::run_file) normalize: RawScaling,
    #[serde(default)]
    pub(in crate::run_file) split: RawSplit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) shuffle_window: Option<u32>,
}

/// Arrays of `NumPy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawArrays {
    pub(in crate::run_file) path: String,
    #[serde(default = "inputs")]
    pub(in crate::run_file) inputs: String,
    #[serde(default = "labels")]
    pub(in crate::run_file) labels: String,
    #[serde(default)]
    pub(in crate::run_file) normalize: RawScaling,
    #[serde(default)]
    pub(in crate::run_file) split: RawSplit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) shuffle_window: Option<u32>,
}

/// A folder with a folder of pictures for each class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawImages {
    pub(in crate::run_file) path: String,
    #[serde(default)]
    pub(in crate::run_file) fit: RawFit,
    #[serde(default)]
    pub(in crate::run_file) normalize: RawNormalize,
    #[serde(default)]
    pub(in crate::run_file) split: RawSplit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) shuffle_window: Option<u32>,
}

fn inputs() -> String {
    "x".to_owned()
}
fn labels() -> String {
    "y".to_owned()
}
fn standard() -> RawScaling {
    RawScaling::Word(RawScalingWord::Standard)
}

/// What becomes of cells without a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawMissing {
    #[default]
    Refuse,
    Mean,
    Zero,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawFit {
    #[default]
    Exact,
    Stretch,
}

/// Shares of the samples that are not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawSplit {
    #[serde(default = "validation")]
    pub(in crate::run_file) validation: f64,
    #[serde(default)]
    pub(in crate::run_file) test: f64,
}

impl Default for RawSplit {
    fn default() -> Self {
        Self {
            validation: validation(),
            test: 0.0,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawScalingWord {
    #[default]
    None,
    Standard,
    Range,
}

/// `"standard"`, or `{ mean = 0.5, std = 0.25 }` for arrays of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(in crate::run_file) enum RawScaling {
    Word(RawScalingWord),
    Bytes(RawNormalize),
}

impl Default for RawScaling {
    fn default() -> Self {
        Self::Word(RawScalingWord::None)
    }
}

impl<'de> Deserialize<'de> for RawScaling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scaling;

        impl<'de> Visitor<'de> for Scaling {
            type Value = RawScaling;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"standard\", \"range\", or a table of mean and std")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RawScaling, E> {
                let word = de::value::StrDeserializer::new(word);
                RawScalingWord::deserialize(word).map(RawScaling::Word)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawScaling, A::Error> {
                let map = MapAccessDeserializer::new(map);
                RawNormalize::deserialize(map).map(RawScaling::Bytes)
            }
        }

        deserializer.deserialize_any(Scaling)
    }
}

//! The `[model]` section as written.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::loss::RawLoss;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawModel {
    pub(in crate::run_file) input: Vec<usize>,
    pub(in crate::run_file) layers: Vec<RawLayer>,
    pub(in crate::run_file) loss: RawLoss,
    /// The server's business: workers get parameters from it in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) init: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::run_file) enum RawLayer {
    Flatten {},
    Dense {
        units: usize,
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    TiedDense {
        #[serde(default)]
        bias: bool,
    },
    Relu {},
    Gelu {},
    Sigmoid {},
    Tanh {},
    Conv2d {
        channels: usize,
        kernel: RawPair,
        #[serde(default = "one")]
        stride: RawPair,
        #[serde(default = "valid")]
        padding: RawPadding,
        #[serde(default = "one_group")]
        groups: usize,
        #[serde(default = "yes")]
        bias: bool,
    },
    MaxPool {
        size: RawPair,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<RawPair>,
    },
    AvgPool {
        size: RawPair,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<RawPair>,
    },
    Dropout {
        rate: f32,
    },
    Embedding {
        vocabulary: usize,
        width: usize,
    },
    PositionalEmbedding {},
    LayerNorm {
        #[serde(default = "epsilon")]
        epsilon: f32,
    },
    Attention {
        heads: usize,
        #[serde(default = "yes")]
        causal: bool,
    },
    Residual {
        layers: Vec<Self>,
    },
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}

fn one() -> RawPair {
    RawPair::Both(1)
}

fn valid() -> RawPadding {
    RawPadding::Valid
}

fn one_group() -> usize {
    1
}

fn epsilon() -> f32 {
    1e-5
}

/// A vertical and a horizontal size: `3` or `[3, 5]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(in crate::run_file) enum RawPair {
    Both(usize),
    Each([usize; 2]),
}

impl RawPair {
    pub(in crate::run_file) fn sizes(self) -> [usize; 2] {
        match self {
            Self::Both(size) => [size; 2],
            Self::Each(sizes) => sizes,
        }
    }
}

impl<'de> Deserialize<'de> for RawPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;

        impl<'de> Visitor<'de> for Sizes {
            type Value = RawPair;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, or two for height and width")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<RawPair, E> {
                whole(value, &self).map(RawPair::Both)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<RawPair, E> {
                whole(value, &self).map(RawPair::Both)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<RawPair, A::Error> {
                let mut sizes = [0; 2];
                for (idx, size) in sizes.iter_mut().enumerate() {
                    let next = values.next_element()?;
                    *size = next.ok_or_else(|| de::Error::invalid_length(idx, &self))?;
                }
                match values.next_element::<usize>()? {
                    None => Ok(RawPair::Each(sizes)),
                    Some(_) => Err(de::Error::invalid_length(3, &self)),
                }
            }
        }

        deserializer.deserialize_any(Sizes)
    }
}

/// `"same"`, `"valid"` or a number of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::run_file) enum RawPadding {
    Same,
    Valid,
    Pixels(usize),
}

impl Serialize for RawPadding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same => serializer.serialize_str("same"),
            Self::Valid => serializer.serialize_str("valid"),
            Self::Pixels(pixels) => pixels.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RawPadding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Border;

        impl Visitor<'_> for Border {
            type Value = RawPadding;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"same\", \"valid\" or a number of pixels")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RawPadding, E> {
                match word {
                    "same" => Ok(RawPadding::Same),
                    "valid" => Ok(RawPadding::Valid),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<RawPadding, E> {
                whole(value, &self).map(RawPadding::Pixels)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<RawPadding, E> {
                whole(value, &self).map(RawPadding::Pixels)
            }
        }

        deserializer.deserialize_any(Border)
    }
}

fn whole<N, E>(value: N, expected: &dyn de::Expected) -> Result<usize, E>
where
    N: Copy + fmt::Display + TryInto<usize>,
    E: de::Error,
{
    let number = value.to_string();
    let unexpected = de::Unexpected::Other(&number);
    value
        .try_into()
        .ok()
        .ok_or_else(|| E::invalid_value(unexpected, expected))
}

//! The key `model.loss` as written: a word, or a table with more to say.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `"mse"` or `{ kind = "softmax_cross_entropy", targets = "soft", temperature = 2.0 }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub(in crate::run_file) enum RawLoss {
    Word(RawLossKind),
    Table(RawLossTable),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::run_file) struct RawLossTable {
    pub(in crate::run_file) kind: RawLossKind,
    #[serde(default)]
    pub(in crate::run_file) targets: RawTargets,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::run_file) temperature: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawLossKind {
    SoftmaxCrossEntropy,
    Mse,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::run_file) enum RawTargets {
    #[default]
    Classes,
    Soft,
}

impl RawLoss {
    /// The long form.
    pub(in crate::run_file) fn table(self) -> RawLossTable {
        match self {
            Self::Word(kind) => RawLossTable {
                kind,
                targets: RawTargets::Classes,
                temperature: None,
            },
            Self::Table(table) => table,
        }
    }
}

impl<'de> Deserialize<'de> for RawLoss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Loss;

        impl<'de> Visitor<'de> for Loss {
            type Value = RawLoss;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a loss, or a table with its kind")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RawLoss, E> {
                let word = de::value::StrDeserializer::new(word);
                RawLossKind::deserialize(word).map(RawLoss::Word)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawLoss, A::Error> {
                let map = MapAccessDeserializer::new(map);
                RawLossTable::deserialize(map).map(RawLoss::Table)
            }
        }

        deserializer.deserialize_any(Loss)
    }
}

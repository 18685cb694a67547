//! The rules of the section `[data]`.

use super::Check;
use crate::path_part::is_path_part;
use crate::run_file::raw::{
    RawArrays, RawData, RawFit, RawImages, RawMissing, RawNormalize, RawScaling, RawScalingWord,
    RawSplit, RawTable, RawVocabulary,
};
use crate::run_file::{
    ArraySpec, DataFormat, DataSpec, ImageFit, MAX_CONTEXT, Missing, Normalization, Scaling, Split,
    TableKind, TableSpec, TextSpec, TextUnit,
};

/// Longest name of a column or an array.
const MAX_NAME_CHARS: usize = 120;
/// Longest list of columns.
const MAX_NAMES: usize = 1_000;
const PLAIN: Normalization = Normalization {
    mean: 0.0,
    std: 1.0,
};

impl RawData {
    /// Path, window, and whether the path is one of a folder or of a file.
    fn place(&self) -> (&str, Option<u32>, &'static str) {
        match self {
            Self::Idx {
                path,
                shuffle_window,
                ..
            } => (path, *shuffle_window, "folder"),
            Self::Text {
                path,
                shuffle_window,
                ..
            }
            | Self::Csv(RawTable {
                path,
                shuffle_window,
                ..
            })
            | Self::Tsv(RawTable {
                path,
                shuffle_window,
                ..
            })
            | Self::Parquet(RawTable {
                path,
                shuffle_window,
                ..
            }) => (path, *shuffle_window, "file"),
            Self::Npy(raw) => (&raw.path, raw.shuffle_window, "file or folder"),
            Self::Images(raw) => (&raw.path, raw.shuffle_window, "folder"),
        }
    }
}

impl Check {
    pub(super) fn data(&mut self, raw: &RawData) -> DataSpec {
        let (path, shuffle_window, what) = raw.place();
        let holds = !path.is_empty() && path.split('/').all(is_path_part);
        let problem = format!("{path:?} is not a {what} below the data set directory");
        let remedy = "write a relative path of letters, digits, dots, dashes and underscores";
        self.require(holds, "data.path", problem, remedy);
        let mut normalization = PLAIN;
        let format = match raw {
            RawData::Idx { normalize, .. } => {
                normalization = self.normalization(*normalize);
                DataFormat::Idx
            }
            RawData::Text {
                vocabulary,
                context,
                validation,
                ..
            } => {
                let unit = match vocabulary {
                    RawVocabulary::Characters => TextUnit::Characters,
                    RawVocabulary::Bytes => TextUnit::Bytes,
                };
                self.tokens(unit, *context, *validation)
            }
            RawData::Csv(table) => self.separated(table, ','),
            RawData::Tsv(table) => self.separated(table, '\t'),
            RawData::Parquet(table) => self.parquet(table),
            RawData::Npy(arrays) => {
                if let RawScaling::Bytes(raw) = arrays.normalize {
                    normalization = self.normalization(raw);
                }
                self.arrays(arrays)
            }
            RawData::Images(images) => {
                normalization = self.normalization(images.normalize);
                self.images(images)
            }
        };
        if let Some(window) = shuffle_window {
            self.within("data.shuffle_window", window.into(), 1, u32::MAX.into());
        }
        DataSpec {
            path: path.to_owned(),
            format,
            normalization,
            shuffle_window,
        }
    }

    fn tokens(&mut self, unit: TextUnit, context: usize, validation: f64) -> DataFormat {
        self.within("data.context", context as u64, 1, MAX_CONTEXT as u64);
        let remedy = "write a share above 0 and at most 0.5";
        let allowed = |v| v > 0.0 && v <= 0.5;
        self.real("data.validation", validation, allowed, remedy);
        DataFormat::Text(TextSpec {
            unit,
            context,
            validation,
        })
    }

    fn separated(&mut self, raw: &RawTable, usual: char) -> DataFormat {
        let separator = raw.separator.unwrap_or(usual);
        let problem = format!("{separator:?} can't separate cells");
        let remedy = "write \",\", \";\", \"|\", \" \" or \"\\t\"";
        let holds = [',', ';', '|', ' ', '\t'].contains(&separator);
        self.require(holds, "data.separator", problem, remedy);
        let kind = TableKind::Separated {
            separator: u8::try_from(separator).unwrap_or(b','),
            header: raw.header.unwrap_or(true),
        };
        self.table(raw, kind)
    }

    fn parquet(&mut self, raw: &RawTable) -> DataFormat {
        for (key, is_there) in [
            ("separator", raw.separator.is_some()),
            ("header", raw.header.is_some()),
        ] {
            let problem = format!("a Parquet file has no {key}");
            self.require(
                !is_there,
                &format!("data.{key}"),
                problem,
                "leave the key out",
            );
        }
        self.table(raw, TableKind::Parquet)
    }

    fn table(&mut self, raw: &RawTable, kind: TableKind) -> DataFormat {
        self.names("data.label", std::slice::from_ref(&raw.label));
        self.names("data.categorical", &raw.categorical);
        self.names("data.ignore", &raw.ignore);
        let both = raw
            .ignore
            .iter()
            .find(|name| raw.categorical.contains(name));
        let problem = format!("{:?} is in data.categorical, too", both.map_or("", |n| n));
        self.require(
            both.is_none(),
            "data.ignore",
            problem,
            "write it in one of them",
        );
        for (key, names) in [("categorical", &raw.categorical), ("ignore", &raw.ignore)] {
            let problem = format!("{:?} is the label", raw.label);
            let holds = !names.contains(&raw.label);
            self.require(holds, &format!("data.{key}"), problem, "leave it out there");
        }
        DataFormat::Table(TableSpec {
            kind,
            label: raw.label.clone(),
            categorical: raw.categorical.clone(),
            ignore: raw.ignore.clone(),
            missing: match raw.missing {
                RawMissing::Refuse => Missing::Refuse,
                RawMissing::Mean => Missing::Mean,
                RawMissing::Zero => Missing::Zero,
            },
            scaling: self.table_scaling(raw.normalize),
            split: self.split(raw.split),
        })
    }

    fn table_scaling(&mut self, raw: RawScaling) -> Scaling {
        let problem = "a table's columns have no mean and std in common".to_owned();
        let remedy = "write \"standard\", \"range\" or \"none\"";
        let is_word = matches!(raw, RawScaling::Word(_));
        self.require(is_word, "data.normalize", problem, remedy);
        match raw {
            RawScaling::Word(word) => scaling(word),
            RawScaling::Bytes(_) => Scaling::None,
        }
    }

    fn arrays(&mut self, raw: &RawArrays) -> DataFormat {
        for (key, name) in [("inputs", &raw.inputs), ("labels", &raw.labels)] {
            let problem = format!("{name:?} is no name of an array");
            let remedy = "write letters, digits, dots, dashes and underscores";
            self.require(is_path_part(name), &format!("data.{key}"), problem, remedy);
        }
        let problem = format!("{:?} can't be inputs and labels at once", raw.inputs);
        let remedy = "write the names of two arrays";
        self.require(raw.inputs != raw.labels, "data.labels", problem, remedy);
        DataFormat::Arrays(ArraySpec {
            inputs: raw.inputs.clone(),
            labels: raw.labels.clone(),
            scaling: match raw.normalize {
                RawScaling::Word(word) => Some(scaling(word)),
                RawScaling::Bytes(_) => None,
            },
            split: self.split(raw.split),
        })
    }

    fn images(&mut self, raw: &RawImages) -> DataFormat {
        DataFormat::Images {
            fit: match raw.fit {
                RawFit::Exact => ImageFit::Exact,
                RawFit::Stretch => ImageFit::Stretch,
            },
            split: self.split(raw.split),
        }
    }

    fn split(&mut self, raw: RawSplit) -> Split {
        let remedy = "write a share above 0 and at most 0.5";
        let allowed = |v| v > 0.0 && v <= 0.5;
        self.real("data.split.validation", raw.validation, allowed, remedy);
        let remedy = "write a share from 0 to below 0.5";
        let allowed = |v| (0.0..0.5).contains(&v);
        self.real("data.split.test", raw.test, allowed, remedy);
        Split {
            validation: raw.validation,
            test: raw.test,
        }
    }

    fn names(&mut self, place: &str, names: &[String]) {
        let problem = format!("{} names are too many", names.len());
        let remedy = format!("write at most {MAX_NAMES}");
        self.require(names.len() <= MAX_NAMES, place, problem, &remedy);
        let is_bad = |name: &&String| name.is_empty() || name.chars().count() > MAX_NAME_CHARS;
        let bad = names.iter().find(is_bad);
        let problem = format!("{:?} is no name of a column", bad.map_or("", |n| n));
        let remedy = format!("write the column's name, of 1 to {MAX_NAME_CHARS} characters");
        self.require(bad.is_none(), place, problem, &remedy);
        let twice = names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name));
        let problem = format!("{:?} is there twice", twice.map_or("", |(_, name)| name));
        self.require(twice.is_none(), place, problem, "write it once");
    }

    fn normalization(&mut self, raw: RawNormalize) -> Normalization {
        let positive = "write a number above 0 and at most 1000";
        let allowed = |v| v > 1e-6 && v <= 1e3;
        self.real("data.normalize.std", raw.std, allowed, positive);
        let remedy = "write a number from -1000 to 1000";
        self.real("data.normalize.mean", raw.mean, |v| v.abs() <= 1e3, remedy);
        Normalization {
            mean: raw.mean,
            std: raw.std,
        }
    }
}

fn scaling(word: RawScalingWord) -> Scaling {
    match word {
        RawScalingWord::None => Scaling::None,
        RawScalingWord::Standard => Scaling::Standard,
        RawScalingWord::Range => Scaling::Range,
    }
}

//! What is computed: one of the run files that ship, or another.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use tabswarm_model::Run;

use super::BenchError;

/// A model to measure with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A perceptron for handwritten digits.
    Mlp,
    /// A convolutional network for handwritten digits.
    Cnn,
    /// A small language model.
    Gpt,
    /// The model of a run file.
    File(PathBuf),
}

impl FromStr for Work {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "mlp" => Self::Mlp,
            "cnn" => Self::Cnn,
            "gpt" => Self::Gpt,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mlp => f.write_str("mlp"),
            Self::Cnn => f.write_str("cnn"),
            Self::Gpt => f.write_str("gpt"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Work {
    /// The run with the model.
    pub(crate) fn load(&self) -> Result<Run, BenchError> {
        let read;
        let text = match self {
            Self::Mlp => include_str!("../../../runs/mnist-mlp.toml"),
            Self::Cnn => include_str!("../../../runs/mnist-cnn.toml"),
            Self::Gpt => include_str!("../../../runs/char-gpt.toml"),
            Self::File(path) => {
                read = fs::read_to_string(path).map_err(|source| BenchError::Unreadable {
                    path: path.clone(),
                    source,
                })?;
                &read
            }
        };
        Run::from_toml(text).map_err(|source| BenchError::Invalid {
            work: self.to_string(),
            source,
        })
    }

    /// Samples of a micro-batch where nobody asks for another number: those that published figures use, which
    /// are more than a volunteer's device should be kept busy with at a time.
    pub(super) fn micro_batch(&self, run: &Run) -> u32 {
        match self {
            Self::Mlp | Self::Cnn => 128,
            Self::Gpt => 16,
            Self::File(_) => run.micro_batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_works_that_ship_are_run_files() {
        for word in ["mlp", "cnn", "gpt"] {
            let work: Work = word.parse().unwrap();
            assert_eq!(work.to_string(), word);
            work.load().unwrap();
        }
    }

    #[test]
    fn other_words_are_files() {
        let work: Work = "runs/x.toml".parse().unwrap();
        assert_eq!(work, Work::File("runs/x.toml".into()));
        assert!(matches!(work.load(), Err(BenchError::Unreadable { .. })));
    }
}

//! The works: models of run files that ship, with the micro-batches that published figures use.

use std::fs;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::Value;

use crate::workspace::Workspace;

/// A model to measure with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// A perceptron for handwritten digits.
    Mlp,
    /// A convolutional network for handwritten digits.
    Cnn,
    /// A small language model.
    Gpt,
}

/// What every contender is told to compute.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) work: Work,
    /// The run file's content.
    pub(super) run: Value,
    /// Samples of a micro-batch.
    pub(super) micro_batch: u32,
}

impl Work {
    /// The word for it, also in `tabswarm-worker bench --work`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Cnn => "cnn",
            Self::Gpt => "gpt",
        }
    }

    fn run_file(self) -> &'static str {
        match self {
            Self::Mlp => "runs/mnist-mlp.toml",
            Self::Cnn => "runs/mnist-cnn.toml",
            Self::Gpt => "runs/char-gpt.toml",
        }
    }

    fn micro_batch(self) -> u32 {
        match self {
            Self::Mlp | Self::Cnn => 128,
            Self::Gpt => 16,
        }
    }

    /// The task. Peers build their models from the same file, so that shapes can't differ.
    pub(super) fn task(self, workspace: &Workspace) -> Result<Task> {
        let path = workspace.root().join(self.run_file());
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let run = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(Task {
            work: self,
            run,
            micro_batch: self.micro_batch(),
        })
    }
}

impl Task {
    /// What is counted, and how many there are in a sample: a sequence counts by its tokens.
    pub(super) fn unit(&self) -> (&'static str, f64) {
        let context = &self.run["data"]["context"];
        match context.as_f64() {
            Some(context) => ("tokens", context),
            None => ("samples", 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_files_are_there() {
        let workspace = Workspace::locate().unwrap();
        let units =
            [Work::Mlp, Work::Cnn, Work::Gpt].map(|work| work.task(&workspace).unwrap().unit());
        assert_eq!(
            units,
            [("samples", 1.0), ("samples", 1.0), ("tokens", 64.0)]
        );
    }
}

//! Prints the digests of gradients that every machine and browser must give, as JSON: for each arithmetic class
//! of this machine those of random graphs, by seed, and those of the shipped runs; and the runs themselves.
//!
//! A digest is printed only if all paths of its class that run here agree on it. The browser tests compare it
//! with what the browser gives.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tabswarm_compute::bits::Case;
use tabswarm_compute::{ArithmeticClass, probe};
use tabswarm_model::Run;
use tabswarm_model::digest::Digest;

/// As many as the tests of the engine try.
const RANDOM_GRAPHS: u64 = 150;
const RUNS: [&str; 3] = [
    include_str!("../../../runs/mnist-mlp.toml"),
    include_str!("../../../runs/mnist-cnn.toml"),
    include_str!("../../../runs/char-gpt.toml"),
];

#[derive(Serialize)]
struct Digests {
    /// The runs' JSON by name.
    runs: BTreeMap<String, String>,
    classes: BTreeMap<&'static str, ClassDigests>,
}

#[derive(Serialize)]
struct ClassDigests {
    /// By seed.
    random_graphs: Vec<String>,
    /// By name.
    runs: BTreeMap<String, String>,
}

fn main() -> Result<()> {
    let runs: Vec<Run> = RUNS
        .into_iter()
        .map(Run::from_toml)
        .collect::<Result<_, _>>()?;
    let classes = probe::supported_classes().into_iter();
    let digests = Digests {
        runs: runs
            .iter()
            .map(|run| (run.name.clone(), run.to_json()))
            .collect(),
        classes: classes
            .map(|class| Ok((class.as_str(), of_class(class, &runs)?)))
            .collect::<Result<_>>()?,
    };
    let json = serde_json::to_string(&digests)?;
    writeln!(std::io::stdout(), "{json}").context("cannot write to standard output")
}

fn of_class(class: ArithmeticClass, runs: &[Run]) -> Result<ClassDigests> {
    let digest = |name: String, case: Case| -> Result<String> {
        let digest = case.digest_of_class(class).context(name)?;
        Ok(Digest(digest).to_string())
    };
    Ok(ClassDigests {
        random_graphs: (0..RANDOM_GRAPHS)
            .map(|seed| digest(format!("random graph {seed}"), Case::random(seed)))
            .collect::<Result<_>>()?,
        runs: runs
            .iter()
            .map(|run| {
                let digest = digest(run.name.clone(), Case::of_run(run))?;
                Ok((run.name.clone(), digest))
            })
            .collect::<Result<_>>()?,
    })
}

//! What a worker did, in one sentence and in figures.

use std::fmt;

use tabswarm_client_core::{Stats, StopCode};

use crate::format::{count, thousands};

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It finished: its run is done, or it was told to.
    Finished,
    /// It was told to leave at once.
    Aborted,
    /// It could not go on.
    Failed {
        /// For programs.
        code: StopCode,
        /// A sentence for people.
        message: String,
    },
}

/// Where a run stands, as far as a worker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunProgress {
    /// The run's name.
    pub name: String,
    /// Steps done.
    pub version: u64,
    /// Steps in all.
    pub steps_total: u64,
}

/// What a worker did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// Samples in accepted updates.
    pub samples_accepted: u64,
    /// Accepted updates.
    pub updates_accepted: u64,
    /// Rejected updates.
    pub updates_rejected: u64,
    /// Samples that the server has credited.
    pub samples_credited: u64,
    /// The last run worked for.
    pub run: Option<RunProgress>,
}

impl Summary {
    pub(crate) fn new(outcome: Outcome, stats: &Stats, run: Option<RunProgress>) -> Self {
        Self {
            outcome,
            samples_accepted: stats.samples_accepted,
            updates_accepted: stats.updates_accepted,
            updates_rejected: stats.rejections.values().sum(),
            samples_credited: stats.samples_credited,
            run,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "contributed {} in {} ({} rejected), {} credited; ",
            count(self.samples_accepted, "sample"),
            count(self.updates_accepted, "accepted update"),
            thousands(self.updates_rejected),
            thousands(self.samples_credited),
        )?;
        match &self.run {
            Some(run) => write!(
                f,
                "run {} at step {} of {}",
                run.name, run.version, run.steps_total
            ),
            None => f.write_str("no run was joined"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line() {
        let summary = Summary {
            outcome: Outcome::Finished,
            samples_accepted: 12_345,
            updates_accepted: 96,
            updates_rejected: 0,
            samples_credited: 1_234,
            run: Some(RunProgress {
                name: "mnist-mlp".to_owned(),
                version: 469,
                steps_total: 4_690,
            }),
        };
        assert_eq!(
            summary.to_string(),
            "contributed 12,345 samples in 96 accepted updates (0 rejected), 1,234 credited; \
             run mnist-mlp at step 469 of 4690"
        );
        let nothing = Summary::new(Outcome::Aborted, &Stats::default(), None);
        assert_eq!(
            nothing.to_string(),
            "contributed 0 samples in 0 accepted updates (0 rejected), 0 credited; no run was joined"
        );
    }
}

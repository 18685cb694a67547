//! Where a run stands, as the server's public API says it, in one line of text.

use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The part of the run's status that is shown and measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Progress {
    pub(crate) phase: String,
    pub(crate) version: u64,
    steps_total: u64,
    train_loss: Option<f64>,
    pub(crate) evaluated_version: Option<u64>,
    pub(crate) accuracy: Option<f64>,
    pub(crate) workers: u64,
    samples_per_s: f64,
    eta_s: Option<f64>,
    params_digest: String,
}

impl Progress {
    /// Takes what it needs out of a status document.
    pub(crate) fn read(status: &Value) -> Result<Self> {
        let text = |key: &str| {
            let value = status[key].as_str().map(str::to_owned);
            value.with_context(|| format!("the run's status has no text {key}"))
        };
        let count = |key: &str| {
            let value = status[key].as_u64();
            value.with_context(|| format!("the run's status has no count {key}"))
        };
        Ok(Self {
            phase: text("phase")?,
            version: count("version")?,
            steps_total: count("steps_total")?,
            train_loss: status["train_loss"].as_f64(),
            evaluated_version: status["eval"]["version"].as_u64(),
            accuracy: status["eval"]["accuracy"].as_f64(),
            workers: count("workers")?,
            samples_per_s: status["samples_per_s"].as_f64().unwrap_or_default(),
            eta_s: status["eta_s"].as_f64(),
            params_digest: text("params_digest")?,
        })
    }

    /// All steps are made.
    pub(crate) fn is_finished(&self) -> bool {
        self.phase == "finished"
    }

    /// An operator ended the run early.
    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == "stopped"
    }

    /// The accuracy is that of the current parameters.
    pub(crate) fn is_evaluated(&self) -> bool {
        self.evaluated_version == Some(self.version)
    }

    /// What a finished run came to.
    pub(crate) fn result(&self) -> Result<String> {
        let accuracy = self
            .accuracy
            .filter(|_| self.is_evaluated())
            .context("the run is finished, but its final parameters were not evaluated")?;
        Ok(format!(
            "finished after {} steps\ntest accuracy {:.2} %\nparameters digest {}",
            self.version,
            accuracy * 100.0,
            self.params_digest
        ))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}/{}", self.version, self.steps_total)?;
        if let Some(loss) = self.train_loss {
            write!(f, "  loss {loss:.4}")?;
        }
        if let Some(accuracy) = self.accuracy {
            write!(f, "  accuracy {:.2} %", accuracy * 100.0)?;
        }
        write!(
            f,
            "  workers {}  {:.0} samples/s",
            self.workers, self.samples_per_s
        )?;
        match self.eta_s {
            Some(eta_s) if self.phase == "running" => {
                let left_s = eta_s.max(0.0).round();
                write!(
                    f,
                    "  {:.0}:{:02.0} left",
                    (left_s / 60.0).floor(),
                    left_s % 60.0
                )
            }
            _ if self.phase == "running" => Ok(()),
            _ => write!(f, "  {}", self.phase),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "phase": "running", "version": 1200, "steps_total": 4690, "train_loss": 0.12344,
            "eval": {"version": 1100, "loss": 0.2, "accuracy": 0.9543}, "workers": 2,
            "samples_per_s": 12_345.6, "eta_s": 65.4, "params_digest": "ab12"
        })
    }

    #[test]
    fn a_running_run_is_one_line() {
        assert_eq!(
            Progress::read(&status()).unwrap().to_string(),
            "step 1200/4690  loss 0.1234  accuracy 95.43 %  workers 2  12346 samples/s  1:05 left"
        );
    }

    #[test]
    fn a_fresh_run_shows_what_it_has() {
        let mut fresh = status();
        for key in ["train_loss", "eval", "eta_s"] {
            fresh[key] = Value::Null;
        }
        fresh["phase"] = json!("paused");
        assert_eq!(
            Progress::read(&fresh).unwrap().to_string(),
            "step 1200/4690  workers 2  12346 samples/s  paused"
        );
    }

    #[test]
    fn the_result_is_of_the_final_parameters() {
        let mut finished = status();
        finished["phase"] = json!("finished");
        assert!(Progress::read(&finished).unwrap().result().is_err());
        finished["eval"]["version"] = json!(1200);
        assert_eq!(
            Progress::read(&finished).unwrap().result().unwrap(),
            "finished after 1200 steps\ntest accuracy 95.43 %\nparameters digest ab12"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        let message = Progress::read(&json!({"phase": "running"}))
            .unwrap_err()
            .to_string();
        assert_eq!(message, "the run's status has no count version");
    }
}

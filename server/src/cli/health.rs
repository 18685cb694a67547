//! `tabswarm health`.

use anyhow::bail;
use clap::Args;
use serde::Deserialize;

use super::client::{ClientArgs, parse};
use super::print;

/// Flags of `health`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tabswarm health || mail -s \"tabswarm needs you\" operator\n\n\
    The exit code is 1 where something is degraded."
)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    ready: bool,
    reasons: Vec<DegradedRun>,
    ledger: Ledger,
}

#[derive(Debug, Deserialize)]
struct DegradedRun {
    run: String,
    reason: String,
    undurable_steps: u64,
}

#[derive(Debug, Deserialize)]
struct Ledger {
    reason: Option<String>,
    records_dropped: u64,
}

impl HealthArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let answer = self.client.client()?.get("/admin/health")?;
        let health: Health = parse(&answer)?;
        if self.client.json {
            print(&answer)?;
        } else {
            print(&health.words())?;
        }
        if health.status != "ok" {
            bail!("the server is {}", health.status);
        }
        Ok(())
    }
}

impl Health {
    fn words(&self) -> String {
        let mut lines = vec![format!(
            "{}, {}",
            self.status,
            if self.ready { "ready" } else { "going down" }
        )];
        for reason in &self.reasons {
            lines.push(format!(
                "run {}: {} ({} steps would be lost by a crash)",
                reason.run, reason.reason, reason.undurable_steps
            ));
        }
        lines.extend(
            self.ledger
                .reason
                .as_ref()
                .map(|reason| format!("ledger: {reason}")),
        );
        if self.ledger.records_dropped > 0 {
            lines.push(format!(
                "{} events were lost since the start",
                self.ledger.records_dropped
            ));
        }
        lines.join("\n")
    }
}

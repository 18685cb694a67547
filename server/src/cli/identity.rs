//! `tabswarm identity …`.

use clap::Subcommand;
use serde::Deserialize;

use super::client::{ClientArgs, parse};
use super::table::{Align, grouped, or_dash, pairs, plain, table};
use super::time::{until, utc};
use super::worker::{behind, segment};
use super::{more, print};

/// Verbs about identities.
#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// List all identities that were seen, credited or banned.
    #[command(after_help = "Example:\n  tabswarm identity list --limit 1000 --json")]
    List {
        /// Those behind this one.
        #[arg(long, value_name = "IDENTITY")]
        after: Option<String>,
        /// At most so many; at most 1,000.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one identity: its credits of each run, and its ban.
    #[command(after_help = "Example:\n  tabswarm identity show 3f1c…      (as the list has it)")]
    Show {
        /// The identity.
        identity: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Deserialize)]
struct Page {
    identities: Vec<Row>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Row {
    identity: String,
    worker_id: Option<String>,
    samples: u64,
    kind: Option<String>,
    software: Option<String>,
    last_seen_ms: Option<u64>,
    ban: Option<BanRow>,
}

#[derive(Debug, Deserialize)]
struct BanRow {
    reason: String,
    holds: bool,
    until_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Shown {
    identity: String,
    worker_id: Option<String>,
    samples: u64,
    credits: Vec<CreditRow>,
    ban: Option<BanRow>,
}

#[derive(Debug, Deserialize)]
struct CreditRow {
    run_id: u32,
    run: Option<String>,
    samples: u64,
}

impl IdentityCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List {
                after,
                limit,
                client,
            } => list(after.as_deref(), limit, &client),
            Self::Show { identity, client } => show(&identity, &client),
        }
    }
}

impl BanRow {
    fn words(&self) -> String {
        let how_long = if self.holds {
            until(self.until_ms)
        } else {
            "over".to_owned()
        };
        format!("{how_long}: {}", plain(&self.reason))
    }
}

fn list(after: Option<&str>, limit: u32, client: &ClientArgs) -> anyhow::Result<()> {
    let path = format!("/admin/identities?limit={limit}{}", behind(after)?);
    let answer = client.client()?.get(&path)?;
    if client.json {
        return print(&answer);
    }
    let Page { identities, next } = parse(&answer)?;
    if identities.is_empty() {
        return print(match after {
            Some(_) => "There is no identity behind this one.",
            None => "Nobody was seen here yet.",
        });
    }
    let columns = [
        ("IDENTITY", Align::Left),
        ("WORKER", Align::Left),
        ("SAMPLES", Align::Right),
        ("KIND", Align::Left),
        ("LAST SEEN", Align::Left),
        ("SOFTWARE", Align::Left),
        ("BAN", Align::Left),
    ];
    let row = |row: Row| {
        vec![
            row.identity,
            or_dash(row.worker_id),
            grouped(row.samples),
            or_dash(row.kind),
            or_dash(row.last_seen_ms.map(utc)),
            plain(&or_dash(row.software)),
            or_dash(row.ban.as_ref().map(BanRow::words)),
        ]
    };
    let rows: Vec<_> = identities.into_iter().map(row).collect();
    print(&format!("{}{}", table(&columns, &rows), more(next)))
}

fn show(identity: &str, client: &ClientArgs) -> anyhow::Result<()> {
    let path = format!("/admin/identities/{}", segment(identity)?);
    let answer = client.client()?.get(&path)?;
    if client.json {
        return print(&answer);
    }
    let shown: Shown = parse(&answer)?;
    let mut lines = vec![
        ("identity", shown.identity),
        ("worker", or_dash(shown.worker_id)),
        ("samples", grouped(shown.samples)),
        ("ban", or_dash(shown.ban.as_ref().map(BanRow::words))),
    ];
    lines.extend(shown.credits.into_iter().map(|credit| {
        let run = credit.run.unwrap_or(format!("run {}", credit.run_id));
        ("credit", format!("{} in {run}", grouped(credit.samples)))
    }));
    print(&pairs(&lines))
}

//! `tabswarm snapshot …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Deserialize;

use super::client::{ClientArgs, parse};
use super::print;
use super::run::checked_name;
use super::table::{Align, grouped, or_dash, table};
use super::time::utc;

/// Verbs about snapshots.
#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// List the snapshots of a run, newest first.
    #[command(after_help = "Example:\n  tabswarm snapshot list mnist-mlp")]
    List {
        /// The run's name.
        run: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Download a snapshot as a safetensors file.
    #[command(
        after_help = "Example:\n  tabswarm snapshot download mnist-mlp 938 --output model.safetensors"
    )]
    Download {
        #[command(flatten)]
        which: Which,
        /// Where it goes; RUN-vVERSION.safetensors if left out. It must not exist.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Keep a copy of a snapshot, for downloads and forks, until it is unpinned.
    Pin(Which),
    /// Let a pinned copy go.
    Unpin(Which),
    /// Delete a snapshot. The newest one stays.
    Delete(Which),
}

/// A snapshot of a run.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The run's name.
    run: String,
    /// The snapshot's version.
    version: u64,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct SnapshotRow {
    version: u64,
    params_digest: String,
    bytes: u64,
    made_ms: Option<u64>,
    eval_accuracy: Option<f64>,
    pinned: bool,
    kept: bool,
}

impl SnapshotCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { run, client } => list(&run, &client),
            Self::Download { which, output } => which.download(output),
            Self::Pin(which) => {
                let answer = which.client.client()?.put(&which.path("/pin")?, "")?;
                which.told(&answer, "is pinned")
            }
            Self::Unpin(which) => {
                let answer = which.client.client()?.delete(&which.path("/pin")?)?;
                which.told(&answer, "is not pinned any more")
            }
            Self::Delete(which) => {
                let answer = which.client.client()?.delete(&which.path("")?)?;
                which.told(&answer, "is deleted")
            }
        }
    }
}

impl Which {
    fn path(&self, suffix: &str) -> anyhow::Result<String> {
        checked_name(&self.run)?;
        let (run, version) = (&self.run, self.version);
        Ok(format!("/admin/runs/{run}/snapshots/{version}{suffix}"))
    }

    fn told(&self, answer: &str, what: &str) -> anyhow::Result<()> {
        if self.client.json {
            return print(answer);
        }
        print(&format!(
            "The snapshot of {:?} at version {} {what}.",
            self.run, self.version
        ))
    }

    fn download(&self, output: Option<PathBuf>) -> anyhow::Result<()> {
        let path = self.path("")?;
        let name = format!("{}-v{}.safetensors", self.run, self.version);
        let output = output.unwrap_or_else(|| PathBuf::from(name));
        let bytes = self.client.client()?.download(&path, &output)?;
        print(&format!("{}: {} bytes", output.display(), grouped(bytes)))
    }
}

fn list(run: &str, client: &ClientArgs) -> anyhow::Result<()> {
    checked_name(run)?;
    let answer = client
        .client()?
        .get(&format!("/admin/runs/{run}/snapshots"))?;
    if client.json {
        return print(&answer);
    }
    let snapshots: Vec<SnapshotRow> = parse(&answer)?;
    if snapshots.is_empty() {
        return print("There are no snapshots yet; one is taken when the run starts.");
    }
    let columns = [
        ("VERSION", Align::Right),
        ("MADE", Align::Left),
        ("BYTES", Align::Right),
        ("ACCURACY", Align::Right),
        ("KEPT", Align::Left),
        ("DIGEST", Align::Left),
    ];
    let row = |row: SnapshotRow| {
        let kept = match (row.kept, row.pinned) {
            (true, true) => "yes, pinned",
            (true, false) => "yes",
            (false, _) => "pinned copy only",
        };
        vec![
            grouped(row.version),
            or_dash(row.made_ms.map(utc)),
            grouped(row.bytes),
            or_dash(
                row.eval_accuracy
                    .map(|accuracy| format!("{:.2} %", accuracy * 100.0)),
            ),
            kept.to_owned(),
            row.params_digest,
        ]
    };
    let rows: Vec<_> = snapshots.into_iter().map(row).collect();
    print(&table(&columns, &rows))
}

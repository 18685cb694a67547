//! `tabswarm worker …`.

use clap::Subcommand;
use serde::Deserialize;

use super::client::{ClientArgs, parse};
use super::print;
use super::table::{Align, grouped, or_dash, table};

/// Verbs about workers.
#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// List all workers, connected ones and those that may come back.
    #[command(after_help = "Example:\n  tabswarm worker list --json")]
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Deserialize)]
struct WorkerRow {
    worker_id: String,
    kind: String,
    software: String,
    lanes: u64,
    connected: bool,
    paused: Option<String>,
    run: Option<String>,
    micro_batches_per_s: Option<f64>,
    samples_accepted: u64,
    samples_credited: u64,
    updates_rejected: u64,
}

impl WorkerCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Self::List { client } = self;
        let answer = client.client()?.get("/admin/workers")?;
        if client.json {
            return print(&answer);
        }
        let workers: Vec<WorkerRow> = parse(&answer)?;
        if workers.is_empty() {
            return print("There are no workers; start one with `tabswarm-worker --server URL`.");
        }
        let columns = [
            ("ID", Align::Left),
            ("KIND", Align::Left),
            ("STATE", Align::Left),
            ("RUN", Align::Left),
            ("LANES", Align::Right),
            ("BATCHES/S", Align::Right),
            ("ACCEPTED", Align::Right),
            ("CREDITED", Align::Right),
            ("REJECTED", Align::Right),
            ("SOFTWARE", Align::Left),
        ];
        let rows: Vec<_> = workers.into_iter().map(WorkerRow::cells).collect();
        print(&table(&columns, &rows))
    }
}

impl WorkerRow {
    fn cells(self) -> Vec<String> {
        let state = match self.paused {
            _ if !self.connected => "away".to_owned(),
            Some(reason) => format!("paused: {reason}"),
            None => "connected".to_owned(),
        };
        vec![
            self.worker_id,
            self.kind,
            state,
            or_dash(self.run),
            self.lanes.to_string(),
            or_dash(self.micro_batches_per_s.map(|rate| format!("{rate:.1}"))),
            grouped(self.samples_accepted),
            grouped(self.samples_credited),
            grouped(self.updates_rejected),
            // It comes from the worker: nothing in it may steer the terminal.
            self.software.chars().filter(|c| !c.is_control()).collect(),
        ]
    }
}

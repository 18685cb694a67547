//! `tabswarm worker …`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::client::{ClientArgs, parse};
use super::duration::parse_duration;
use super::table::{Align, grouped, or_dash, pairs, plain, table};
use super::time::{until, utc};
use super::{more, print};

/// Verbs about workers.
#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// List all workers, connected ones and those that may come back.
    #[command(
        after_help = "Examples:\n  tabswarm worker list --run mnist-mlp\n  tabswarm worker list --json"
    )]
    List {
        /// Only those of one run.
        #[arg(long, value_name = "NAME")]
        run: Option<String>,
        /// Those that came later than this one.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most so many; at most 1,000.
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: u32,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one worker.
    #[command(after_help = "Example:\n  tabswarm worker show w12")]
    Show(OneWorker),
    /// Give a worker no more work, and send it away once it has answered what it has. It may come back.
    #[command(after_help = "Example:\n  tabswarm worker drain w12")]
    Drain(OneWorker),
    /// Send a worker away and keep it out; it is told the reason. What it was credited stays.
    #[command(
        after_help = "Examples:\n  tabswarm worker ban w12 --reason \"wrong gradients\" --for 7d\n  \
            tabswarm worker ban 3f1c… --reason \"spam\"      (an identity, as the list has it with --json)"
    )]
    Ban {
        /// The worker's id, or an identity.
        who: String,
        /// Why; the worker is told.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For so long, such as 90m, 12h or 30d; for good if left out.
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
        lasts: Option<u64>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Let a worker in again.
    #[command(after_help = "Example:\n  tabswarm worker unban w12")]
    Unban(OneWorker),
    /// List all bans.
    Bans {
        /// Those of identities behind this one.
        #[arg(long, value_name = "IDENTITY")]
        after: Option<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// A worker of a server.
#[derive(Debug, Args)]
pub(super) struct OneWorker {
    /// The worker's id; where bans are lifted, an identity will do.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    workers: Vec<WorkerRow>,
    next: Option<String>,
    n_connected: u64,
    n_known: u64,
}

#[derive(Debug, Deserialize)]
struct WorkerRow {
    worker_id: String,
    identity: String,
    kind: String,
    software: String,
    lanes: u64,
    state: String,
    paused: Option<String>,
    run: Option<String>,
    leases: u64,
    params_version: Option<u64>,
    micro_batches_per_s: Option<f64>,
    samples_accepted: u64,
    samples_credited: u64,
    updates_rejected: u64,
    silent_ms: u64,
    memory_mib: u64,
    gpu: bool,
}

#[derive(Debug, Deserialize)]
struct BansPage {
    bans: Vec<BanRow>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BanRow {
    identity: String,
    reason: String,
    holds: bool,
    banned_ms: u64,
    until_ms: Option<u64>,
}

impl WorkerCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List {
                run,
                after,
                limit,
                client,
            } => list(run.as_deref(), after.as_deref(), limit, &client),
            Self::Show(one) => {
                let path = format!("/admin/workers/{}", segment(&one.id)?);
                show(&one.client, &one.client.client()?.get(&path)?)
            }
            Self::Drain(one) => {
                let path = format!("/admin/workers/{}/drain", segment(&one.id)?);
                show(&one.client, &one.client.client()?.post(&path, "")?)
            }
            Self::Ban {
                who,
                reason,
                lasts,
                client,
            } => {
                let path = format!("/admin/bans/{}", identity(&client, &who)?);
                let body = json!({ "reason": reason, "lasts_s": lasts });
                let answer = client.client()?.put(&path, &body.to_string())?;
                told(&client, &answer, "is banned")
            }
            Self::Unban(one) => {
                let path = format!("/admin/bans/{}", identity(&one.client, &one.id)?);
                let answer = one.client.client()?.delete(&path)?;
                told(&one.client, &answer, "may work here again; it was banned")
            }
            Self::Bans { after, client } => bans(after.as_deref(), &client),
        }
    }
}

/// The part of a list's address that says behind whom it goes on.
pub(super) fn behind(after: Option<&str>) -> anyhow::Result<String> {
    let after = after.map(segment).transpose()?;
    Ok(after.map_or_else(String::new, |after| format!("&after={after}")))
}

/// A part of an address; what else would change it is refused.
pub(super) fn segment(text: &str) -> anyhow::Result<&str> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    anyhow::ensure!(
        fits,
        "{text:?} is neither a worker's id, such as w12, nor an identity"
    );
    Ok(text)
}

/// The identity of a worker, or the one that was given.
fn identity(client: &ClientArgs, who: &str) -> anyhow::Result<String> {
    let who = segment(who)?;
    if who.len() == 64 {
        return Ok(who.to_owned());
    }
    let worker: WorkerRow = parse(&client.client()?.get(&format!("/admin/workers/{who}"))?)?;
    Ok(worker.identity)
}

fn told(client: &ClientArgs, answer: &str, what: &str) -> anyhow::Result<()> {
    if client.json {
        return print(answer);
    }
    let ban: BanRow = parse(answer)?;
    print(&format!(
        "{} {what} {}: {}",
        ban.identity,
        until(ban.until_ms),
        plain(&ban.reason)
    ))
}

fn bans(after: Option<&str>, client: &ClientArgs) -> anyhow::Result<()> {
    let answer = client
        .client()?
        .get(&format!("/admin/bans?limit=1000{}", behind(after)?))?;
    if client.json {
        return print(&answer);
    }
    let BansPage { bans, next } = parse(&answer)?;
    if bans.is_empty() {
        return print("Nobody is banned.");
    }
    let columns = [
        ("IDENTITY", Align::Left),
        ("HOLDS", Align::Left),
        ("SINCE", Align::Left),
        ("UNTIL", Align::Left),
        ("REASON", Align::Left),
    ];
    let row = |ban: BanRow| {
        let holds = if ban.holds { "yes" } else { "over" };
        vec![
            ban.identity,
            holds.to_owned(),
            utc(ban.banned_ms),
            or_dash(ban.until_ms.map(utc)),
            plain(&ban.reason),
        ]
    };
    let rows: Vec<_> = bans.into_iter().map(row).collect();
    print(&format!("{}{}", table(&columns, &rows), more(next)))
}

fn list(
    run: Option<&str>,
    after: Option<&str>,
    limit: u32,
    client: &ClientArgs,
) -> anyhow::Result<()> {
    let mut path = format!("/admin/workers?limit={limit}");
    if let Some(run) = run {
        super::run::checked_name(run)?;
        path.push_str("&run=");
        path.push_str(run);
    }
    path.push_str(&behind(after)?);
    let answer = client.client()?.get(&path)?;
    if client.json {
        return print(&answer);
    }
    let page: Page = parse(&answer)?;
    if page.n_known == 0 {
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
    let rows: Vec<_> = page.workers.into_iter().map(WorkerRow::cells).collect();
    let (n_connected, n_known, more) = (page.n_connected, page.n_known, more(page.next));
    print(&format!(
        "{}\n\n{n_connected} of {n_known} workers are connected.{more}",
        table(&columns, &rows)
    ))
}

fn show(client: &ClientArgs, answer: &str) -> anyhow::Result<()> {
    if client.json {
        return print(answer);
    }
    let worker: WorkerRow = parse(answer)?;
    let memory = match worker.memory_mib {
        0 => "unknown".to_owned(),
        mib => format!("{} MiB", grouped(mib)),
    };
    print(&pairs(&[
        ("id", worker.worker_id.clone()),
        ("identity", worker.identity.clone()),
        ("state", worker.state_words()),
        ("kind", worker.kind.clone()),
        ("software", plain(&worker.software)),
        ("run", or_dash(worker.run.clone())),
        ("lanes", worker.lanes.to_string()),
        ("memory", memory),
        ("GPU", if worker.gpu { "yes" } else { "no" }.to_owned()),
        ("leases", worker.leases.to_string()),
        (
            "parameters",
            or_dash(
                worker
                    .params_version
                    .map(|version| format!("version {version}")),
            ),
        ),
        (
            "speed",
            or_dash(
                worker
                    .micro_batches_per_s
                    .map(|rate| format!("{rate:.1} batches/s")),
            ),
        ),
        (
            "accepted",
            format!("{} samples", grouped(worker.samples_accepted)),
        ),
        (
            "credited",
            format!("{} samples", grouped(worker.samples_credited)),
        ),
        (
            "rejected",
            format!("{} updates", grouped(worker.updates_rejected)),
        ),
        (
            "last heard",
            format!("{:.1} s ago", worker.silent_ms as f64 / 1_000.0),
        ),
    ]))
}

impl WorkerRow {
    fn state_words(&self) -> String {
        match &self.paused {
            Some(reason) if self.state == "paused" => format!("paused: {reason}"),
            _ => self.state.clone(),
        }
    }

    fn cells(self) -> Vec<String> {
        let state = self.state_words();
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
            plain(&self.software),
        ]
    }
}

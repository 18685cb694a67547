//! `tabswarm run …`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use tabswarm_model::{Run, inspect};

use super::client::{ClientArgs, parse};
use super::init::InitArgs;
use super::print;
use super::sample::SampleArgs;
use super::table::{Align, grouped, or_dash, pairs, plain, table};
use super::watch::WatchArgs;

/// Verbs about runs.
#[derive(Debug, Subcommand)]
pub(super) enum RunCommand {
    /// Check a run file without a server.
    #[command(alias = "validate")]
    #[command(after_help = "Example:\n  tabswarm run check runs/mnist-mlp.toml")]
    Check {
        /// The run file.
        file: PathBuf,
    },
    /// Create a run; its data set is read and stored first.
    #[command(after_help = "Example:\n  tabswarm run create runs/mnist-mlp.toml --start")]
    Create {
        /// The run file.
        file: PathBuf,
        /// Start it at once.
        #[arg(long)]
        start: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Print a commented run file to begin with.
    #[command(
        after_help = "Example:\n  tabswarm run init --template cnn --name digits > digits.toml"
    )]
    Init(InitArgs),
    /// Show a run file's layers, and the work and memory that they take, without a server.
    #[command(after_help = "Example:\n  tabswarm run inspect runs/char-gpt.toml")]
    Inspect {
        /// The run file.
        file: PathBuf,
    },
    /// List all runs.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Show one run.
    Show(Named),
    /// Hand out work: begin, or go on after a pause.
    Start(Named),
    /// Hand out no more work until the run is resumed; a snapshot is taken.
    Pause(Named),
    /// Go on after a pause.
    Resume(Named),
    /// Give a run other settings: mode, schedule, optimizer, epochs, evaluations, workers …. A running one rests
    /// for a moment meanwhile.
    #[command(after_help = "Example:\n  tabswarm run change mnist-mlp runs/mnist-mlp-slower.toml")]
    Change {
        #[command(flatten)]
        named: Named,
        /// The run file with the new settings; name, seed, data, model and batches as they were.
        file: PathBuf,
    },
    /// End a run for good; a snapshot is taken.
    Stop(Named),
    /// Look at a run as it goes on.
    Watch(WatchArgs),
    /// Put a run away that is finished or stopped: it leaves memory and all lists, and can be restored.
    Archive(Named),
    /// List the runs that were put away.
    Archived {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Take a run back that was put away.
    Restore(Named),
    /// List the versions that a run can go back to, with their digests.
    Versions(Named),
    /// Take a run that is not running back to an earlier version; samples stay credited.
    #[command(after_help = "Example:\n  tabswarm run rollback mnist-mlp --to 938")]
    Rollback {
        #[command(flatten)]
        named: Named,
        /// The version.
        #[arg(long, value_name = "VERSION")]
        to: u64,
    },
    /// Begin another run at a version of this one: its parameters and optimizer, without credits.
    #[command(after_help = "Example:\n  tabswarm run fork mnist-mlp mnist-mlp-2 --at 938")]
    Fork {
        #[command(flatten)]
        named: Named,
        /// The new run's name.
        new_name: String,
        /// The version; the newest if left out.
        #[arg(long, value_name = "VERSION")]
        at: Option<u64>,
    },
    /// Let the newest snapshot of a run on a text write.
    #[command(
        after_help = "Example:\n  tabswarm run sample char-gpt --prompt \"Call me \" --chars 300"
    )]
    Sample(SampleArgs),
}

/// A run of a server.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The run's name.
    name: String,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// What the tables need of the server's answer.
#[derive(Debug, Deserialize)]
pub(super) struct RunRow {
    pub(super) name: String,
    title: String,
    pub(super) phase: String,
    reason: Option<String>,
    pub(super) storage_problem: Option<String>,
    pub(super) version: u64,
    pub(super) steps_total: u64,
    pub(super) epoch: u64,
    pub(super) epochs: u64,
    samples_committed: u64,
    pub(super) samples_per_s: f64,
    pub(super) train_loss: Option<f64>,
    pub(super) eval: Option<EvalRow>,
    pub(super) workers: u64,
    pub(super) lanes: u64,
    parameters: u64,
    params_digest: String,
    pub(super) eta_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct ArchivedRow {
    name: String,
}

#[derive(Debug, Deserialize)]
struct VersionRow {
    version: u64,
    params_digest: String,
}

/// Which digest.
#[derive(Debug, Args)]
pub(super) struct DigestArgs {
    #[command(flatten)]
    named: Named,
    /// A version that can be restored; the newest if left out.
    #[arg(long, value_name = "VERSION")]
    version: Option<u64>,
}

impl DigestArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let version = self
            .version
            .map(|version| format!("?version={version}"))
            .unwrap_or_default();
        let path = self.named.path(&format!("/digest{version}"))?;
        let answer = self.named.client.client()?.get(&path)?;
        if self.named.client.json {
            return print(&answer);
        }
        let row: VersionRow = parse(&answer)?;
        print(&format!("{}  version {}", row.params_digest, row.version))
    }
}

/// The newest evaluation.
#[derive(Debug, Deserialize)]
pub(super) struct EvalRow {
    version: u64,
    loss: f64,
    accuracy: f64,
}

impl RunCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { file } => check(&file),
            Self::Create {
                file,
                start,
                client,
            } => create(&file, start, &client),
            Self::Init(args) => args.run(),
            Self::Inspect { file } => print(&inspect::report(&checked(&file)?.1)),
            Self::List { client } => list(&client),
            Self::Show(named) => {
                let path = named.path("")?;
                show(&named.client, &named.client.client()?.get(&path)?)
            }
            Self::Start(named) => named.order("start"),
            Self::Pause(named) => named.order("pause"),
            Self::Resume(named) => named.order("resume"),
            Self::Change { named, file } => {
                let (text, _) = checked(&file)?;
                let path = named.path("/run.toml")?;
                show(&named.client, &named.client.client()?.put(&path, &text)?)
            }
            Self::Stop(named) => named.order("stop"),
            Self::Watch(args) => args.run(),
            Self::Archive(named) => named.archive(),
            Self::Archived { client } => archived(&client),
            Self::Restore(named) => {
                checked_name(&named.name)?;
                let path = format!("/admin/archive/{}/restore", named.name);
                show(&named.client, &named.client.client()?.post(&path, "")?)
            }
            Self::Versions(named) => named.versions(),
            Self::Rollback { named, to } => named.order(&format!("rollback?to={to}")),
            Self::Fork {
                named,
                new_name,
                at,
            } => {
                // It becomes part of an address.
                let new = Named {
                    name: new_name,
                    client: named.client,
                };
                new.path("")?;
                let at = at.map(|at| format!("&at={at}")).unwrap_or_default();
                let of = Named {
                    name: named.name,
                    client: new.client,
                };
                of.order(&format!("fork?name={}{at}", new.name))
            }
            Self::Sample(args) => args.run(),
        }
    }
}

impl Named {
    /// A run's address; names that no run can have would change it.
    pub(super) fn path(&self, suffix: &str) -> anyhow::Result<String> {
        checked_name(&self.name)?;
        Ok(format!("/admin/runs/{}{suffix}", self.name))
    }

    fn versions(&self) -> anyhow::Result<()> {
        let answer = self.client.client()?.get(&self.path("/versions")?)?;
        if self.client.json {
            return print(&answer);
        }
        let versions: Vec<VersionRow> = parse(&answer)?;
        let columns = [("VERSION", Align::Right), ("DIGEST", Align::Left)];
        let rows: Vec<_> = versions
            .into_iter()
            .map(|row| vec![grouped(row.version), row.params_digest])
            .collect();
        print(&table(&columns, &rows))
    }

    fn archive(&self) -> anyhow::Result<()> {
        let answer = self.client.client()?.post(&self.path("/archive")?, "")?;
        if self.client.json {
            return print(&answer);
        }
        let name = &self.name;
        print(&format!(
            "The run {name:?} is archived; `tabswarm run restore {name}` takes it back."
        ))
    }

    fn order(&self, verb: &str) -> anyhow::Result<()> {
        let path = self.path(&format!("/{verb}"))?;
        show(&self.client, &self.client.client()?.post(&path, "")?)
    }
}

/// Refuses what no run can be called.
pub(super) fn checked_name(name: &str) -> anyhow::Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || !name.bytes().all(fits) {
        bail!("{name:?} is no run's name: names are letters, digits and dashes");
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file)
        .with_context(|| format!("the run file {} can't be read", file.display()))
}

fn checked(file: &Path) -> anyhow::Result<(String, Run)> {
    let text = read(file)?;
    match Run::from_toml(&text) {
        Ok(run) => Ok((text, run)),
        Err(error) => bail!("{} is no valid run file:\n{error}", file.display()),
    }
}

fn check(file: &Path) -> anyhow::Result<()> {
    let (_, run) = checked(file)?;
    let graph = run.graph();
    print(&format!(
        "{} is valid: run {:?}, {} parameters in {} tensors, {} epochs in steps of {} samples, {} arithmetic, codec {}",
        file.display(),
        run.name,
        grouped(graph.layout.len() as u64),
        graph.layout.tensors().len(),
        run.epochs,
        run.global_batch,
        run.class.as_str(),
        run.codec.as_str(),
    ))
}

fn create(file: &Path, start: bool, args: &ClientArgs) -> anyhow::Result<()> {
    let (text, _) = checked(file)?;
    let path = if start {
        "/admin/runs?start=true"
    } else {
        "/admin/runs"
    };
    show(args, &args.client()?.post(path, &text)?)
}

fn list(args: &ClientArgs) -> anyhow::Result<()> {
    let answer = args.client()?.get("/admin/runs")?;
    if args.json {
        return print(&answer);
    }
    let runs: Vec<RunRow> = parse(&answer)?;
    if runs.is_empty() {
        return print("There are no runs; create one with `tabswarm run create FILE`.");
    }
    let columns = [
        ("NAME", Align::Left),
        ("PHASE", Align::Left),
        ("STEP", Align::Right),
        ("OF", Align::Right),
        ("LOSS", Align::Right),
        ("ACCURACY", Align::Right),
        ("WORKERS", Align::Right),
        ("SAMPLES/S", Align::Right),
    ];
    let row = |run: &RunRow| {
        vec![
            run.name.clone(),
            run.phase.clone(),
            grouped(run.version),
            grouped(run.steps_total),
            or_dash(run.train_loss.map(|loss| format!("{loss:.4}"))),
            or_dash(run.eval.as_ref().map(EvalRow::percent)),
            run.workers.to_string(),
            format!("{:.0}", run.samples_per_s),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    print(&table(&columns, &rows))
}

fn archived(args: &ClientArgs) -> anyhow::Result<()> {
    let answer = args.client()?.get("/admin/archive")?;
    if args.json {
        return print(&answer);
    }
    let runs: Vec<ArchivedRow> = parse(&answer)?;
    if runs.is_empty() {
        return print("No run is archived.");
    }
    let names: Vec<String> = runs.into_iter().map(|run| run.name).collect();
    print(&names.join("\n"))
}

impl EvalRow {
    pub(super) fn percent(&self) -> String {
        format!("{:.2} %", self.accuracy * 100.0)
    }
}

fn show(args: &ClientArgs, answer: &str) -> anyhow::Result<()> {
    if args.json {
        return print(answer);
    }
    let run: RunRow = parse(answer)?;
    let reason = run
        .reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    let storage = match run.storage_problem {
        Some(problem) => format!("degraded, nothing is acknowledged: {problem}"),
        None => "ok".to_owned(),
    };
    let eval = run.eval.as_ref();
    let evaluated =
        eval.map(|e| format!("{}, loss {:.4} (step {})", e.percent(), e.loss, e.version));
    let lines = [
        ("name", run.name),
        ("title", plain(&run.title)),
        ("phase", format!("{}{reason}", run.phase)),
        (
            "step",
            format!("{} of {}", grouped(run.version), grouped(run.steps_total)),
        ),
        ("epoch", format!("{} of {}", run.epoch, run.epochs)),
        ("samples", grouped(run.samples_committed)),
        ("speed", format!("{:.0} samples/s", run.samples_per_s)),
        (
            "time left",
            or_dash(run.eta_s.map(|seconds| format!("{seconds:.0} s"))),
        ),
        (
            "training loss",
            or_dash(run.train_loss.map(|loss| format!("{loss:.4}"))),
        ),
        ("test accuracy", or_dash(evaluated)),
        (
            "workers",
            format!("{} with {} lanes", run.workers, run.lanes),
        ),
        ("storage", storage),
        ("parameters", grouped(run.parameters)),
        ("digest", run.params_digest),
    ];
    print(&pairs(&lines))
}

//! `tabswarm store …`: work on stored runs while no server uses them.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tabswarm_model::Run;
use tabswarm_protocol::ParamVersion;
use tabswarm_store::{
    Disk, LogOptions, RealDisk, RepairReport, RunStore, VerifyReport, compact, repair, rollback,
    verify,
};
use tokio::runtime::{Builder, Runtime};

use super::print;
use super::serve::SNAPSHOTS_VARIABLE;
use super::table::grouped;
use crate::auth::random_bytes;
use crate::ledger::unix_ms;
use crate::snapshot_place::{FirstUse, SnapshotPlace};
use crate::store::{DirLock, run_folders};

/// Verbs about a data directory that no server uses.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Check every stored byte, and that replaying the logs gives the digests that it gave before.
    #[command(after_help = "Example:\n  tabswarm store verify data\n\n\
        Exit code 1 where something is damaged. Nothing is written.")]
    Verify(Place),
    /// Set damaged files aside and give up what can't be read any more; says what is lost.
    #[command(
        after_help = "Example:\n  tabswarm store repair data/runs/mnist-mlp\n\n\
        Copies of what was damaged go to the run's folder `damaged`."
    )]
    Repair(Place),
    /// Replace each log by a snapshot at its end.
    #[command(after_help = "Example:\n  tabswarm store compact data")]
    Compact(Place),
    /// List the versions that a run can go back to.
    #[command(after_help = "Example:\n  tabswarm store versions data/runs/mnist-mlp")]
    Versions(Place),
    /// Take a run back to an earlier version; samples stay credited.
    #[command(after_help = "Example:\n  tabswarm store rollback data/runs/mnist-mlp --to 938")]
    Rollback {
        #[command(flatten)]
        place: Place,
        /// The version.
        #[arg(long, value_name = "VERSION")]
        to: u64,
    },
}

/// Where the runs are.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// A data directory, for all of its runs, or the folder of one run.
    folder: PathBuf,
    #[arg(long, env = SNAPSHOTS_VARIABLE, help = SNAPSHOTS_HELP, value_name = "URL")]
    snapshots: Option<String>,
}

const SNAPSHOTS_HELP: &str = "Where the server keeps the snapshots, if not in the runs' folders: what `tabswarm serve` is given";

/// The runs of a place; no server uses them meanwhile.
struct Opened {
    disk: Arc<dyn Disk>,
    runs: Vec<PathBuf>,
    snapshots: SnapshotPlace,
    _lock: DirLock,
    /// For requests to a bucket.
    _runtime: Runtime,
}

impl StoreCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(place) => verify_all(&place.open()?),
            Self::Repair(place) => place.open()?.each(repair_one),
            Self::Compact(place) => place.open()?.each(compact_one),
            Self::Versions(place) => place.open()?.each(list_versions),
            Self::Rollback { place, to } => {
                let opened = place.open()?;
                let [dir] = opened.runs.as_slice() else {
                    bail!(
                        "{} has {} runs: give the folder of one of them",
                        place.folder.display(),
                        opened.runs.len()
                    );
                };
                let (store, run) = opened.run(dir)?;
                let state = rollback(&store, &run, ParamVersion(to), log_options()?, unix_ms())?;
                print(&format!(
                    "{}: back at version {}, {}",
                    name(dir),
                    grouped(state.version.0),
                    state.phase
                ))
            }
        }
    }
}

impl Place {
    fn open(&self) -> anyhow::Result<Opened> {
        let folder = &self.folder;
        let (root, runs) = if folder.join("hosting.json").exists() {
            let parent = folder.parent().and_then(Path::parent);
            let root = parent.filter(|root| root.join("lock").exists());
            (root.unwrap_or(folder), vec![folder.clone()])
        } else if folder.join("runs").is_dir() {
            let runs = run_folders(folder)
                .with_context(|| format!("{} can't be read", folder.display()))?;
            (folder.as_path(), runs)
        } else {
            bail!(
                "{} is neither a data directory (it has no folder `runs`) nor a run's folder (it has no hosting.json)",
                folder.display()
            );
        };
        let lock = DirLock::take(root)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("a thread can't be started")?;
        let url = self.snapshots.as_deref();
        let handle = runtime.handle().clone();
        let snapshots = SnapshotPlace::open(root, url, handle, FirstUse::Refuse)?;
        Ok(Opened {
            disk: Arc::new(RealDisk),
            runs,
            snapshots,
            _lock: lock,
            _runtime: runtime,
        })
    }
}

impl Opened {
    /// A run with its files, which are brought to today's format.
    fn run(&self, dir: &Path) -> anyhow::Result<(RunStore, Run)> {
        let store = self.snapshots.open_run(&self.disk, dir)?;
        let run = Run::from_toml(store.run_file()).context("its run file is not valid any more")?;
        Ok((store, run))
    }

    fn each(&self, work: impl Fn(&Self, &Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if self.runs.is_empty() {
            return print("There are no runs.");
        }
        for dir in &self.runs {
            work(self, dir).with_context(|| format!("run {}", name(dir)))?;
        }
        Ok(())
    }
}

fn name(dir: &Path) -> String {
    dir.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn log_options() -> anyhow::Result<LogOptions> {
    let [s0, s1, s2, s3, s4, s5, s6, s7, ..] = random_bytes()?;
    Ok(LogOptions::new(u64::from_le_bytes([
        s0, s1, s2, s3, s4, s5, s6, s7,
    ])))
}

fn verify_all(opened: &Opened) -> anyhow::Result<()> {
    let damaged = Cell::new(0);
    opened.each(|opened, dir| {
        let disk = &opened.disk;
        // A run file that can't be read is found by the check itself.
        let text = disk.read(&dir.join("run.toml")).ok();
        let run = text
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| Run::from_toml(&text).ok());
        let report = verify(disk, dir, opened.snapshots.of_run(dir)?, run.as_ref())?;
        damaged.set(damaged.get() + usize::from(!report.problems.is_empty()));
        print(&verified(&name(dir), &report))
    })?;
    match damaged.get() {
        0 => Ok(()),
        damaged => bail!("{damaged} of {} runs are damaged", opened.runs.len()),
    }
}

fn verified(name: &str, report: &VerifyReport) -> String {
    let mut lines = vec![format!(
        "{name}: {} snapshots, {} log records in {} bytes, {} steps replayed: {}",
        report.snapshots,
        grouped(report.records),
        grouped(report.log_bytes),
        grouped(report.replayed),
        if report.problems.is_empty() {
            "all is well"
        } else {
            "damaged"
        }
    )];
    if report.torn_bytes > 0 {
        let bytes = grouped(report.torn_bytes);
        lines.push(format!(
            "  {bytes} bytes at the end are half written; nobody was told of them, the next start drops them"
        ));
    }
    for problem in &report.problems {
        lines.push(format!("  {problem}"));
    }
    lines.join("\n")
}

fn repair_one(opened: &Opened, dir: &Path) -> anyhow::Result<()> {
    let (store, run) = opened.run(dir)?;
    let report = repair(&store, &run)?;
    print(&repaired(&name(dir), &report))
}

fn repaired(name: &str, report: &RepairReport) -> String {
    let version = grouped(report.state.version.0);
    let n_lost = report.lost_through - report.state.sequence;
    if n_lost == 0 && report.moved.is_empty() {
        return format!("{name}: nothing to repair, at version {version}");
    }
    let mut lines = vec![format!("{name}: repaired, at version {version}")];
    for path in &report.moved {
        lines.push(format!(
            "  a copy of what was damaged is in {}",
            path.display()
        ));
    }
    if n_lost > 0 {
        lines.push(format!(
            "  lost: {} changes that were stored, of which {} are known to be these steps",
            grouped(n_lost),
            report.lost_steps.len()
        ));
    }
    for lost in &report.lost_steps {
        let samples: u64 = lost.credits.iter().map(|(_, samples)| samples).sum();
        lines.push(format!(
            "    the step to version {}, with {} credited samples of {} workers",
            grouped(lost.version.0),
            grouped(samples),
            lost.credits.len()
        ));
    }
    lines.join("\n")
}

fn compact_one(opened: &Opened, dir: &Path) -> anyhow::Result<()> {
    let (store, run) = opened.run(dir)?;
    let state = compact(&store, &run, log_options()?, unix_ms())?;
    print(&format!(
        "{}: one snapshot at version {}, no log",
        name(dir),
        grouped(state.version.0)
    ))
}

fn list_versions(opened: &Opened, dir: &Path) -> anyhow::Result<()> {
    let (store, run) = opened.run(dir)?;
    let lines: Vec<String> = store
        .versions(&run)?
        .into_iter()
        .map(|(version, digest)| format!("{:>12}  {digest}", grouped(version.0)))
        .collect();
    print(&format!("{}:\n{}", name(dir), lines.join("\n")))
}

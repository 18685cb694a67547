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

use super::print;
use super::table::grouped;
use crate::auth::random_bytes;
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
}

/// The runs of a place; no server uses them meanwhile.
struct Opened {
    disk: Arc<dyn Disk>,
    runs: Vec<PathBuf>,
    _lock: DirLock,
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
                let state = rollback(
                    &opened.disk,
                    dir,
                    &run_of(&opened.disk, dir)?,
                    ParamVersion(to),
                    log_options()?,
                )?;
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
        Ok(Opened {
            disk: Arc::new(RealDisk),
            runs,
            _lock: DirLock::take(root)?,
        })
    }
}

impl Opened {
    fn each(
        &self,
        work: impl Fn(&Arc<dyn Disk>, &Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.runs.is_empty() {
            return print("There are no runs.");
        }
        for dir in &self.runs {
            work(&self.disk, dir).with_context(|| format!("run {}", name(dir)))?;
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

fn run_of(disk: &Arc<dyn Disk>, dir: &Path) -> anyhow::Result<Run> {
    let store = RunStore::open(Arc::clone(disk), dir)?;
    Run::from_toml(store.run_file()).context("its run file is not valid any more")
}

fn log_options() -> anyhow::Result<LogOptions> {
    let [s0, s1, s2, s3, s4, s5, s6, s7, ..] = random_bytes()?;
    Ok(LogOptions::new(u64::from_le_bytes([
        s0, s1, s2, s3, s4, s5, s6, s7,
    ])))
}

fn verify_all(opened: &Opened) -> anyhow::Result<()> {
    let damaged = Cell::new(0);
    opened.each(|disk, dir| {
        // A run file that can't be read is found by the check itself.
        let text = disk.read(&dir.join("run.toml")).ok();
        let run = text
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| Run::from_toml(&text).ok());
        let report = verify(disk, dir, run.as_ref())?;
        damaged.set(damaged.get() + usize::from(!report.problems.is_empty()));
        print(&verified(&name(dir), &report))
    })?;
    match damaged.get() {
        0 => Ok(()),
        damaged => bail!("{damaged} of {} runs are damaged", opened.runs.len()),
    }
}

fn verified(name: &str, report: &VerifyReport) -> String {
    let mut text = format!(
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
    );
    if report.torn_bytes > 0 {
        let bytes = grouped(report.torn_bytes);
        text += &format!(
            "\n  {bytes} bytes at the end are half written; nobody was told of them, the next start drops them"
        );
    }
    for problem in &report.problems {
        text += &format!("\n  {problem}");
    }
    text
}

fn repair_one(disk: &Arc<dyn Disk>, dir: &Path) -> anyhow::Result<()> {
    let report = repair(disk, dir, &run_of(disk, dir)?)?;
    print(&repaired(&name(dir), &report))
}

fn repaired(name: &str, report: &RepairReport) -> String {
    let version = grouped(report.state.version.0);
    let n_lost = report.lost_through - report.state.sequence;
    if n_lost == 0 && report.moved.is_empty() {
        return format!("{name}: nothing to repair, at version {version}");
    }
    let mut text = format!("{name}: repaired, at version {version}");
    for path in &report.moved {
        text += &format!("\n  a copy of what was damaged is in {}", path.display());
    }
    if n_lost > 0 {
        text += &format!(
            "\n  lost: {} changes that were stored, of which {} are known to be these steps",
            grouped(n_lost),
            report.lost_steps.len()
        );
    }
    for lost in &report.lost_steps {
        let samples: u64 = lost.credits.iter().map(|(_, samples)| samples).sum();
        text += &format!(
            "\n    the step to version {}, with {} credited samples of {} workers",
            grouped(lost.version.0),
            grouped(samples),
            lost.credits.len()
        );
    }
    text
}

fn compact_one(disk: &Arc<dyn Disk>, dir: &Path) -> anyhow::Result<()> {
    let state = compact(disk, dir, &run_of(disk, dir)?, log_options()?)?;
    print(&format!(
        "{}: one snapshot at version {}, no log",
        name(dir),
        grouped(state.version.0)
    ))
}

fn list_versions(disk: &Arc<dyn Disk>, dir: &Path) -> anyhow::Result<()> {
    let store = RunStore::open(Arc::clone(disk), dir)?;
    let run = Run::from_toml(store.run_file()).context("its run file is not valid any more")?;
    let lines: Vec<String> = store
        .versions(&run)?
        .into_iter()
        .map(|(version, digest)| format!("{:>12}  {digest}", grouped(version.0)))
        .collect();
    print(&format!("{}:\n{}", name(dir), lines.join("\n")))
}

//! `demo`: a server, some workers and a page, all built from this checkout, training one run.
//!
//! The server embeds the page when it is compiled, so the page is built first. Everything
//! started here is a `Service`, which ends with this function however it returns.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::setup;
use crate::swarm::{self, Progress, RunFile, Swarm};
use crate::web;
use crate::workspace::Workspace;

/// How often the server is asked, and how often the answer is shown where lines stay.
const REFRESH: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How soon Ctrl-C is noticed.
const TICK: Duration = Duration::from_millis(100);
/// The last evaluation ends a moment after the last step.
const LAST_EVALUATION: Duration = Duration::from_mins(1);

/// What `cargo xtask demo` accepts.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Native workers to start; 0 leaves all the work to browser tabs.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: u16,
    /// The run to train.
    #[arg(long, value_name = "FILE", default_value = "runs/mnist-mlp.toml")]
    run: PathBuf,
    /// Port of the page; the administration listens on the next one.
    #[arg(long, value_name = "P", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..=65534))]
    port: u16,
    /// End when the run is finished; succeed only if it was.
    #[arg(long)]
    exit_when_done: bool,
    /// Where the server keeps its state; a run found there is resumed.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data_dir: PathBuf,
}

/// Sets up, builds, starts and watches.
pub(crate) fn demo(workspace: &Workspace, options: &Options) -> Result<()> {
    let run_file = RunFile::read(&workspace.root().join(&options.run))?;
    swarm::require_free_ports(options.port)?;
    setup::setup(workspace, false)?;
    web::build(workspace)?;
    swarm::build(workspace)?;
    let interrupted = watch_signals()?;
    let data_dir = workspace.root().join(&options.data_dir);
    let mut swarm = Swarm::start(workspace, &data_dir, options.port, &interrupted)?;
    swarm.start_run(&run_file)?;
    for number in 1..=options.workers {
        swarm.add_worker(number, &run_file.name)?;
    }
    announce(options, &run_file.name);
    let outcome = watch(
        &mut swarm,
        &run_file.name,
        options.exit_when_done,
        &interrupted,
    );
    swarm.stop();
    outcome
}

/// From here on a signal is a request to end in order.
fn watch_signals() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(interrupted)
}

fn announce(options: &Options, run: &str) {
    let port = options.port;
    println!();
    println!("  ┌{:─<60}┐", "");
    println!(
        "  │ {:<58} │",
        format!("Lend a tab:  http://127.0.0.1:{port}/")
    );
    println!("  └{:─<60}┘", "");
    println!(
        "  {run} is training here with {} native workers.",
        options.workers
    );
    println!("  Press Ctrl-C to stop; the next demo resumes where this one ended.");
    println!();
}

/// Shows progress until the run is finished or somebody interrupts.
fn watch(
    swarm: &mut Swarm,
    run: &str,
    exit_when_done: bool,
    interrupted: &AtomicBool,
) -> Result<()> {
    let mut display = Display::new();
    let mut finished_at: Option<Instant> = None;
    loop {
        swarm.check(finished_at.is_some())?;
        let progress = swarm.progress(run)?;
        display.show(&progress)?;
        if progress.is_finished() {
            let since = *finished_at.get_or_insert_with(Instant::now);
            if progress.is_evaluated() || since.elapsed() > LAST_EVALUATION {
                display.end_line();
                println!("{}", progress.result()?);
                if exit_when_done {
                    return Ok(());
                }
                println!("The server goes on serving the page; press Ctrl-C to stop it.");
                wait(interrupted, None);
            }
        } else if exit_when_done && progress.is_stopped() {
            bail!(
                "the run was stopped at step {} before its end",
                progress.version
            );
        }
        if wait(interrupted, Some(REFRESH)) {
            display.end_line();
            println!("Stopping; the run's state is kept.");
            if exit_when_done && finished_at.is_none() {
                bail!("interrupted at step {} before the end", progress.version);
            }
            return Ok(());
        }
    }
}

/// Waits that long, or without an end; true if interrupted.
fn wait(interrupted: &AtomicBool, limit: Option<Duration>) -> bool {
    let start = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        if limit.is_some_and(|limit| start.elapsed() >= limit) {
            return false;
        }
        thread::sleep(TICK);
    }
    true
}

/// One line that rewrites itself on a terminal; elsewhere a new one now and then, and
/// whenever the run's phase changes.
struct Display {
    rewrites: bool,
    line_open: bool,
    last: Option<(Instant, String)>,
}

impl Display {
    fn new() -> Self {
        Self {
            rewrites: stdout().is_terminal(),
            line_open: false,
            last: None,
        }
    }

    fn show(&mut self, progress: &Progress) -> Result<()> {
        if self.rewrites {
            print!("\r\x1b[2K{progress}");
            stdout().flush().context("cannot write to the terminal")?;
            self.line_open = true;
            return Ok(());
        }
        let is_due = |(at, phase): &(Instant, String)| {
            *phase != progress.phase || (at.elapsed() >= LINE_EVERY && !progress.is_finished())
        };
        if self.last.as_ref().is_none_or(is_due) {
            println!("{progress}");
            self.last = Some((Instant::now(), progress.phase.clone()));
        }
        Ok(())
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.line_open) {
            println!();
        }
    }
}

impl Drop for Display {
    /// An error message begins on a line of its own.
    fn drop(&mut self) {
        self.end_line();
    }
}

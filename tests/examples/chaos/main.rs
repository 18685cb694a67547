//! Kills a real server over and over while real workers train MNIST, and checks that nothing was lost.
//!
//! `cargo xtask chaos` builds everything and starts this. Two runs of the same run file are trained, the first
//! undisturbed, the second under `kill -9` at random moments: in a life's first seconds and while it starts. The
//! workers reach the server through a tap that keeps a ledger of what each of them was told.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output"
)]

mod ledger;
mod processes;
mod tap;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_store::{Disk, LogOptions, RealDisk, RunStore};
use tabswarm_tests::MNIST_PERCEPTRON;

use ledger::Ledger;
use processes::{Binaries, Server, Worker};
use tap::Tap;

const USAGE: &str = "usage: chaos --server BIN --worker BIN --datasets DIR --scratch DIR [--kills N] [--seed S] [--life-ms MS]";
const RUN_NAME: &str = "chaos";
/// Training images of MNIST.
const SAMPLES: u32 = 60_000;
/// A started server must serve within so long, whatever state it was left in.
const READY_LIMIT: Duration = Duration::from_secs(5);
/// One kill in so many comes while the server starts.
const EARLY_KILLS: u64 = 4;
/// Steps that a life is expected to make; the run has room for so many of each.
const STEPS_PER_LIFE: u64 = 60;
const POLL: Duration = Duration::from_millis(25);
/// A run that takes longer has stopped.
const PATIENCE: Duration = Duration::from_mins(20);

/// What is trained: the shipped perceptron, with snapshots so often that kills meet them.
fn run_file(epochs: u64) -> String {
    format!(
        r#"
name = "{RUN_NAME}"
seed = 1
{MNIST_PERCEPTRON}
[train]
epochs = {epochs}
micro_batch = 32
global_batch = 128
[optimizer]
kind = "adam"
learning_rate = 0.001
[evaluation]
every_steps = 469
[snapshot]
every_steps = 25
"#
    )
}

#[derive(Debug)]
struct Options {
    binaries: Binaries,
    scratch: PathBuf,
    kills: u64,
    seed: u64,
    life: Duration,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)
        };
        let number = |name: &str, default: u64| match value(name) {
            Some(text) => text.parse().ok(),
            None => Some(default),
        };
        Some(Self {
            binaries: Binaries {
                server: value("--server")?.into(),
                worker: value("--worker")?.into(),
                datasets: value("--datasets")?.into(),
            },
            scratch: value("--scratch")?.into(),
            kills: number("--kills", 100)?,
            seed: number("--seed", 1)?,
            life: Duration::from_millis(number("--life-ms", 2_000)?),
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = Options::parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match chaos(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if everything held.
fn chaos(options: &Options) -> Result<bool> {
    let epochs = (options.kills * STEPS_PER_LIFE).div_ceil(469).max(1);
    let text = run_file(epochs);
    let run = Run::from_toml(&text).context("the run file is wrong")?;
    let steps_total = BatchPlan::new(&run, SAMPLES).steps_total();
    println!(
        "{steps_total} steps of a perceptron on MNIST, two workers, seed {}",
        options.seed
    );
    let started = Instant::now();
    let expected = undisturbed(options, &text, steps_total)?;
    println!(
        "undisturbed: {:.1} s, digest {expected}",
        started.elapsed().as_secs_f64()
    );
    let mut trial = Trial::start(options, &text, steps_total)?;
    trial.kill_all(options)?;
    let digest = trial.finish()?;
    trial.report(&run, &text, (&expected, &digest))
}

fn fresh_folder(options: &Options, name: &str) -> Result<PathBuf> {
    let folder = options.scratch.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The digest at the end of a run that nothing disturbs.
fn undisturbed(options: &Options, text: &str, steps_total: u64) -> Result<String> {
    let folder = fresh_folder(options, "undisturbed")?;
    let mut server = Server::start(&options.binaries, &folder)?;
    server.wait_until_ready()?;
    server.create(text)?;
    let url = server.url()?;
    let workers = start_workers(options, &url, &folder)?;
    let digest = wait_for_end(&mut server, steps_total)?;
    for worker in workers {
        worker.wait_for_success()?;
    }
    server.terminate()?;
    Ok(digest)
}

fn start_workers(options: &Options, url: &str, folder: &Path) -> Result<Vec<Worker>> {
    (1..=2)
        .map(|number| {
            let log = folder.join(format!("worker-{number}.log"));
            Worker::start(&options.binaries, url, RUN_NAME, &log)
        })
        .collect()
}

fn wait_for_end(server: &mut Server, steps_total: u64) -> Result<String> {
    let started = Instant::now();
    loop {
        let status = server.status(RUN_NAME)?;
        if status["phase"] == "finished" {
            ensure!(
                status["version"] == steps_total,
                "finished too early: {status}"
            );
            let digest = status["params_digest"].as_str();
            return Ok(digest.context("the status has no digest")?.to_owned());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "the run does not end: {status}"
        );
        thread::sleep(POLL * 4);
    }
}

/// The run that is disturbed.
struct Trial {
    folder: PathBuf,
    server: Server,
    tap: Tap,
    ledger: Arc<Mutex<Ledger>>,
    workers: Vec<Worker>,
    chance: ChaCha8Rng,
    steps_total: u64,
    version: u64,
    kills: u64,
    early_kills: u64,
    ready: Vec<Duration>,
    counts: processes::Recoveries,
}

impl Trial {
    fn start(options: &Options, text: &str, steps_total: u64) -> Result<Self> {
        let folder = fresh_folder(options, "disturbed")?;
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let mut server = Server::start(&options.binaries, &folder)?;
        let first = server.wait_until_ready()?;
        let tap = Tap::start(server.public_address()?, Arc::clone(&ledger))?;
        server.create(text)?;
        let workers = start_workers(options, &tap.url(), &folder)?;
        Ok(Self {
            folder,
            server,
            tap,
            ledger,
            workers,
            chance: ChaCha8Rng::seed_from_u64(options.seed),
            steps_total,
            version: 0,
            kills: 0,
            early_kills: 0,
            ready: vec![first],
            counts: processes::Recoveries::default(),
        })
    }

    fn within(&mut self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance.next_u64() % micros.max(1))
    }

    fn kill_all(&mut self, options: &Options) -> Result<()> {
        while self.kills < options.kills {
            let left = options.kills - self.kills;
            // The last kill comes while there is something left to do, however fast the machine is.
            let budget = ((self.steps_total - self.version) / (left + 1)).max(1);
            let life = self.within(options.life);
            self.live(life, self.version + budget)?;
            self.kill(options)?;
            while self.kills < options.kills && self.chance.next_u64().is_multiple_of(EARLY_KILLS) {
                // While it reads its files, or a moment after that.
                let usual = self.ready[self.ready.len() / 2];
                let after = self.within(usual + usual / 4);
                thread::sleep(after);
                self.early_kills += 1;
                self.kill(options)?;
            }
            let took = self.server.wait_until_ready()?;
            self.tap.lead_to(self.server.public_address()?);
            self.ready.push(took);
            if self.kills.is_multiple_of(10) {
                println!(
                    "{:>4} kills, version {} of {}",
                    self.kills, self.version, self.steps_total
                );
            }
        }
        Ok(())
    }

    /// Watches the run for a while, or until it has made so many steps.
    fn live(&mut self, life: Duration, until_version: u64) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < life {
            let status = self.server.status(RUN_NAME)?;
            let version = status["version"]
                .as_u64()
                .context("a status without version")?;
            // It was shown only when it was committed; what was not durable may go.
            self.version = version;
            ensure!(
                status["phase"] == "running",
                "the run is {} after {} kills; give it more steps",
                status["phase"],
                self.kills
            );
            if version >= until_version {
                break;
            }
            thread::sleep(POLL.min(life.saturating_sub(started.elapsed())));
        }
        for worker in &mut self.workers {
            worker.must_be_running()?;
        }
        Ok(())
    }

    /// `kill -9`, and another server on the same files.
    fn kill(&mut self, options: &Options) -> Result<()> {
        let counts = self.server.kill()?;
        self.counts.add(&counts);
        self.kills += 1;
        self.server = Server::start(&options.binaries, &self.folder)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<String> {
        let digest = wait_for_end(&mut self.server, self.steps_total)?;
        for worker in self.workers.drain(..) {
            worker.wait_for_success()?;
        }
        let counts = self.server.terminate()?;
        self.counts.add(&counts);
        Ok(digest)
    }

    /// Prints what was found; true if everything held.
    fn report(&self, run: &Run, text: &str, (expected, digest): (&str, &str)) -> Result<bool> {
        let dir = self.folder.join("data/runs").join(RUN_NAME);
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let store = RunStore::open(disk, &dir)?;
        if store.run_file() != text {
            bail!("the stored run file is another one");
        }
        let found = store.recover(run, LogOptions::new(0))?;
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &found.state;
        let credited: u64 = state.credits.iter().map(|(_, samples)| samples).sum();
        let samples = u64::from(SAMPLES) * u64::from(run.epochs);
        let told = ledger.told(state);
        let mut ready = self.ready.clone();
        ready.sort_unstable();
        let millis = |duration: Duration| format!("{:.0} ms", duration.as_secs_f64() * 1e3);
        let slowest = ready.last().copied().unwrap_or_default();
        let lost = ledger.lost() + told.lost;
        let doubled = credited.saturating_sub(samples);
        let missing = samples.saturating_sub(credited);
        let late = ready.iter().filter(|took| **took > READY_LIMIT).count();
        let rows = [
            (
                "kills",
                format!("{} ({} while starting)", self.kills, self.early_kills),
            ),
            ("ready, median", millis(ready[ready.len() / 2])),
            ("ready, slowest", millis(slowest)),
            ("ready after more than 5 s", late.to_string()),
            ("steps replayed", self.counts.replayed.to_string()),
            (
                "starts with a torn tail",
                self.counts.torn_tails.to_string(),
            ),
            ("starts with damage", self.counts.alarms.to_string()),
            ("identities", told.identities.to_string()),
            ("samples acknowledged", told.samples.to_string()),
            ("welcomes compared", ledger.compared().to_string()),
            ("acknowledged samples lost", lost.to_string()),
            ("samples credited twice", doubled.to_string()),
            ("samples credited to nobody", missing.to_string()),
            ("digest equal", (expected == digest).to_string()),
        ];
        for (what, value) in rows {
            println!("{what:<28}{value}");
        }
        ledger.problems().for_each(|problem| println!("{problem}"));
        let credits_fit = credited == state.samples_verified && doubled == 0 && missing == 0;
        let nothing_lost = lost == 0 && ledger.problems().next().is_none();
        let is_whole = self.counts.alarms == 0 && late == 0;
        Ok(expected == digest && credits_fit && nothing_lost && is_whole)
    }
}

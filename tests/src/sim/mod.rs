//! The whole network in one thread under a seed: the coordinator, N sessions, and a hostile network between
//! them, on a virtual clock.
//!
//! Decisions are those of the shipped crates; messages travel as real frames through the real decoder; real
//! gradients of a small network are computed by the real engine; everything that lasts is kept by the real store,
//! on a disk in memory that forgets, tears and refuses what it is told to. What is simulated is time, sockets and
//! misfortune. Every committed step is compared with a straight-line training of the same run file
//! (ELASTIC), so a micro-batch lost, doubled or computed against the wrong parameters cannot go unnoticed.
//!
//! A failure names its seed: `cargo xtask sim --seed N` replays it with a timeline.

mod chance;
mod fixture;
mod hostile;
mod ledger;
mod network;
mod server;
mod storage;
mod worker;
mod world;

use std::fmt;

use tabswarm_model::run_file::StepLog;

pub use fixture::SimMode;
pub use world::Outcome;

/// What may go wrong, and how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// Honest workers that begin.
    pub workers: usize,
    /// Workers that send whatever they like.
    pub hostile_workers: usize,
    /// Connections break, workers die, the server dies, its disk fails, …
    pub faults: bool,
    /// How the run makes its versions, as long as nobody changes that.
    pub mode: SimMode,
    /// So often the operator wants other settings.
    pub settings_changes: usize,
    /// What the log keeps of each step.
    pub step_log: StepLog,
    /// Keep a readable timeline.
    pub timeline: bool,
}

impl Scenario {
    /// A scenario drawn from its seed: 1 to 8 workers, faults in nine of ten, hostile workers in half, a log
    /// without updates in a third; two in five are sync runs, the others async, local and half-precision ones, and a third
    /// changes that, or other settings, on the way.
    pub fn from_seed(seed: u64) -> Self {
        let mut chance = chance::Chance::new(seed ^ 0x5eed);
        Self {
            seed,
            workers: 1 + chance.below(8),
            hostile_workers: if chance.one_in(2) {
                1 + chance.below(2)
            } else {
                0
            },
            faults: !chance.one_in(10),
            step_log: if chance.one_in(3) {
                StepLog::Decisions
            } else {
                StepLog::Updates
            },
            mode: SimMode::draw(&mut chance),
            settings_changes: if chance.one_in(3) {
                1 + chance.below(3)
            } else {
                0
            },
            timeline: false,
        }
    }
}

/// A run of the simulation that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario.
    pub scenario: Scenario,
    /// Virtual time in ms.
    pub at_ms: u64,
    /// What went wrong.
    pub problem: String,
    /// The timeline, if it was kept.
    pub timeline: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.timeline {
            writeln!(f, "{line}")?;
        }
        let seed = self.scenario.seed;
        writeln!(
            f,
            "seed {seed} failed at {} ms: {}",
            self.at_ms, self.problem
        )?;
        write!(f, "replay with: cargo xtask sim --seed {seed}")
    }
}

/// Runs a scenario to the end of its training run.
///
/// # Errors
/// The first invariant that does not hold, or a training run that does not end.
pub fn simulate(scenario: &Scenario) -> Result<Outcome, Box<Failure>> {
    world::World::new(scenario.clone()).run()
}

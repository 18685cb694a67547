//! Runs simulations: `simulate --seeds 1000 [--from 0]`, or `simulate --seed 7` with a timeline.

use std::process::ExitCode;
use std::time::Instant;

use tabswarm_tests::sim::{Scenario, simulate};

const USAGE: &str = "usage: simulate --seeds N [--from SEED] | simulate --seed SEED";

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's output"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().ok();
    let (first, count, timeline) = match words.as_slice() {
        ["--seed", seed] => (number(seed), Some(1), true),
        ["--seeds", count] => (Some(0), number(count), false),
        ["--seeds", count, "--from", first] => (number(first), number(count), false),
        _ => (None, None, false),
    };
    let (Some(first), Some(count)) = (first, count) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let mut failures = 0;
    let mut events = 0;
    for seed in first..first.saturating_add(count) {
        let scenario = Scenario {
            timeline,
            ..Scenario::from_seed(seed)
        };
        match simulate(&scenario) {
            Ok(outcome) => {
                events += outcome.events;
                if timeline {
                    println!("{scenario:#?}\n{outcome:#?}");
                }
            }
            Err(failure) => {
                failures += 1;
                println!("{failure}");
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} seeds, {events} events, {failures} failed, {seconds:.1} s");
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

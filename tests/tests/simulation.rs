//! The network under many seeds: the invariants hold whatever happens.

#![expect(
    clippy::print_stdout,
    reason = "the figures of a thousand runs are worth reading"
)]

use std::collections::{BTreeMap, BTreeSet};

use tabswarm_model::digest::Digest;
use tabswarm_model::run_file::StepLog;
use tabswarm_tests::sim::{Outcome, Scenario, SimMode, simulate};

/// Seeds of a normal run; `TABSWARM_SIM_SEEDS` overrides it.
const SEEDS: u64 = 1_000;

fn seeds() -> u64 {
    match std::env::var("TABSWARM_SIM_SEEDS") {
        Ok(text) => text.parse().expect("TABSWARM_SIM_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

#[test]
fn a_thousand_seeds_end_on_one_digest_for_each_reproducible_mode() {
    let mut digests: BTreeMap<SimMode, BTreeSet<Digest>> = BTreeMap::new();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rejected = BTreeMap::new();
    let mut total = Outcome::default();
    for seed in 0..seeds() {
        let scenario = Scenario::from_seed(seed);
        let outcome = simulate(&scenario).unwrap_or_else(|failure| panic!("{failure}"));
        let digest = outcome.digest.expect("a run of at least one version");
        // What a changed run ends on depends on when it was changed; each of its versions was compared.
        if scenario.settings_changes == 0 {
            digests.entry(scenario.mode).or_default().insert(digest);
        }
        total.events += outcome.events;
        total.accepted += outcome.accepted;
        total.lapsed += outcome.lapsed;
        total.server_starts += outcome.server_starts;
        total.replayed += outcome.replayed;
        total.torn_bytes += outcome.torn_bytes;
        total.went_back += outcome.went_back;
        total.log_failures += outcome.log_failures;
        total.settings_changed += outcome.settings_changed;
        total.recomputed_samples += outcome.recomputed_samples;
        total.loss_overflows += outcome.loss_overflows;
        outcome
            .faults
            .iter()
            .for_each(|(kind, n)| *faults.entry(kind).or_default() += n);
        outcome
            .rejected
            .iter()
            .for_each(|(reason, n)| *rejected.entry(*reason).or_default() += n);
    }
    println!("{total:#?}\nfaults {faults:#?}\nrejected {rejected:#?}");
    // What the others end on depends on who takes part.
    for mode in [SimMode::Sync, SimMode::Local] {
        assert_eq!(digests[&mode].len(), 1, "{digests:?}");
    }
    for mode in [SimMode::Async, SimMode::Half] {
        assert!(digests[&mode].len() > 1, "{digests:?}");
    }
    assert!(total.loss_overflows > 0);
    // A simulation in which nothing goes wrong proves nothing.
    assert!(faults.len() >= 13, "{faults:?}");
    assert!(total.replayed > 0 && total.torn_bytes > 0 && total.went_back > 0);
    assert!(total.settings_changed > 0);
    assert!(total.log_failures > 0 && total.recomputed_samples > 0);
    assert!(rejected.len() >= 5, "{rejected:?}");
    assert!(rejected.values().sum::<u64>() > 0 && total.lapsed > 0);
}

#[test]
fn a_seed_replays_exactly() {
    let scenario = Scenario::from_seed(11);
    let first = simulate(&scenario).unwrap_or_else(|failure| panic!("{failure}"));
    let second = simulate(&scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(first, second);
}

fn without_faults(mode: SimMode) -> Outcome {
    let scenario = Scenario {
        seed: 1,
        workers: 1,
        hostile_workers: 0,
        faults: false,
        mode,
        settings_changes: 0,
        step_log: StepLog::Updates,
        timeline: false,
    };
    let outcome = simulate(&scenario).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(outcome.rejected.is_empty(), "{outcome:?}");
    outcome
}

/// The scale begins at 2^12, and the job fits half precision with 2^10.
#[test]
fn in_half_precision_steps_are_skipped_until_the_scale_fits() {
    assert_eq!(without_faults(SimMode::Half).loss_overflows, 2);
}

#[test]
fn one_worker_without_faults_needs_nothing_twice() {
    let outcome = without_faults(SimMode::Sync);
    assert_eq!(outcome.loss_overflows, 0);
    // The second start is the check of what is left at the end.
    assert_eq!(outcome.server_starts, 2);
}

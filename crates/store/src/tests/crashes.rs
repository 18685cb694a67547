//! Crashes at every operation, and writes that never reach the disk.

use super::life::{Counts, Dice, Life};
use crate::faults::{Fault, FaultPlan};

const STEPS: u64 = 36;

/// What one life without faults does to the disk.
fn operations(seed: u64) -> u64 {
    let mut life = Life::new(seed);
    life.go_on(STEPS).unwrap();
    life.end().unwrap();
    life.boot().unwrap();
    life.disk.operations()
}

/// A life with a crash at one operation, perhaps another one while it recovers, and a few steps after that.
fn crash_at(seed: u64, first: u64, fault: Fault, dice: &mut Dice) -> (Counts, u64) {
    let mut life = Life::new(seed);
    life.disk = life.disk.fork(dice.below(1 << 30));
    let mut crashes = 0;
    life.disk.plan(Some(FaultPlan {
        first,
        count: 1,
        fault,
    }));
    let lived = life.go_on(STEPS).and_then(|()| life.end());
    // The last thing that a life does can crash without an error that anyone sees.
    assert!(lived.is_ok() || life.disk.has_crashed());
    if life.disk.has_crashed() {
        crashes += 1;
        life.disk.restart();
        if dice.below(2) == 0 {
            let first = life.disk.operations() + dice.below(40);
            life.disk.plan(Some(FaultPlan {
                first,
                count: 1,
                fault,
            }));
            if life.boot().is_err() {
                assert!(life.disk.has_crashed());
                crashes += 1;
            }
            life.disk.restart();
        }
    }
    life.disk.plan(None);
    life.boot().unwrap();
    life.go_on(4).unwrap();
    life.end().unwrap();
    life.disk.power_cut();
    life.boot().unwrap();
    (life.counts, crashes)
}

#[test]
fn a_crash_at_any_operation_leaves_an_old_state_or_a_new_one() {
    let mut dice = Dice(1);
    let (mut points, mut crashes, mut all) = (0_u64, 0, Counts::default());
    for seed in 0..3 {
        let operations = operations(seed);
        for first in 0..operations {
            for fault in [Fault::PowerCut, Fault::Kill] {
                let (counts, happened) = crash_at(seed, first, fault, &mut dice);
                points += 1;
                crashes += happened;
                all.torn_bytes += counts.torn_bytes;
                all.replayed += counts.replayed;
                all.lost_unacknowledged += counts.lost_unacknowledged;
                all.corrections += counts.corrections;
                all.rollbacks += counts.rollbacks;
                all.settings += counts.settings;
                assert_eq!(counts.alarms, 0, "a crash is no damage");
            }
        }
    }
    println!(
        "{points} crash points, {crashes} crashes: 0 corrupt loads, {} steps replayed, {} bytes of torn tails, \
         {} entries lost that nobody was told of, {} rollbacks, {} changes of settings, {} corrections",
        all.replayed,
        all.torn_bytes,
        all.lost_unacknowledged,
        all.rollbacks,
        all.settings,
        all.corrections
    );
    assert!(points >= 1_000 && crashes >= 1_000);
    assert!(all.torn_bytes > 0 && all.lost_unacknowledged > 0 && all.corrections > 0);
    assert!(all.settings > 0);
}

#[test]
fn nothing_acknowledged_is_lost_when_unsynced_writes_are_dropped() {
    let (mut all, mut acked) = (Counts::default(), 0);
    for seed in 0..500 {
        let mut life = Life::new(seed);
        let mut dice = Dice(seed ^ 0xdead);
        for _ in 0..3 {
            life.go_on(5 + dice.below(STEPS)).unwrap();
            acked += life.acked;
            // The check in here is the test: the recovered state is at or behind what was acknowledged.
            life.disk.power_cut();
            life.boot().unwrap();
        }
        all.torn_bytes += life.counts.torn_bytes;
        all.lost_unacknowledged += life.counts.lost_unacknowledged;
        assert_eq!(life.counts.alarms, 0, "seed {seed}");
    }
    println!(
        "500 seeds of dropped writes, 1,500 power cuts: 0 of {acked} acknowledged entries lost, {} others were, \
         {} bytes of torn tails",
        all.lost_unacknowledged, all.torn_bytes
    );
    assert!(all.lost_unacknowledged > 500);
}

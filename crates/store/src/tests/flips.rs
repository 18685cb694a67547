//! One flipped bit anywhere: it is noticed, and never gives a state that was not there.

use std::path::Path;

use super::life::{DIR, Dice, Life};
use crate::error::StoreError;
use crate::maintain::{repair, verify};
use crate::run_store::RunStore;

const LIVES: u64 = 20;
const FLIPS_PER_LIFE: u64 = 500;

#[derive(Debug, Default)]
struct Outcomes {
    recovered: u64,
    refused: u64,
    repaired: u64,
    refused_for_good: u64,
}

#[test]
fn any_flipped_bit_is_noticed() {
    let mut outcomes = Outcomes::default();
    let mut dice = Dice(5);
    for seed in 0..LIVES {
        let mut life = Life::new(seed);
        life.go_on(40 + dice.below(60)).unwrap();
        life.end().unwrap();
        let clean = verify(&life.shared_disk(), Path::new(DIR), None, Some(&life.run)).unwrap();
        assert_eq!((&clean.problems[..], clean.torn_bytes), (&[][..], 0));
        assert_eq!(clean.superseded_bytes, 0);
        for _ in 0..FLIPS_PER_LIFE {
            flip_one(&mut life, &mut dice, &mut outcomes);
        }
    }
    println!(
        "{} flipped bits, all noticed: {} recovered without loss, {} refused, of these {} repaired and {} \
         in files that only a backup has",
        LIVES * FLIPS_PER_LIFE,
        outcomes.recovered,
        outcomes.refused,
        outcomes.repaired,
        outcomes.refused_for_good
    );
    assert!(outcomes.recovered > 100 && outcomes.repaired > 100);
}

fn flip_one(life: &mut Life, dice: &mut Dice, outcomes: &mut Outcomes) {
    let healthy = life.disk.clone();
    life.disk = healthy.fork(dice.below(1 << 30));
    let files = life.disk.files();
    let total: u64 = files.iter().map(|(_, len)| *len as u64).sum();
    let mut at = usize::try_from(dice.below(total)).unwrap();
    let (path, _) = files
        .iter()
        .find(|(_, len)| {
            let is_here = at < *len;
            if !is_here {
                at -= len;
            }
            is_here
        })
        .unwrap();
    let bit = at * 8 + usize::try_from(dice.below(8)).unwrap();
    life.disk.flip_bit(path, bit);
    let place = format!("{} byte {at}", path.display());

    let noticed = match verify(&life.shared_disk(), Path::new(DIR), None, Some(&life.run)) {
        Ok(report) => {
            !report.problems.is_empty() || report.torn_bytes + report.superseded_bytes > 0
        }
        Err(error) => !matches!(error, StoreError::Io { .. }),
    };
    assert!(noticed, "{place}");
    // What was acknowledged is there, or the error says that it is not.
    let (acked, reference) = (life.acked, life.reference.clone());
    match life.boot() {
        Ok(()) => {
            assert!(life.acked >= acked, "{place}");
            outcomes.recovered += 1;
        }
        Err(error) => {
            assert!(!matches!(error, StoreError::Io { .. }), "{place}: {error}");
            outcomes.refused += 1;
            try_repair(life, outcomes, &place);
        }
    }
    (life.disk, life.acked, life.reference) = (healthy, acked, reference);
}

fn try_repair(life: &mut Life, outcomes: &mut Outcomes, place: &str) {
    let disk = life.shared_disk();
    let opened = RunStore::open(disk.clone(), Path::new(DIR));
    let report = match opened.and_then(|store| repair(&store, &life.run)) {
        Ok(report) => report,
        Err(error) => {
            assert!(
                matches!(error, StoreError::Irreplaceable { .. }),
                "{place}: {error}"
            );
            outcomes.refused_for_good += 1;
            return;
        }
    };
    let options = life.options();
    let store = RunStore::open(disk.clone(), Path::new(DIR)).unwrap();
    let recovered = store.recover(&life.run, options).unwrap();
    assert_eq!(report.lost_through, life.acked, "{place}");
    assert!(
        report.lost_through > report.state.sequence && !report.moved.is_empty(),
        "{place}"
    );
    // The state after an earlier entry, whole.
    life.acked = 0;
    life.check(&recovered.state, &recovered.master, &recovered.report);
    outcomes.repaired += 1;
}

//! Whatever was lost where, the ledger has the credits of the log.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::open::readers;
use super::super::{Place, read};
use super::*;

/// Names the file for the process that is killed.
const VICTIM: &str = "TABSWARM_TEST_LEDGER_VICTIM";

#[tokio::test]
async fn a_crash_between_log_and_ledger_never_leaves_them_apart() {
    const ENTRIES: u64 = 7;
    let mut corrected = 0;
    for in_log in 0..=ENTRIES {
        for in_ledger in 0..=ENTRIES {
            let bed = Bed::new("crash-orders");
            let ledger = bed.open().await;
            for sequence in 1..=in_ledger {
                ledger.credit(batch(sequence - 1, sequence));
            }
            ledger.close().await.unwrap();

            // The start after the crash: the log may be ahead or, after a backup was restored, behind.
            let ledger = bed.open().await;
            assert_credits(&ledger, in_ledger).await;
            let credits = credits_at(in_log);
            let reconciled = ledger.reconcile(RUN, in_log, &credits).await.unwrap();
            assert_eq!(reconciled.sequence_before, in_ledger);
            let apart = samples_at(in_log) != samples_at(in_ledger);
            assert_eq!(reconciled.rows_corrected > 0, apart, "{in_log} {in_ledger}");
            corrected += reconciled.rows_corrected;
            assert_credits(&ledger, in_log).await;

            // And on.
            ledger.credit(batch(in_log, in_log + 2));
            ledger.flush().await.unwrap();
            assert_credits(&ledger, in_log + 2).await;
            let credits = credits_at(in_log + 2);
            let again = ledger.reconcile(RUN, in_log + 2, &credits);
            assert_eq!(again.await.unwrap().rows_corrected, 0);
            assert!(bed.wanted().is_empty());
            ledger.close().await.unwrap();
        }
    }
    assert!(corrected > 0);
}

#[tokio::test]
async fn rows_that_are_wrong_at_the_same_sequence_are_corrected() {
    let bed = Bed::new("same-sequence");
    let ledger = bed.open().await;
    let mut wrong = credits_at(5);
    wrong[0].1 += 1;
    wrong.pop();
    wrong.push((identity(999), 3));
    wrong.sort();
    ledger.reconcile(RUN, 5, &wrong).await.unwrap();
    let reconciled = ledger.reconcile(RUN, 5, &credits_at(5)).await.unwrap();
    assert_eq!(reconciled.rows_corrected, 3);
    assert_credits(&ledger, 5).await;
}

#[tokio::test]
async fn a_batch_that_does_not_join_on_is_asked_for() {
    let bed = Bed::new("gap");
    let ledger = bed.open().await;
    ledger.credit(batch(0, 2));
    ledger.flush().await.unwrap();
    ledger.credit(batch(3, 5));
    ledger.flush().await.unwrap();
    assert_eq!(ledger.status().out_of_step, [RUN]);
    assert_credits(&ledger, 2).await;
    eventually("the run is asked for again", || bed.wanted().len() >= 2).await;

    // What comes meanwhile is of no use, and credits from before it are not enough.
    ledger.credit(batch(5, 6));
    let old = ledger.reconcile(RUN, 5, &credits_at(5)).await.unwrap();
    assert_eq!(old.sequence_before, 2);
    assert_eq!(ledger.status().out_of_step, [RUN]);
    ledger.reconcile(RUN, 6, &credits_at(6)).await.unwrap();
    assert!(ledger.status().out_of_step.is_empty());
    ledger.credit(batch(6, 8));
    ledger.flush().await.unwrap();
    assert_credits(&ledger, 8).await;
}

#[tokio::test]
async fn batches_told_twice_count_once() {
    let bed = Bed::new("twice");
    let ledger = bed.open().await;
    ledger.credit(batch(0, 4));
    ledger.flush().await.unwrap();
    ledger.credit(batch(0, 4));
    ledger.flush().await.unwrap();
    ledger.credit(batch(4, 5));
    ledger.credit(batch(4, 5));
    ledger.flush().await.unwrap();
    assert_credits(&ledger, 5).await;
    assert!(bed.wanted().is_empty());
}

#[tokio::test]
async fn batches_that_find_the_queue_full_are_made_up_for() {
    let bed = Bed::new("queue-full");
    let ledger = bed.open().await;
    // The test's runtime has one thread, so the task takes nothing before the first await.
    for sequence in 1..=10_000 {
        ledger.credit(CreditBatch {
            run: RUN,
            after: sequence - 1,
            through: sequence,
            deltas: vec![(identity(0), 1)],
        });
    }
    eventually("the run is asked for", || !bed.wanted().is_empty()).await;
    assert_eq!(ledger.status().out_of_step, [RUN]);
    let credits = [(identity(0), 10_000)];
    ledger.reconcile(RUN, 10_000, &credits).await.unwrap();
    assert!(ledger.status().out_of_step.is_empty());
    let board = ledger.leaderboard(Some(RUN), None, 10).await.unwrap();
    assert_eq!(samples_of(&board), credits);
}

#[tokio::test]
async fn a_leaderboard_goes_on_behind_any_place() {
    let bed = Bed::new("places");
    let ledger = bed.open().await;
    // Two with the same samples stand in the order of their identities.
    let credits: Vec<_> = [(1, 7), (2, 9), (3, 7), (4, 1)]
        .map(|(of, samples)| (identity(of), samples))
        .into();
    ledger.credit(CreditBatch {
        run: RUN,
        after: 0,
        through: 1,
        deltas: credits,
    });
    ledger.flush().await.unwrap();
    for run in [Some(RUN), None] {
        let whole = samples_of(&ledger.leaderboard(run, None, 10).await.unwrap());
        assert_eq!(
            whole
                .iter()
                .map(|(_, samples)| *samples)
                .collect::<Vec<_>>(),
            [9, 7, 7, 1]
        );
        for (at, &(identity, samples)) in whole.iter().enumerate() {
            let place = Some(Place { samples, identity });
            let rest = ledger.leaderboard(run, place, 10).await.unwrap();
            assert_eq!(samples_of(&rest), whole[at + 1..]);
            assert_eq!(rest.samples, 24, "the sum is that of all");
        }
    }
}

#[tokio::test]
async fn sums_that_no_integer_holds_stay_at_the_largest() {
    let bed = Bed::new("overflow");
    let ledger = bed.open().await;
    for sequence in 1..=3 {
        ledger.credit(CreditBatch {
            run: RUN,
            after: sequence - 1,
            through: sequence,
            deltas: vec![(identity(0), u64::MAX / 3)],
        });
        ledger.flush().await.unwrap();
    }
    let largest = u64::try_from(i64::MAX).unwrap();
    let board = ledger.leaderboard(Some(RUN), None, 1).await.unwrap();
    assert_eq!(samples_of(&board), [(identity(0), largest)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_transactions_while_credits_are_written() {
    const ENTRIES: u64 = 300;
    let bed = Bed::new("concurrency");
    let ledger = bed.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (ledger, done) = (ledger.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut last = 0;
                let mut reads = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    let (sequence, samples) = ledger.standing(RUN).await.unwrap();
                    assert_eq!(samples, samples_at(sequence), "at {sequence}");
                    assert!(sequence >= last, "{sequence} after {last}");
                    last = sequence;
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    for sequence in 1..=ENTRIES {
        ledger.credit(batch(sequence - 1, sequence));
        ledger.event("step", Some(RUN), &sequence.into());
        if sequence % 5 == 0 {
            ledger.flush().await.unwrap();
        }
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_credits(&ledger, ENTRIES).await;
}

/// The process that is killed is this test again, with a variable that names the file.
#[test]
fn a_killed_process_leaves_whole_transactions() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(path) = std::env::var_os(VICTIM) {
        runtime.block_on(credit_for_ever(path.into()));
    }
    let bed = Bed::new("killed");
    runtime.block_on(async { bed.open().await.close().await.unwrap() });
    let mut furthest = 0;
    for round in 0..5 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("ledger::tests::projection::a_killed_process_leaves_whole_transactions")
            .env(VICTIM, bed.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sequence = runtime.block_on(async {
            let started = Instant::now();
            let readers = readers(&bed.path());
            while read::standing(&readers, RUN).await.unwrap().0 <= furthest {
                assert!(
                    started.elapsed() < Duration::from_secs(20),
                    "it writes nothing"
                );
                tokio::time::sleep(Duration::from_millis(10 + 7 * round)).await;
            }
            victim.kill().unwrap();
            victim.wait().unwrap();
            readers.close().await;
            let ledger = bed.open().await;
            let (sequence, _) = ledger.standing(RUN).await.unwrap();
            assert_credits(&ledger, sequence).await;
            ledger.close().await.unwrap();
            sequence
        });
        assert!(sequence > furthest);
        furthest = sequence;
    }
}

async fn credit_for_ever(path: PathBuf) {
    let settings = Settings {
        flush_interval: Duration::ZERO,
        ..Settings::default()
    };
    let ledger = Ledger::open_with(&path, settings, |_| {}).await.unwrap();
    let (mut sequence, _) = ledger.standing(RUN).await.unwrap();
    loop {
        ledger.credit(batch(sequence, sequence + 1));
        sequence += 1;
        ledger.flush().await.unwrap();
    }
}

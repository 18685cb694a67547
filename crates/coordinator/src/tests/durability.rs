//! A disk that is slow, full or gone: nobody is answered or credited for what it does not hold.

use std::fmt::Write as _;

use expect_test::expect;

use super::check;
use super::script::output;
use crate::limits::MAX_UNDURABLE_STEPS;

#[test]
#[expect(clippy::too_many_lines, reason = "a script and what it prints")]
fn answers_and_credit_wait_for_the_disk_and_work_does_not() {
    check(
        "slow-disk; create r1; start r1; logged r1 1; wait 600; c1 join r1; wait 1
         c1 update l1 0+1; c1 update l2 1+3; applied r1 v1; wait 1; c1 update l3 0+4; applied r1 v2
         c1 update l3 0+4; c1 closed; c2 hello resume=1; c2 ready r1; c2 update l3 0+4
         logged r1 2; logged r1 3; c2 update l3 0+4; workers; wait 800; workers",
        expect![[r#"
            slow-disk
            create r1
              # phase r1 created
            start r1
              log r1 1: running
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            logged r1 1
              credit r1 0..1: []
            wait 600
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            wait 1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2004 ms
              # granted l2 w1
            c1 update l2 1+3
              # accepted l2 w1 6
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              log r1 2: step v1, credits [8]
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2003 ms
              # granted l3 w1
            wait 1
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              log r1 3: step v2, credits [8]
              # committed r1 v2, loss 1
              c1 <- params r1 v2
              c1 <- lease l4 v2 0+2 e[100, 100] 2003 ms
              # granted l4 w1
            c1 update l3 0+4
            c1 closed
              # left w1 false
              # lapsed l4 w1
            c2 hello resume=1
              c2 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c2 <- run r1
            c2 ready r1
              c2 <- params r1 v2
              c2 <- lease l5 v2 0+2 e[100, 100] 2003 ms
              # granted l5 w1
            c2 update l3 0+4
            logged r1 2
              c2 <- receipt l1 Accepted { samples: 2 }
              c2 <- receipt l2 Accepted { samples: 6 }
              credit r1 1..2: [8]
              c2 <- credited 8
            logged r1 3
              c2 <- receipt l3 Accepted { samples: 8 }
              credit r1 2..3: [8]
            c2 update l3 0+4
              c2 <- receipt l3 Accepted { samples: 8 }
            workers
              w1 connected true, run Some(1), paused None, 16 accepted, 8 credited, 0 rejected
            wait 800
              at 1.250
              c2 <- credited 16
            workers
              w1 connected true, run Some(1), paused None, 16 accepted, 16 credited, 0 rejected
        "#]],
    );
}

#[test]
fn a_snapshot_makes_durable_what_the_log_could_not() {
    check(
        "slow-disk; create r1 snapshot=1; start r1; log-failed r1; wait 600; c1 join r1
         c1 update l1 0+1; c1 update l2 1+3; applied r1 v1; status r1; durable r1 v0; durable r1 v1
         status r1; logged r1 2; status r1",
        expect![[r#"
            slow-disk
            create r1 snapshot=1
              # phase r1 created
            start r1
              log r1 1: running
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            log-failed r1
              # log of r1 failed: no space left
            wait 600
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2002 ms
              # granted l2 w1
            c1 update l2 1+3
              # accepted l2 w1 6
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              log r1 2: step v1, credits [8]
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2002 ms
              # granted l3 w1
            status r1
              v1 of 3 steps, running, 8 samples, 0/s, loss Some(1.0), 1 workers, 1 lanes, 1 steps wait for the disk: no space left
            durable r1 v0
              snapshot r1 Interval: v1 running, 8 samples, credits [8]
              credit r1 0..1: []
            durable r1 v1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
              credit r1 1..2: [8]
              c1 <- credited 8
            status r1
              v1 of 3 steps, running, 8 samples, 0/s, loss Some(1.0), 1 workers, 1 lanes, 0 steps wait for the disk: no space left
            logged r1 2
              # log of r1 recovered
            status r1
              v1 of 3 steps, running, 8 samples, 0/s, loss Some(1.0), 1 workers, 1 lanes
        "#]],
    );
}

/// Trains on a disk that takes nothing, until no more leases come.
#[test]
fn a_run_waits_when_too_much_would_be_lost() {
    let mut script =
        "slow-disk; create r1 epochs=40; start r1; logged r1 1; c1 join r1; wait 1; c1 update l1 0+1; c1 update l2 1+3; applied r1 v1"
            .to_owned();
    for step in 2..=MAX_UNDURABLE_STEPS + 1 {
        let count = if step % 3 == 0 { 2 } else { 4 };
        write!(script, "; wait 1; c1 update l{} 0+{count}", step + 1).unwrap();
        if step <= MAX_UNDURABLE_STEPS {
            write!(script, "; applied r1 v{step}").unwrap();
        }
    }
    script.push_str("; wait 1500; status r1; logged r1 2; status r1");
    let output = output(&script);
    let last = format!("committed r1 v{MAX_UNDURABLE_STEPS},");
    let tail = &output[output.find(&last).expect("as many steps as may wait")..];
    expect![[r#"
        committed r1 v16, loss 1
        wait 1
        c1 update l18 0+4
          # rejected l18 w1 UnknownLease
          c1 <- receipt l18 Rejected(UnknownLease)
        wait 1500
          at 1.250
          c1 <- idle ServerStorage
        status r1
          v16 of 120 steps, running, 108 samples, 66/s, loss Some(1.0), 1 workers, 1 lanes
        logged r1 2
          c1 <- receipt l1 Accepted { samples: 2 }
          c1 <- receipt l2 Accepted { samples: 6 }
          credit r1 1..2: [8]
          c1 <- credited 8
          c1 <- params r1 v16
          c1 <- lease l18 v16 0+4 e[100, 100] 2001 ms
          # granted l18 w1
        status r1
          v16 of 120 steps, running, 108 samples, 66/s, loss Some(1.0), 1 workers, 1 lanes
    "#]]
    .assert_eq(tail);
}

#[test]
fn a_full_disk_is_told_once_and_forgiven() {
    check(
        "slow-disk; create r1; start r1; log-failed r1; log-failed r1; status r1; logged r1 1; status r1",
        expect![[r#"
            slow-disk
            create r1
              # phase r1 created
            start r1
              log r1 1: running
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            log-failed r1
              # log of r1 failed: no space left
            log-failed r1
            status r1
              v0 of 3 steps, running, 0 samples, 0/s, loss None, 0 workers, 0 lanes, 0 steps wait for the disk: no space left
            logged r1 1
              # log of r1 recovered
              credit r1 0..1: []
            status r1
              v0 of 3 steps, running, 0 samples, 0/s, loss None, 0 workers, 0 lanes
        "#]],
    );
}

#[test]
fn a_run_that_goes_back_sends_all_workers_back() {
    check(
        "create r1; start r1; c1 join r1; c1 update l1 0+1; c1 update l2 1+3; applied r1 v1
         c1 update l3 0+4; applied r1 v2; pause r1; durable r1 v0; durable r1 v2
         replace r1 v1; status r1; start r1",
        expect![[r#"
            create r1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2002 ms
              # granted l2 w1
            c1 update l2 1+3
              # accepted l2 w1 6
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2002 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              c1 <- params r1 v2
              c1 <- lease l4 v2 0+2 e[100, 100] 2002 ms
              # granted l4 w1
              c1 <- receipt l3 Accepted { samples: 8 }
            pause r1
              # phase r1 paused
              c1 <- revoke l4 RunPaused
              c1 <- idle RunPaused
            durable r1 v0
              snapshot r1 Paused: v2 paused, 16 samples, credits [16]
            durable r1 v2
            replace r1 v1
              reset r1
              # r1 back to v1
              # phase r1 paused
            status r1
              v1 of 3 steps, paused, 8 samples, 0/s, loss None, 1 workers, 1 lanes
            start r1
              # phase r1 running
              c1 <- params r1 v1
              c1 <- lease l5 v1 0+4 e[7, 7] 2002 ms
              # granted l5 w1
              snapshot r1 Started: v1 running, 8 samples, credits [1000]
        "#]],
    );
}

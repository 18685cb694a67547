//! Who gets which micro-batches, for how long, and what happens when it takes longer.

use std::fmt::Write as _;

use expect_test::expect;

use super::check;
use super::script::output;

#[test]
fn leases_grow_with_measured_speed() {
    check(
        "create r1 epochs=9; start r1; c1 join r1
         wait 10; c1 update l1 0+1
         wait 10; c1 update l2 1+3
         applied r1 v1
         wait 10; c1 update l3 0+4",
        expect![[r#"
            create r1 epochs=9
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
            wait 10
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2040 ms
              # granted l2 w1
            wait 10
            c1 update l2 1+3
              # accepted l2 w1 6
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2040 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            wait 10
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.9272976680384089
        "#]],
    );
}

#[test]
fn every_idle_worker_gets_some_and_the_faster_more() {
    check(
        "create r1 epochs=9; start r1; c1 join r1; c2 join r1
         wait 10; c2 update l2 1+1
         wait 90; c1 update l1 0+1
         wait 10; c2 update l3 2+2
         applied r1 v1
         c1 pause; c2 pause; c1 ready r1; c2 ready r1",
        expect![[r#"
            create r1 epochs=9
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
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 10
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 2+2 e[100, 100] 2040 ms
              # granted l3 w2
            wait 90
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
            wait 10
            c2 update l3 2+2
              # accepted l3 w2 4
              accumulate r1 from 2: 102
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l4 v1 0+4 e[100, 100] 2150 ms
              # granted l4 w2
              c2 <- receipt l2 Accepted { samples: 2 }
              c1 <- receipt l1 Accepted { samples: 2 }
              c2 <- receipt l3 Accepted { samples: 4 }
            c1 pause
            c2 pause
              # lapsed l4 w2
            c1 ready r1
              c1 <- params r1 v1
              c1 <- lease l5 v1 0+4 e[100, 100] 2412 ms
              # granted l5 w1
            c2 ready r1
        "#]],
    );
}

#[test]
fn the_last_step_of_an_epoch_is_smaller() {
    check(
        "create r1 epochs=2 from=v2; c1 join r1; wait 1; c1 update l1 0+1; wait 1; c1 update l2 1+1; applied r1 v3",
        expect![[r#"
            create r1 epochs=2 from=v2
              # phase r1 running
            c1 join r1
              c1 <- welcome w1, token 1, credited 16
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v2
              c1 <- lease l1 v2 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            wait 1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v2 1+1 e[100, 100] 2004 ms
              # granted l2 w1
            wait 1
            c1 update l2 1+1
              # accepted l2 w1 2
              accumulate r1 from 1: 101
              apply r1 v3: 4 samples, e[100, 100], x0.44444444444444453
            applied r1 v3
              # committed r1 v3, loss 1
              c1 <- params r1 v3
              c1 <- lease l3 v3 0+4 e[100, 100] 2004 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 2 }
        "#]],
    );
}

#[test]
fn a_worker_without_work_is_told_why_after_a_second() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; c3 join r1; c4 join r1; c5 join r1
         wait 1200; wait 1000",
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
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[100, 100] 30000 ms
              # granted l2 w2
            c3 join r1
              c3 <- welcome w3, token 3, credited 0
              # joined w3 false
              c3 <- run r1
              c3 <- params r1 v0
              c3 <- lease l3 v0 2+1 e[100, 100] 30000 ms
              # granted l3 w3
            c4 join r1
              c4 <- welcome w4, token 4, credited 0
              # joined w4 false
              c4 <- run r1
              c4 <- params r1 v0
              c4 <- lease l4 v0 3+1 e[100, 100] 30000 ms
              # granted l4 w4
            c5 join r1
              c5 <- welcome w5, token 5, credited 0
              # joined w5 false
              c5 <- run r1
            wait 1200
              at 1.000
              c5 <- idle StepTail
            wait 1000
        "#]],
    );
}

#[test]
fn a_lapsed_lease_may_be_answered_while_nobody_else_has_its_work() {
    check(
        "create r1; start r1; c1 join r1
         keep 30200
         workers; c1 update l1 0+1",
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
            keep 30200
              at 30.000
              # lapsed l1 w1
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 125216 ms
              # granted l2 w1
        "#]],
    );
}

#[test]
fn a_lapsed_lease_is_revoked_when_others_get_its_work() {
    check(
        "create r1; start r1; c1 join r1
         keep 30200
         c2 join r1
         c1 update l1 0+1; c2 update l2 0+1",
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
            keep 30200
              at 30.000
              # lapsed l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w2
              c1 <- revoke l1 Expired
              c1 <- lease l3 v0 1+1 e[100, 100] 30000 ms
              # granted l3 w1
            c1 update l1 0+1
              # rejected l1 w1 Superseded
              c1 <- receipt l1 Rejected(Superseded)
            c2 update l2 0+1
              # accepted l2 w2 2
              accumulate r1 from 0: 100
              c2 <- lease l4 v0 2+2 e[100, 100] 2002 ms
              # granted l4 w2
        "#]],
    );
}

#[test]
fn a_pausing_worker_gives_its_work_to_others_and_may_still_answer() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; wait 1; c2 update l2 1+1
         c1 pause
         c1 update l1 0+1
         c1 ready r1",
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
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 2+2 e[100, 100] 2004 ms
              # granted l3 w2
            c1 pause
              # lapsed l1 w1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
            c1 ready r1
        "#]],
    );
}

#[test]
fn a_disconnected_workers_work_goes_to_others() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; wait 1; c2 update l2 1+1
         c1 closed
         c2 update l3 2+2
         c3 hello resume=1; c3 update l1 0+1",
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
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 2+2 e[100, 100] 2004 ms
              # granted l3 w2
            c1 closed
              # left w1 false
              # lapsed l1 w1
            c2 update l3 2+2
              # accepted l3 w2 4
              accumulate r1 from 2: 102
              c2 <- lease l4 v0 0+1 e[100, 100] 2003 ms
              # granted l4 w2
            c3 hello resume=1
              c3 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c3 <- run r1
            c3 update l1 0+1
              # rejected l1 w1 Superseded
              c3 <- receipt l1 Rejected(Superseded)
        "#]],
    );
}

#[test]
fn a_released_lease_goes_to_others_and_a_broken_worker_gets_no_new_one() {
    check(
        "create r1; start r1; c1 join r1; c1 release l1 EngineFailed
         c2 join r1; c2 release l2
         c1 ready r1; c2 release l99",
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
            c1 release l1 EngineFailed
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w2
            c2 release l2
              c2 <- lease l3 v0 0+1 e[100, 100] 30000 ms
              # granted l3 w2
            c1 ready r1
              c1 <- lease l4 v0 1+1 e[100, 100] 30000 ms
              # granted l4 w1
            c2 release l99
        "#]],
    );
}

#[test]
fn a_worker_of_another_run_gets_nothing() {
    check(
        "create r1; start r1; c1 hello; c1 ready r7; c1 ready r1",
        expect![[r#"
            create r1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 hello
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
            c1 ready r7
            c1 ready r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
        "#]],
    );
}

/// The second worker's first lease takes longer than a whole step of the first: it would only hold it up. After
/// five seconds it gets one micro-batch again, and no longer counts as slow.
#[test]
fn a_worker_that_began_badly_is_measured_again_after_a_while() {
    let steps = |n: u64| {
        let mut script = "create r1 epochs=900; start r1; c1 join r1; c2 join r1
             wait 10; c1 update l1 0+1
             wait 10; c1 update l3 2+2
             wait 200; c2 update l2 1+1
             applied r1 v1"
            .to_owned();
        for step in 1..=n {
            let (lease, version) = (step + 3, step + 1);
            // An epoch has ten micro-batches.
            let size = if step % 3 == 2 { 2 } else { 4 };
            write!(
                script,
                "; keep 49; c1 update l{lease} 0+{size}; applied r1 v{version}"
            )
            .unwrap();
        }
        output(&script)
    };
    let early = steps(102);
    assert_eq!(early.matches("c2 <- lease").count(), 1, "{early}");
    let late = steps(103);
    let again = late.split("c2 <- lease ").nth(2).expect("a second lease");
    assert!(again.starts_with("l108 v104 1+1 "), "{again}");
    assert!(again.contains("30000 ms"), "{again}");
}

//! Credit: for committed steps, once they are durable.

use expect_test::expect;

use super::check;

#[test]
fn credit_comes_when_the_snapshot_is_durable_and_not_before() {
    check(
        "create r1 snapshot=1; start r1; durable r1 v0; c1 join r1; c2 join r1
         wait 1; c1 update l1 0+1; c2 update l2 1+1; wait 1; c1 update l3 2+2
         applied r1 v1; workers
         durable r1 v1; workers",
        expect![[r#"
            create r1 snapshot=1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
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
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l3 v0 2+2 e[100, 100] 2004 ms
              # granted l3 w1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
            wait 1
            c1 update l3 2+2
              # accepted l3 w1 4
              accumulate r1 from 2: 102
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              snapshot r1 Interval: v1 running, 8 samples, credits [2, 6]
              c1 <- params r1 v1
              c1 <- lease l4 v1 0+2 e[100, 100] 2004 ms
              # granted l4 w1
              c2 <- params r1 v1
              c2 <- lease l5 v1 2+2 e[100, 100] 2004 ms
              # granted l5 w2
              c1 <- receipt l1 Accepted { samples: 2 }
              c2 <- receipt l2 Accepted { samples: 2 }
              c1 <- receipt l3 Accepted { samples: 4 }
            workers
              w1 connected true, run Some(1), paused None, 6 accepted, 0 credited, 0 rejected
              w2 connected true, run Some(1), paused None, 2 accepted, 0 credited, 0 rejected
            durable r1 v1
            workers
              w1 connected true, run Some(1), paused None, 6 accepted, 0 credited, 0 rejected
              w2 connected true, run Some(1), paused None, 2 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn a_failed_snapshot_credits_nothing_and_the_next_one_covers_it() {
    check(
        "create r1 snapshot=1; start r1; durable r1 v0; c1 join r1
         wait 1; c1 update l1 0+1; c1 update l2 1+3; applied r1 v1; failed r1 v1
         wait 1; c1 update l3 0+4; applied r1 v2; durable r1 v2
         wait 4998; c1 pong; wait 250; durable r1 v2",
        expect![[r#"
            create r1 snapshot=1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
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
              # committed r1 v1, loss 1
              snapshot r1 Interval: v1 running, 8 samples, credits [8]
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2003 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            failed r1 v1
            wait 1
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              c1 <- params r1 v2
              c1 <- lease l4 v2 0+2 e[100, 100] 2003 ms
              # granted l4 w1
              c1 <- receipt l3 Accepted { samples: 8 }
            durable r1 v2
            wait 4998
              at 0.500
              c1 <- credited 16
              at 2.250
              # lapsed l4 w1
              at 5.000
              c1 <- ping
            c1 pong
            wait 250
              at 5.250
              snapshot r1 Interval: v2 running, 16 samples, credits [16]
            durable r1 v2
        "#]],
    );
}

#[test]
fn a_snapshot_that_is_wanted_while_one_is_written_follows_it() {
    check(
        "create r1 snapshot=1; start r1; c1 join r1
         wait 1; c1 update l1 0+1; c1 update l2 1+3; applied r1 v1; wait 1; c1 update l3 0+4; applied r1 v2
         durable r1 v0; durable r1 v1; durable r1 v2",
        expect![[r#"
            create r1 snapshot=1
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
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2003 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            wait 1
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              c1 <- params r1 v2
              c1 <- lease l4 v2 0+2 e[100, 100] 2003 ms
              # granted l4 w1
              c1 <- receipt l3 Accepted { samples: 8 }
            durable r1 v0
              snapshot r1 Interval: v2 running, 16 samples, credits [16]
            durable r1 v1
            durable r1 v2
        "#]],
    );
}

#[test]
fn a_worker_that_left_keeps_its_credit() {
    check(
        "create r1 snapshot=1; start r1; durable r1 v0; c1 join r1
         wait 1; c1 update l1 0+1; c1 update l2 1+3; c1 closed; applied r1 v1; durable r1 v1
         c2 hello resume=1; c2 goodbye; c3 hello resume=1",
        expect![[r#"
            create r1 snapshot=1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
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
            c1 closed
              # left w1 false
            applied r1 v1
              # committed r1 v1, loss 1
              snapshot r1 Interval: v1 running, 8 samples, credits [8]
            durable r1 v1
            c2 hello resume=1
              c2 <- welcome w1 again, token 1, credited 8
              # joined w1 true
              c2 <- run r1
            c2 goodbye
              c2 close
              # left w1 true
            c3 hello resume=1
              c3 <- welcome w2, token 1, credited 8
              # joined w2 false
              c3 <- run r1
        "#]],
    );
}

#[test]
fn credit_is_the_sum_over_runs() {
    check(
        "create r1 from=v1; create r2 from=v2; c1 hello; c2 hello resume=1",
        expect![[r#"
            create r1 from=v1
              # phase r1 running
            create r2 from=v2
              # phase r2 running
            c1 hello
              c1 <- welcome w1, token 1, credited 24
              # joined w1 false
              c1 <- run r1
            c2 hello resume=1
              c1 <- refused Replaced: Another connection goes on as this worker.
              c1 close
              # refused Replaced
              c2 <- welcome w1 again, token 1, credited 24
              # joined w1 true
              c2 <- run r1
        "#]],
    );
}

#[test]
fn the_work_of_a_restarted_step_earns_nothing() {
    check(
        "create r1 snapshot=1; start r1; durable r1 v0; c1 join r1; c2 join r1
         c1 update l1 0+1; c2 overflow l2 20 20
         c1 update l4 0+3; c2 update l5 3+1; applied r1 v1; durable r1 v1",
        expect![[r#"
            create r1 snapshot=1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
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
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l3 v0 2+2 e[100, 100] 2002 ms
              # granted l3 w1
            c2 overflow l2 20 20
              reset r1
              # restarted r1 v0, attempt 2
              c1 <- receipt l1 Rejected(Superseded)
              c1 <- revoke l3 StepRestarted
              c1 <- lease l4 v0 0+3 e[20, 20] 2002 ms
              # granted l4 w1
              c2 <- lease l5 v0 3+1 e[20, 20] 30000 ms
              # granted l5 w2
            c1 update l4 0+3
              # accepted l4 w1 6
              accumulate r1 from 0: 100
            c2 update l5 3+1
              # accepted l5 w2 2
              accumulate r1 from 3: 103
              apply r1 v1: 8 samples, e[20, 20], x1
            applied r1 v1
              # committed r1 v1, loss 1
              snapshot r1 Interval: v1 running, 8 samples, credits [2, 6]
              c1 <- params r1 v1
              c1 <- lease l6 v1 0+2 e[20, 20] 2002 ms
              # granted l6 w1
              c2 <- params r1 v1
              c2 <- lease l7 v1 2+2 e[20, 20] 2002 ms
              # granted l7 w2
              c1 <- receipt l4 Accepted { samples: 6 }
              c2 <- receipt l5 Accepted { samples: 2 }
            durable r1 v1
        "#]],
    );
}

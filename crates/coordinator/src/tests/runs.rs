//! The life of runs.

use expect_test::expect;

use super::check;

#[test]
fn a_run_begins_when_it_is_started() {
    check(
        "create r1 evaluate=2 snapshot=2; c1 join r1; status r1
         start r1; durable r1 v0
         wait 100; c1 update l1 0+1; c1 update l2 1+3; status r1
         applied r1 v1; wait 100; c1 update l3 0+4; applied r1 v2; status r1",
        expect![[r#"
            create r1 evaluate=2 snapshot=2
              # phase r1 created
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- idle RunPaused
            status r1
              v0 of 3 steps, created, 0 samples, 0/s, loss None, 1 workers, 1 lanes
            start r1
              # phase r1 running
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
            wait 100
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2408 ms
              # granted l2 w1
            c1 update l2 1+3
              # accepted l2 w1 6
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            status r1
              v0 of 3 steps, running, 0 samples, 0/s, loss None, 1 workers, 1 lanes
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2289 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            wait 100
            c1 update l3 0+4
              # accepted l3 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              evaluate r1 v2
              snapshot r1 Interval: v2 running, 16 samples, credits [16]
              c1 <- params r1 v2
              c1 <- lease l4 v2 0+2 e[100, 100] 2317 ms
              # granted l4 w1
              c1 <- receipt l3 Accepted { samples: 8 }
            status r1
              v2 of 3 steps, running, 16 samples, 80/s, loss Some(1.0), 1 workers, 1 lanes
        "#]],
    );
}

#[test]
fn a_run_ends_with_its_last_step() {
    check(
        "create r1 from=v2; c1 join r1; wait 100; c1 update l1 0+1; c1 update l2 1+1
         applied r1 v3; durable r1 v3; status r1
         start r1; stop r1; c2 hello; c2 ready r1",
        expect![[r#"
            create r1 from=v2
              # phase r1 running
            c1 join r1
              c1 <- welcome w1, token 1, credited 16
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v2
              c1 <- lease l1 v2 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            wait 100
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v2 1+1 e[100, 100] 2400 ms
              # granted l2 w1
            c1 update l2 1+1
              # accepted l2 w1 2
              accumulate r1 from 1: 101
              apply r1 v3: 4 samples, e[100, 100], x0.11111111111111113
            applied r1 v3
              # committed r1 v3, loss 1
              evaluate r1 v3
              # phase r1 finished
              c1 <- idle RunFinished
              snapshot r1 Finished: v3 finished, 20 samples, credits [20]
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 2 }
            durable r1 v3
            status r1
              v3 of 3 steps, finished, 20 samples, 0/s, loss Some(1.0), 1 workers, 1 lanes
            start r1
            stop r1
            c2 hello
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- idle RunFinished
            c2 ready r1
        "#]],
    );
}

#[test]
fn a_paused_run_takes_its_leases_back_and_goes_on_where_it_was() {
    check(
        "create r1; start r1; durable r1 v0; c1 join r1; wait 1; c1 update l1 0+1
         pause r1; pause r1; durable r1 v0; c2 join r1; status r1
         start r1; c1 update l3 1+3",
        expect![[r#"
            create r1
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
            pause r1
              # phase r1 paused
              c1 <- revoke l2 RunPaused
              c1 <- idle RunPaused
              snapshot r1 Paused: v0 paused, 0 samples, credits []
            pause r1
            durable r1 v0
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- idle RunPaused
            status r1
              v0 of 3 steps, paused, 0 samples, 0/s, loss None, 2 workers, 2 lanes
            start r1
              # phase r1 running
              c1 <- lease l3 v0 1+2 e[100, 100] 2004 ms
              # granted l3 w1
              c2 <- params r1 v0
              c2 <- lease l4 v0 3+1 e[100, 100] 30000 ms
              # granted l4 w2
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 update l3 1+3
              # rejected l3 w1 WrongCounts
              c1 <- receipt l3 Rejected(WrongCounts)
              c1 <- lease l5 v0 1+2 e[100, 100] 2004 ms
              # granted l5 w1
        "#]],
    );
}

#[test]
fn a_pause_while_a_step_is_applied_takes_its_snapshot_afterwards() {
    check(
        "create r1; start r1; durable r1 v0; c1 join r1; wait 1; c1 update l1 0+1; c1 update l2 1+3
         pause r1; applied r1 v1; durable r1 v1; start r1",
        expect![[r#"
            create r1
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
            pause r1
              # phase r1 paused
              c1 <- idle RunPaused
            applied r1 v1
              # committed r1 v1, loss 1
              snapshot r1 Paused: v1 paused, 8 samples, credits [8]
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
            durable r1 v1
            start r1
              # phase r1 running
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[100, 100] 2003 ms
              # granted l3 w1
              snapshot r1 Started: v1 running, 8 samples, credits [8]
        "#]],
    );
}

#[test]
fn a_stopped_run_ends_for_good() {
    check(
        "create r1; start r1; durable r1 v0; c1 join r1; stop r1; start r1; c1 update l1 0+1; status r1",
        expect![[r#"
            create r1
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
            stop r1
              # phase r1 stopped
              c1 <- revoke l1 RunStopped
              reset r1
              c1 <- idle RunStopped
              snapshot r1 Stopped: v0 stopped, 0 samples, credits []
            start r1
            c1 update l1 0+1
              # rejected l1 w1 RunInactive
              c1 <- receipt l1 Rejected(RunInactive)
            status r1
              v0 of 3 steps, stopped, 0 samples, 0/s, loss None, 1 workers, 1 lanes
        "#]],
    );
}

#[test]
fn a_diverging_step_pauses_the_run_and_changes_nothing() {
    check(
        "create r1; start r1; durable r1 v0; c1 join r1; wait 1; c1 update l1 0+1; c1 update l2 1+3
         diverged r1 v1; status r1; start r1",
        expect![[r#"
            create r1
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
            diverged r1 v1
              reset r1
              c1 <- receipt l1 Rejected(Superseded)
              c1 <- receipt l2 Rejected(Superseded)
              # phase r1 paused: the step would make parameter 3 infinite or not a number: lower the learning rate or set train.clip_norm
              c1 <- idle RunPaused
              snapshot r1 Paused: v0 paused, 0 samples, credits []
            status r1
              v0 of 3 steps, paused, 0 samples, 0/s, loss None, 1 workers, 1 lanes, the step would make parameter 3 infinite or not a number: lower the learning rate or set train.clip_norm
            start r1
              # phase r1 running
              c1 <- lease l3 v0 0+4 e[100, 100] 2003 ms
              # granted l3 w1
        "#]],
    );
}

#[test]
fn an_applied_step_that_nobody_asked_for_is_ignored() {
    check(
        "create r1; start r1; applied r1 v1; applied r9 v1",
        expect![[r#"
            create r1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            applied r1 v1
            applied r9 v1
        "#]],
    );
}

#[test]
fn workers_go_to_the_run_that_they_ask_for_or_that_has_fewest() {
    check(
        "create r1; create r2; start r1; c1 hello; c2 hello run=letters; c3 hello
         start r2; c4 hello; c5 hello; workers",
        expect![[r#"
            create r1
              # phase r1 created
            create r2
              # phase r2 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 hello
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
            c2 hello run=letters
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r2
              c2 <- idle RunPaused
            c3 hello
              c3 <- welcome w3, token 3, credited 0
              # joined w3 false
              c3 <- run r1
            start r2
              # phase r2 running
              snapshot r2 Started: v0 running, 0 samples, credits []
            c4 hello
              c4 <- welcome w4, token 4, credited 0
              # joined w4 false
              c4 <- run r2
            c5 hello
              c5 <- welcome w5, token 5, credited 0
              # joined w5 false
              c5 <- run r1
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
              w2 connected true, run Some(2), paused None, 0 accepted, 0 credited, 0 rejected
              w3 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
              w4 connected true, run Some(2), paused None, 0 accepted, 0 credited, 0 rejected
              w5 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn workers_leave_a_run_that_pauses_for_one_that_runs() {
    check(
        "create r1; create r2; start r1; durable r1 v0; start r2; durable r2 v0
         c1 join r1; c2 hello run=digits; c2 ready r1; c3 join r2
         pause r1; c1 ready r2
         stop r2; start r1",
        expect![[r#"
            create r1
              # phase r1 created
            create r2
              # phase r2 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
            start r2
              # phase r2 running
              snapshot r2 Started: v0 running, 0 samples, credits []
            durable r2 v0
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            c2 hello run=digits
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
            c2 ready r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[100, 100] 30000 ms
              # granted l2 w2
            c3 join r2
              c3 <- welcome w3, token 3, credited 0
              # joined w3 false
              c3 <- run r2
              c3 <- params r2 v0
              c3 <- lease l3 v0 0+1 e[100, 100] 30000 ms
              # granted l3 w3
            pause r1
              # phase r1 paused
              c1 <- revoke l1 RunPaused
              c2 <- revoke l2 RunPaused
              c1 <- run r2
              c2 <- idle RunPaused
              snapshot r1 Paused: v0 paused, 0 samples, credits []
            c1 ready r2
              c1 <- params r2 v0
              c1 <- lease l4 v0 1+1 e[100, 100] 30000 ms
              # granted l4 w1
            stop r2
              # phase r2 stopped
              c3 <- revoke l3 RunStopped
              c1 <- revoke l4 RunStopped
              reset r2
              c1 <- idle RunStopped
              c3 <- idle RunStopped
              snapshot r2 Stopped: v0 stopped, 0 samples, credits []
            start r1
              # phase r1 running
              c1 <- run r1
              c3 <- run r1
              c2 <- lease l5 v0 0+1 e[100, 100] 30000 ms
              # granted l5 w2
        "#]],
    );
}

#[test]
fn a_snapshot_of_the_last_step_is_a_finished_run() {
    check(
        "create r1 from=v3; status r1; c1 hello; c1 ready r1",
        expect![[r#"
            create r1 from=v3
              # phase r1 finished
            status r1
              v3 of 3 steps, finished, 24 samples, 0/s, loss None, 0 workers, 0 lanes
            c1 hello
              c1 <- welcome w1, token 1, credited 24
              # joined w1 false
              c1 <- run r1
              c1 <- idle RunFinished
            c1 ready r1
        "#]],
    );
}

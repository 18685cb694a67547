//! Operators send workers away, keep identities out and remove runs.

use expect_test::expect;

use super::check;

#[test]
fn a_banned_worker_is_cut_and_kept_out_until_the_ban_is_over() {
    check(
        "create r1; start r1; c1 join r1; ban c1 500
        c2 hello resume=1
        wait 500; c3 hello resume=1",
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
            ban c1 500
              c1 <- refused Unauthorized: The operator has excluded this worker for some time: wrong gradients.
              c1 close
              # refused Unauthorized
              # left w1 false
              # lapsed l1 w1
            c2 hello resume=1
              c2 <- refused Unauthorized: The operator has excluded this worker for some time: wrong gradients.
              c2 close
              # refused Unauthorized
            wait 500
            c3 hello resume=1
              c3 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c3 <- run r1
        "#]],
    );
}

#[test]
fn an_unbanned_worker_may_come_back() {
    check(
        "create r1; ban c1; c1 hello resume=1; unban c1; c2 hello resume=1; workers",
        expect![[r#"
            create r1
              # phase r1 created
            ban c1
            c1 hello resume=1
              c1 <- refused Unauthorized: The operator has excluded this worker for good: wrong gradients.
              c1 close
              # refused Unauthorized
            unban c1
            c2 hello resume=1
              c2 <- welcome w1, token 1, credited 0
              # joined w1 false
              c2 <- run r1
              c2 <- idle RunPaused
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn a_drained_worker_answers_what_it_has_and_is_sent_away() {
    check(
        "create r1; start r1; c1 join r1; drain w1; workers
        c1 update l1 0+1
        wait 250; c1 closed; c2 hello resume=1; c2 ready r1",
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
            drain w1
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
            wait 250
              at 0.250
              c1 <- refused Unauthorized: The operator has sent this worker away; all its work counts.
              c1 close
              # refused Unauthorized
              # left w1 false
            c1 closed
            c2 hello resume=1
              c2 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c2 <- run r1
            c2 ready r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+3 e[100, 100] 2002 ms
              # granted l2 w1
        "#]],
    );
}

#[test]
fn an_idle_worker_is_sent_away_at_once() {
    check(
        "create r1; c1 join r1; drain w1; drain w9",
        expect![[r#"
        create r1
          # phase r1 created
        c1 join r1
          c1 <- welcome w1, token 1, credited 0
          # joined w1 false
          c1 <- run r1
          c1 <- idle RunPaused
        drain w1
          c1 <- refused Unauthorized: The operator has sent this worker away; all its work counts.
          c1 close
          # refused Unauthorized
          # left w1 false
        drain w9
    "#]],
    );
}

#[test]
fn a_run_that_is_over_is_removed_and_its_workers_go_on() {
    check(
        "create r1; create r2; c1 join r1; remove r1; stop r1; durable r1 v0; remove r1; remove r1; start r2",
        expect![[r#"
            create r1
              # phase r1 created
            create r2
              # phase r2 created
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- idle RunPaused
            remove r1
            stop r1
              # phase r1 stopped
              reset r1
              c1 <- idle RunStopped
              snapshot r1 Stopped: v0 stopped, 0 samples, credits []
            durable r1 v0
            remove r1
              c1 <- run r2
              c1 <- idle RunPaused
              # r1 removed
            remove r1
            start r2
              # phase r2 running
              snapshot r2 Started: v0 running, 0 samples, credits []
        "#]],
    );
}

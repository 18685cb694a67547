//! Shards that diverge, and workers whose number of lanes changes.

use expect_test::expect;

use super::check;

#[test]
fn a_run_pauses_when_two_workers_say_that_its_shards_diverge() {
    check(
        "create r1 inner=2 shards=2; start r1; c1 join r1; c2 join r1
         c1 release l1 diverged; c2 release l2 diverged; start r1; wait 1000",
        expect![[r#"
            create r1 inner=2 shards=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l2 w2
            c1 release l1 diverged
            c2 release l2 diverged
              # phase r1 paused: the shards after version v0 reach parameters that are infinite or not a number (seen by 2 of 2 workers): lower the learning rate or set train.clip_norm
              c1 <- idle RunPaused
              c2 <- idle RunPaused
            start r1
              # phase r1 running
              c1 <- lease l3 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l3 w1
              c2 <- lease l4 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l4 w2
            wait 1000
        "#]],
    );
}

#[test]
fn one_that_is_wrong_about_it_holds_nobody_up() {
    check(
        "create r1 inner=2 shards=2; start r1; c1 join r1; c2 join r1
         c1 release l1 diverged; wait 1000; c2 update l2 1+1 samples=4; c2 update l3 0+1 samples=16; applied r1 v1",
        expect![[r#"
            create r1 inner=2 shards=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l2 w2
            c1 release l1 diverged
            wait 1000
            c2 update l2 1+1 samples=4
              # accepted l2 w2 4
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 0+1 of 2 steps e[100, 100] 6000 ms
              # granted l3 w2
            c2 update l3 0+1 samples=16
              # accepted l3 w2 16
              accumulate r1 from 0: 100
              apply r1 v1: 2 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              evaluate r1 v1
              # phase r1 finished
              c1 <- idle RunFinished
              c2 <- idle RunFinished
              c2 <- receipt l2 Accepted { samples: 4 }
              c2 <- receipt l3 Accepted { samples: 16 }
              c2 <- credited 20
        "#]],
    );
}

#[test]
fn the_only_worker_that_is_left_is_believed() {
    check(
        "create r1 inner=2 shards=2; start r1; c1 join r1; c2 join r1
         c1 release l1 diverged; c2 goodbye; wait 1000",
        expect![[r#"
            create r1 inner=2 shards=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l2 w2
            c1 release l1 diverged
            c2 goodbye
              # lapsed l2 w2
              c2 close
              # left w2 true
            wait 1000
              at 0.250
              # phase r1 paused: the shards after version v0 reach parameters that are infinite or not a number (seen by 1 of 1 workers): lower the learning rate or set train.clip_norm
              c1 <- idle RunPaused
        "#]],
    );
}

#[test]
fn a_worker_with_more_lanes_gets_more_shards_and_one_with_none_is_refused() {
    check(
        "create r1 inner=2 shards=2; start r1; c1 join r1; c1 lanes 2; c2 join r1; c2 lanes 0",
        expect![[r#"
            create r1 inner=2 shards=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l1 w1
            c1 lanes 2
              c1 <- lease l2 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l2 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
            c2 lanes 0
              c2 <- refused ProtocolError: A message out of place.
              c2 close
              # refused ProtocolError
              # left w2 false
        "#]],
    );
}

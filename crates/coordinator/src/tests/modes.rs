//! Batches that are applied as they arrive, and rounds of shards.

use expect_test::expect;

use super::check;

#[test]
fn batches_are_applied_as_they_arrive_and_count_less_when_stale() {
    check(
        "create r1 staleness=1; start r1; c1 join r1; c2 join r1; wait 10
         c2 update l2 0+4; applied r1 v1
         wait 10; c1 update l1 0+4; applied r1 v2",
        expect![[r#"
            create r1 staleness=1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 10
            c2 update l2 0+4
              # accepted l2 w2 8
              accumulate r1 from 0: 100
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l3 v1 0+2 of batch 2 e[100, 100] 2040 ms
              # granted l3 w2
              c2 <- receipt l2 Accepted { samples: 8 }
            wait 10
            c1 update l1 0+4
              # accepted l1 w1 8
              accumulate r1 from 0: 100
              apply r1 v2: 8 samples, e[100, 100], x0.22222222222222227
            applied r1 v2
              # committed r1 v2, loss 1
              c1 <- receipt l1 Accepted { samples: 8 }
        "#]],
    );
}

#[test]
fn what_is_too_stale_is_refused_and_somebody_else_does_the_batch() {
    check(
        "create r1 staleness=0 epochs=2; start r1; c1 join r1; c2 join r1; wait 10
         c2 update l2 0+4; applied r1 v1; c1 update l1 0+4; c2 update l3 0+2; applied r1 v2; status r1",
        expect![[r#"
            create r1 staleness=0 epochs=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 10
            c2 update l2 0+4
              # accepted l2 w2 8
              accumulate r1 from 0: 100
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l3 v1 0+2 of batch 2 e[100, 100] 2040 ms
              # granted l3 w2
              c2 <- lease l4 v1 0+4 of batch 3 e[100, 100] 2040 ms
              # granted l4 w2
              c2 <- receipt l2 Accepted { samples: 8 }
            c1 update l1 0+4
              # rejected l1 w1 Stale
              c1 <- receipt l1 Rejected(Stale)
              c1 <- params r1 v1
              c1 <- lease l5 v1 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l5 w1
            c2 update l3 0+2
              # accepted l3 w2 4
              accumulate r1 from 0: 100
              apply r1 v2: 4 samples, e[100, 100], x0.6944444444444445
            applied r1 v2
              # committed r1 v2, loss 1
              c2 <- params r1 v2
              c2 <- lease l6 v2 0+4 of batch 4 e[100, 100] 2028 ms
              # granted l6 w2
              c2 <- receipt l3 Accepted { samples: 4 }
            status r1
              v2 of 6 steps, running, 12 samples, 4000/s, loss Some(1.0), 2 workers, 2 lanes
        "#]],
    );
}

#[test]
fn a_part_of_a_batch_does_not_count() {
    check(
        "create r1 staleness=4; start r1; c1 join r1; wait 10; c1 update l1 0+2",
        expect![[r#"
            create r1 staleness=4
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            wait 10
            c1 update l1 0+2
              # rejected l1 w1 WrongCounts
              c1 <- receipt l1 Rejected(WrongCounts)
              c1 <- lease l2 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l2 w1
        "#]],
    );
}

#[test]
fn an_overflow_in_a_stream_costs_one_batch() {
    check(
        "create r1 staleness=4; start r1; c1 join r1; c2 join r1; c1 overflow l1 24 30; c2 overflow l2 26 30; c2 update l4 0+4",
        expect![[r#"
            create r1 staleness=4
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[100, 100] 30000 ms
              # granted l2 w2
            c1 overflow l1 24 30
              c1 <- lease l3 v0 0+4 of batch 0 e[24, 30] 30000 ms
              # granted l3 w1
            c2 overflow l2 26 30
              c2 <- lease l4 v0 0+4 of batch 1 e[24, 30] 30000 ms
              # granted l4 w2
            c2 update l4 0+4
              # accepted l4 w2 8
              accumulate r1 from 0: 100
              apply r1 v1: 8 samples, e[24, 30], x1
        "#]],
    );
}

#[test]
fn a_batch_whose_worker_left_is_done_by_another() {
    check(
        "create r1 staleness=4; start r1; c1 join r1; c2 join r1; wait 5; c2 update l2 0+4; applied r1 v1
         c1 closed; wait 5; c2 update l3 0+2; applied r1 v2; wait 5; c2 update l4 0+4; applied r1 v3; status r1",
        expect![[r#"
            create r1 staleness=4
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[100, 100] 30000 ms
              # granted l2 w2
            wait 5
            c2 update l2 0+4
              # accepted l2 w2 8
              accumulate r1 from 0: 100
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l3 v1 0+2 of batch 2 e[100, 100] 2020 ms
              # granted l3 w2
              c2 <- receipt l2 Accepted { samples: 8 }
            c1 closed
              # left w1 false
              # lapsed l1 w1
              c2 <- lease l4 v1 0+4 of batch 0 e[100, 100] 2020 ms
              # granted l4 w2
            wait 5
            c2 update l3 0+2
              # accepted l3 w2 4
              accumulate r1 from 0: 100
              apply r1 v2: 4 samples, e[100, 100], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              c2 <- receipt l3 Accepted { samples: 4 }
            wait 5
            c2 update l4 0+4
              # accepted l4 w2 8
              accumulate r1 from 0: 100
              apply r1 v3: 8 samples, e[100, 100], x0.055555555555555566
            applied r1 v3
              # committed r1 v3, loss 1
              evaluate r1 v3
              # phase r1 finished
              c2 <- idle RunFinished
              c2 <- receipt l4 Accepted { samples: 8 }
            status r1
              v3 of 3 steps, finished, 20 samples, 0/s, loss Some(1.0), 1 workers, 1 lanes
        "#]],
    );
}

#[test]
fn a_round_is_made_of_shards_one_for_each_lane() {
    check(
        "create r1 shards=2 inner=2 epochs=2; start r1; c1 hello lanes=2; c1 ready r1; wait 10
         c1 update l1 0+1 samples=16; c1 update l2 1+1 samples=12; applied r1 v1
         c1 update l3 0+1 samples=12; applied r1 v2; status r1",
        expect![[r#"
            create r1 shards=2 inner=2 epochs=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 hello lanes=2
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
            c1 ready r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 2 steps e[100, 100] 30000 ms
              # granted l1 w1
              c1 <- lease l2 v0 1+1 of 2 steps e[100, 100] 30000 ms
              # granted l2 w1
            wait 10
            c1 update l1 0+1 samples=16
              # accepted l1 w1 16
              accumulate r1 from 0: 100
            c1 update l2 1+1 samples=12
              # accepted l2 w1 12
              accumulate r1 from 1: 101
              apply r1 v1: 2 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+1 of 2 steps e[100, 100] 2040 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 16 }
              c1 <- receipt l2 Accepted { samples: 12 }
            c1 update l3 0+1 samples=12
              # accepted l3 w1 12
              accumulate r1 from 0: 100
              apply r1 v2: 1 samples, e[100, 100], x1
            applied r1 v2
              # committed r1 v2, loss 1
              evaluate r1 v2
              # phase r1 finished
              c1 <- idle RunFinished
              c1 <- receipt l3 Accepted { samples: 12 }
            status r1
              v2 of 2 steps, finished, 40 samples, 0/s, loss Some(1.0), 1 workers, 2 lanes
        "#]],
    );
}

#[test]
fn a_round_with_a_quorum_does_not_wait_for_ever() {
    check(
        "create r1 shards=2 inner=1 quorum=1 epochs=2; start r1; c1 join r1; c2 join r1; wait 10
         c1 update l1 0+1 samples=8; keep 9900; keep 400
         applied r1 v1; c2 update l2 1+1 samples=8",
        expect![[r#"
            create r1 shards=2 inner=1 quorum=1 epochs=2
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 of 1 steps e[100, 100] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l2 w2
            wait 10
            c1 update l1 0+1 samples=8
              # accepted l1 w1 8
              accumulate r1 from 0: 100
            keep 9900
              at 0.250
              c1 <- lease l3 v0 1+1 of 1 steps e[100, 100] 2040 ms
              # granted l3 w1
              at 2.500
              # lapsed l3 w1
            keep 400
              at 10.000
              c2 <- revoke l2 Expired
              c1 <- revoke l3 Expired
              apply r1 v1: 1 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l4 v1 0+1 of 1 steps e[100, 100] 2040 ms
              # granted l4 w1
              c2 <- params r1 v1
              c2 <- lease l5 v1 1+1 of 1 steps e[100, 100] 30000 ms
              # granted l5 w2
              c1 <- receipt l1 Accepted { samples: 8 }
              c1 <- credited 8
            c2 update l2 1+1 samples=8
              # rejected l2 w2 Superseded
              c2 <- receipt l2 Rejected(Superseded)
        "#]],
    );
}

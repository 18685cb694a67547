//! Second chances at the end of a step: whoever answers first counts.

use expect_test::expect;

use super::check;

#[test]
fn an_idle_worker_gets_a_copy_of_what_is_late() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; wait 10; c1 update l1 0+1; c2 update l2 1+1
         keep 400
         c2 update l3 2+2",
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
            wait 10
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l3 v0 2+2 e[100, 100] 2040 ms
              # granted l3 w1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
            keep 400
              at 0.250
              c2 <- lease l4 v0 2+2 e[100, 100] 2040 ms
              # granted l4 w2
            c2 update l3 2+2
              # rejected l3 w2 UnknownLease
              c2 <- receipt l3 Rejected(UnknownLease)
        "#]],
    );
}

#[test]
fn the_first_answer_counts_and_the_other_lease_is_taken_back() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; wait 10; c1 update l1 0+1; c2 update l2 1+1; keep 400
         c2 update l4 2+2; c1 update l3 2+2; applied r1 v1",
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
            wait 10
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l3 v0 2+2 e[100, 100] 2040 ms
              # granted l3 w1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
            keep 400
              at 0.250
              c2 <- lease l4 v0 2+2 e[100, 100] 2040 ms
              # granted l4 w2
            c2 update l4 2+2
              # accepted l4 w2 4
              accumulate r1 from 2: 102
              c1 <- revoke l3 Expired
              apply r1 v1: 8 samples, e[100, 100], x1
            c1 update l3 2+2
              # rejected l3 w1 Superseded
              c1 <- receipt l3 Rejected(Superseded)
            applied r1 v1
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l5 v1 0+4 e[100, 100] 2041 ms
              # granted l5 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c2 <- receipt l2 Accepted { samples: 2 }
              c2 <- receipt l4 Accepted { samples: 4 }
        "#]],
    );
}

//! Updates: counted once, or rejected with a reason.

use expect_test::expect;

use super::check;
use super::script::output;

#[test]
fn an_update_that_comes_twice_is_answered_twice_and_counted_once() {
    check(
        "create r1; start r1; c1 join r1; c1 update l1 0+1; c1 update l1 0+1; workers
         c1 update l2 1+3; applied r1 v1; c1 update l1 0+1",
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
            c1 update l1 0+1
            workers
              w1 connected true, run Some(1), paused None, 2 accepted, 0 credited, 0 rejected
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
            c1 update l1 0+1
              c1 <- receipt l1 Accepted { samples: 2 }
        "#]],
    );
}

#[test]
fn what_a_partial_update_leaves_is_leased_again() {
    check(
        "create r1; start r1; c1 join r1; wait 1; c1 update l1 0+1
         c1 update l2 1+1 3+1
         c1 update l3 2+1",
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
            wait 1
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l2 v0 1+3 e[100, 100] 2004 ms
              # granted l2 w1
            c1 update l2 1+1 3+1
              # accepted l2 w1 4
              accumulate r1 from 1: 101
              c1 <- lease l3 v0 2+1 e[100, 100] 2003 ms
              # granted l3 w1
            c1 update l3 2+1
              # accepted l3 w1 2
              accumulate r1 from 2: 102
              apply r1 v1: 8 samples, e[100, 100], x1
        "#]],
    );
}

#[test]
fn counts_that_do_not_fit_the_lease_are_rejected() {
    let rejected = "  # rejected l1 w1 WrongCounts\n  c1 <- receipt l1 Rejected(WrongCounts)\n  \
                    c1 <- lease l2 v0 0+1 e[100, 100] 30000 ms\n  # granted l2 w1\n";
    for update in [
        "0+2",
        "1+1",
        "0+0",
        "",
        "0+1 0+1",
        "0+4294967295",
        "4294967295+4294967295",
        "0+1 samples=3",
        "0+1 samples=0",
        "0+1 correct=3",
        "0+1 loss=-1",
        "0+1 loss=2199023255553",
    ] {
        let output = output(&format!(
            "create r1; start r1; c1 join r1; c1 update l1 {update}"
        ));
        assert!(output.ends_with(rejected), "{update}: {output}");
    }
}

#[test]
fn tensors_that_the_edge_refuses_are_rejected_and_the_work_is_leased_again() {
    check(
        "create r1; start r1; c1 join r1
         c1 update l1 0+1 bad=Malformed; c1 update l2 0+1 bad=WrongDigest; c1 update l3 0+1 payload=f32
         c1 update l4 0+1; workers",
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
            c1 update l1 0+1 bad=Malformed
              # rejected l1 w1 Malformed
              c1 <- receipt l1 Rejected(Malformed)
              c1 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w1
            c1 update l2 0+1 bad=WrongDigest
              # rejected l2 w1 WrongDigest
              c1 <- receipt l2 Rejected(WrongDigest)
              c1 <- lease l3 v0 0+1 e[100, 100] 30000 ms
              # granted l3 w1
            c1 update l3 0+1 payload=f32
              # rejected l3 w1 Malformed
              c1 <- receipt l3 Rejected(Malformed)
              c1 <- lease l4 v0 0+1 e[100, 100] 30000 ms
              # granted l4 w1
            c1 update l4 0+1
              # accepted l4 w1 2
              accumulate r1 from 0: 100
              c1 <- lease l5 v0 1+3 e[100, 100] 2002 ms
              # granted l5 w1
            workers
              w1 connected true, run Some(1), paused None, 2 accepted, 0 credited, 3 rejected
        "#]],
    );
}

#[test]
fn leases_of_others_and_answered_ones_are_unknown() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1
         c1 update l2 1+1; c1 update l99 0+1; c2 update l2 1+1; c1 update l1 0+1
         c1 update l2 1+1",
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
            c1 update l2 1+1
              # rejected l2 w1 UnknownLease
              c1 <- receipt l2 Rejected(UnknownLease)
            c1 update l99 0+1
              # rejected l99 w1 UnknownLease
              c1 <- receipt l99 Rejected(UnknownLease)
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 2+2 e[100, 100] 2002 ms
              # granted l3 w2
            c1 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
            c1 update l2 1+1
              c1 <- receipt l2 Rejected(UnknownLease)
        "#]],
    );
}

#[test]
fn updates_after_the_end_of_their_step_are_superseded() {
    check(
        "create r1 epochs=9; start r1; c1 join r1
         keep 30200
         c2 join r1; wait 1; c2 update l2 0+1; c2 update l4 2+2
         c1 update l3 1+1; applied r1 v1; c1 update l1 0+1",
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
            wait 1
            c2 update l2 0+1
              # accepted l2 w2 2
              accumulate r1 from 0: 100
              c2 <- lease l4 v0 2+2 e[100, 100] 2004 ms
              # granted l4 w2
            c2 update l4 2+2
              # accepted l4 w2 4
              accumulate r1 from 2: 102
            c1 update l3 1+1
              # accepted l3 w1 2
              accumulate r1 from 1: 101
              apply r1 v1: 8 samples, e[100, 100], x1
            applied r1 v1
              # committed r1 v1, loss 1
              c2 <- params r1 v1
              c2 <- lease l5 v1 0+4 e[100, 100] 2003 ms
              # granted l5 w2
              c2 <- receipt l2 Accepted { samples: 2 }
              c2 <- receipt l4 Accepted { samples: 4 }
              c1 <- receipt l3 Accepted { samples: 2 }
              c1 <- credited 2
              c2 <- credited 6
            c1 update l1 0+1
              # rejected l1 w1 Superseded
              c1 <- receipt l1 Rejected(Superseded)
        "#]],
    );
}

#[test]
fn nothing_counts_while_a_run_is_not_running() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1
         pause r1; c1 update l1 0+1; start r1; c2 update l2 1+1",
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
            pause r1
              # phase r1 paused
              c1 <- revoke l1 RunPaused
              c2 <- revoke l2 RunPaused
              c1 <- idle RunPaused
              c2 <- idle RunPaused
            c1 update l1 0+1
              # rejected l1 w1 RunInactive
              c1 <- receipt l1 Rejected(RunInactive)
            start r1
              # phase r1 running
              c1 <- lease l3 v0 0+1 e[100, 100] 30000 ms
              # granted l3 w1
              c2 <- lease l4 v0 1+1 e[100, 100] 30000 ms
              # granted l4 w2
            c2 update l2 1+1
              # rejected l2 w2 Superseded
              c2 <- receipt l2 Rejected(Superseded)
        "#]],
    );
}

#[test]
fn several_updates_sent_again_after_a_lost_connection_are_answered_as_before() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; c2 overflow l2 20 20
         c1 update l1 0+1; c1 update l4 0+1
         c1 closed; c3 hello resume=1; c3 update l1 0+1; c3 update l4 0+1; workers",
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
            c2 overflow l2 20 20
              reset r1
              # restarted r1 v0, attempt 2
              c1 <- revoke l1 StepRestarted
              c1 <- lease l3 v0 0+1 e[20, 20] 30000 ms
              # granted l3 w1
              c2 <- lease l4 v0 1+1 e[20, 20] 30000 ms
              # granted l4 w2
            c1 update l1 0+1
              # rejected l1 w1 Superseded
              c1 <- receipt l1 Rejected(Superseded)
            c1 update l4 0+1
              # rejected l4 w1 UnknownLease
              c1 <- receipt l4 Rejected(UnknownLease)
            c1 closed
              # left w1 false
              # lapsed l3 w1
            c3 hello resume=1
              c3 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c3 <- run r1
            c3 update l1 0+1
              c3 <- receipt l1 Rejected(Superseded)
            c3 update l4 0+1
              c3 <- receipt l4 Rejected(UnknownLease)
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 2 rejected
              w2 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn plain_updates_are_added_in_the_order_of_their_micro_batches() {
    check(
        "create r1 codec=f32; start r1; c1 join r1; c2 join r1
         c2 update l2 1+1 payload=f32; c1 update l1 0+1 payload=f32; c2 update l3 2+2",
        expect![[r#"
            create r1 codec=f32
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[] 30000 ms
              # granted l2 w2
            c2 update l2 1+1 payload=f32
              # accepted l2 w2 2
              accumulate r1 from 1: 0
              c2 <- lease l3 v0 2+2 e[] 2002 ms
              # granted l3 w2
            c1 update l1 0+1 payload=f32
              # accepted l1 w1 2
              accumulate r1 from 0: 0
            c2 update l3 2+2
              # rejected l3 w2 Malformed
              c2 <- receipt l3 Rejected(Malformed)
              c2 <- lease l4 v0 2+2 e[] 2002 ms
              # granted l4 w2
        "#]],
    );
}

//! Values that do not fit: the step runs again with exponents that they fit.

use std::fmt::Write as _;

use expect_test::expect;

use super::check;
use super::script::output;

#[test]
fn an_overflow_restarts_the_step_and_revokes_all_leases() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1; wait 1; c2 update l2 1+1
         c1 overflow l1 24 30
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
            wait 1
            c2 update l2 1+1
              # accepted l2 w2 2
              accumulate r1 from 1: 101
              c2 <- lease l3 v0 2+2 e[100, 100] 2004 ms
              # granted l3 w2
            c1 overflow l1 24 30
              reset r1
              # restarted r1 v0, attempt 2
              c2 <- receipt l2 Rejected(Superseded)
              c2 <- revoke l3 StepRestarted
              c2 <- lease l4 v0 0+3 e[24, 30] 2004 ms
              # granted l4 w2
              c1 <- lease l5 v0 3+1 e[24, 30] 30000 ms
              # granted l5 w1
            c2 update l3 2+2
              # rejected l3 w2 Superseded
              c2 <- receipt l3 Rejected(Superseded)
        "#]],
    );
}

#[test]
fn overflows_lower_exponents_to_the_minimum_whatever_their_order() {
    check(
        "create r1; start r1; c1 join r1; c2 join r1
         c1 overflow l1 24 30; c2 overflow l4 20 40; c1 overflow l5 50 -100",
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
            c1 overflow l1 24 30
              reset r1
              # restarted r1 v0, attempt 2
              c2 <- revoke l2 StepRestarted
              c1 <- lease l3 v0 0+1 e[24, 30] 30000 ms
              # granted l3 w1
              c2 <- lease l4 v0 1+1 e[24, 30] 30000 ms
              # granted l4 w2
            c2 overflow l4 20 40
              reset r1
              # restarted r1 v0, attempt 3
              c1 <- revoke l3 StepRestarted
              c1 <- lease l5 v0 0+1 e[20, 30] 30000 ms
              # granted l5 w1
              c2 <- lease l6 v0 1+1 e[20, 30] 30000 ms
              # granted l6 w2
            c1 overflow l5 50 -100
              reset r1
              # restarted r1 v0, attempt 4
              c2 <- revoke l6 StepRestarted
              c1 <- lease l7 v0 0+1 e[20, -100] 30000 ms
              # granted l7 w1
              c2 <- lease l8 v0 1+1 e[20, -100] 30000 ms
              # granted l8 w2
        "#]],
    );
}

#[test]
fn overflows_that_change_nothing_or_are_impossible_end_the_lease_only() {
    check(
        "create r1; start r1; c1 join r1
         c1 overflow l1 100 127; c1 overflow l2 20; c1 overflow l3 -101 0; c1 overflow l99 0 0; c1 overflow l4",
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
            c1 overflow l1 100 127
              c1 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w1
            c1 overflow l2 20
              c1 <- lease l3 v0 0+1 e[100, 100] 30000 ms
              # granted l3 w1
            c1 overflow l3 -101 0
              c1 <- lease l4 v0 0+1 e[100, 100] 30000 ms
              # granted l4 w1
            c1 overflow l99 0 0
            c1 overflow l4
              c1 <- lease l5 v0 0+1 e[100, 100] 30000 ms
              # granted l5 w1
        "#]],
    );
}

#[test]
fn exponents_follow_from_committed_sums() {
    check(
        "create r1 epochs=9; start r1; c1 join r1; wait 1; c1 update l1 0+1; c1 update l2 1+3
         applied r1 v1 max=1099511627776",
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
            applied r1 v1 max=1099511627776
              # committed r1 v1, loss 1
              c1 <- params r1 v1
              c1 <- lease l3 v1 0+4 e[82, 82] 2003 ms
              # granted l3 w1
              c1 <- receipt l1 Accepted { samples: 2 }
              c1 <- receipt l2 Accepted { samples: 6 }
        "#]],
    );
}

#[test]
fn a_step_that_overflows_again_and_again_pauses_the_run() {
    let mut script = "create r1; start r1; c1 join r1".to_owned();
    for (lease, exponent) in (1..).zip((-1..100).rev()) {
        write!(script, "; c1 overflow l{lease} {exponent} 100").unwrap();
    }
    let printed = output(&script);
    let tail: Vec<&str> = printed.lines().rev().take(12).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    expect![[r#"
          # granted l99 w1
        c1 overflow l99 1 100
          reset r1
          # restarted r1 v0, attempt 100
          c1 <- lease l100 v0 0+1 e[1, 100] 30000 ms
          # granted l100 w1
        c1 overflow l100 0 100
          reset r1
          # restarted r1 v0, attempt 101
          # phase r1 paused: step v0 overflowed 100 times; a worker may be reporting wrong exponents
          c1 <- idle RunPaused
        c1 overflow l101 -1 100"#]]
    .assert_eq(&tail.join("\n"));
}

#[test]
fn plain_updates_have_no_exponents_to_overflow() {
    check(
        "create r1 codec=f32; start r1; c1 join r1; c1 overflow l1; c1 overflow l2 1 1",
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
            c1 overflow l1
              c1 <- lease l2 v0 0+1 e[] 30000 ms
              # granted l2 w1
            c1 overflow l2 1 1
              c1 <- lease l3 v0 0+1 e[] 30000 ms
              # granted l3 w1
        "#]],
    );
}

/// The step makes a version that has nothing of it: the next one goes on with the next batch and half the scale.
#[test]
fn in_half_precision_an_overflow_skips_the_step() {
    check(
        "create r1 codec=f32 precision=half; start r1; c1 join r1; c2 join r1; wait 1; c2 update l2 1+1 payload=f32
         c1 overflow l1 11; status r1
         applied r1 v1; c1 overflow l1 10
         c2 update l4 0+3 payload=f32; c1 update l5 3+1 payload=f32; applied r1 v2; status r1",
        expect![[r#"
            create r1 codec=f32 precision=half
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[12] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+1 e[12] 30000 ms
              # granted l2 w2
            wait 1
            c2 update l2 1+1 payload=f32
              # accepted l2 w2 2
              accumulate r1 from 1: 0
              c2 <- lease l3 v0 2+2 e[12] 2004 ms
              # granted l3 w2
            c1 overflow l1 11
              # loss overflowed r1 v0, 2^12
              reset r1
              c2 <- receipt l2 Rejected(Superseded)
              c2 <- revoke l3 StepRestarted
              apply r1 v1: 0 samples, e[12], x1
            status r1
              v0 of 3 steps, running, 0 samples, 0/s, loss None, 2 workers, 2 lanes
            applied r1 v1
              # committed r1 v1, loss NaN
              c2 <- params r1 v1
              c2 <- lease l4 v1 0+3 e[11] 2004 ms
              # granted l4 w2
              c1 <- params r1 v1
              c1 <- lease l5 v1 3+1 e[11] 30000 ms
              # granted l5 w1
            c1 overflow l1 10
            c2 update l4 0+3 payload=f32
              # accepted l4 w2 6
              accumulate r1 from 0: 0
            c1 update l5 3+1 payload=f32
              # accepted l5 w1 2
              accumulate r1 from 3: 0
              apply r1 v2: 8 samples, e[11], x0.44444444444444453
            applied r1 v2
              # committed r1 v2, loss 1
              c1 <- params r1 v2
              c1 <- lease l6 v2 0+2 e[11] 2002 ms
              # granted l6 w1
              c2 <- receipt l4 Accepted { samples: 6 }
              c1 <- receipt l5 Accepted { samples: 2 }
            status r1
              v2 of 3 steps, running, 8 samples, 8000/s, loss Some(1.0), 2 workers, 2 lanes
        "#]],
    );
}

#[test]
fn the_scale_of_the_loss_falls_to_one_and_rises_again() {
    let mut script =
        "create r1 codec=f32 precision=half epochs=400; start r1; c1 join r1".to_owned();
    for version in 1..=12 {
        write!(
            script,
            "; c1 overflow l{version} {}; applied r1 v{version}",
            12 - version
        )
        .unwrap();
    }
    // Then nothing that a worker says would help.
    script += "; c1 overflow l13 -1; c1 overflow l14 0";
    let lines = output(&script);
    let lines: Vec<&str> = lines.lines().collect();
    let tail = &lines[lines.len() - 10..];
    expect![[r#"
          # committed r1 v12, loss NaN
          c1 <- params r1 v12
          c1 <- lease l13 v12 0+1 e[0] 30000 ms
          # granted l13 w1
        c1 overflow l13 -1
          c1 <- lease l14 v12 0+1 e[0] 30000 ms
          # granted l14 w1
        c1 overflow l14 0
          c1 <- lease l15 v12 0+1 e[0] 30000 ms
          # granted l15 w1"#]]
    .assert_eq(&tail.join("\n"));
}

#[test]
fn where_batches_are_applied_one_by_one_only_the_batch_is_computed_again() {
    check(
        "create r1 codec=f32 precision=half staleness=4; start r1; c1 join r1; c2 join r1
         c1 overflow l1 11; c2 overflow l2 11; c1 overflow l3 12",
        expect![[r#"
            create r1 codec=f32 precision=half staleness=4
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+4 of batch 0 e[12] 30000 ms
              # granted l1 w1
            c2 join r1
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+4 of batch 1 e[12] 30000 ms
              # granted l2 w2
            c1 overflow l1 11
              # loss overflowed r1 v0, 2^12
              c1 <- lease l3 v0 0+4 of batch 0 e[11] 30000 ms
              # granted l3 w1
            c2 overflow l2 11
              c2 <- lease l4 v0 0+4 of batch 1 e[11] 30000 ms
              # granted l4 w2
            c1 overflow l3 12
              c1 <- lease l5 v0 0+4 of batch 0 e[11] 30000 ms
              # granted l5 w1
        "#]],
    );
}

//! What goes wrong: overflows, missing data, revoked leases, lost receipts.

use expect_test::expect;

use super::check;

#[test]
fn a_revoked_lease_is_dropped_and_its_late_results_are_ignored() {
    check(
        "config lanes=2; up; < params r1 v0; < lease l1 v0 0+4; data l1; done 0 l1 0+1; < revoke l9; < revoke l1
         done 1 l1 1+1; < lease l2 v0 0+2; data l1; data l2; done 0 l1 2+2; done 0 l2 0+1; stats",
        expect![[r#"
            config lanes=2
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+4
              prepare l1 v0 0+4
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
              compute on 1: l1 v0 1+1 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v0 2+1 e[20, 30]
            < revoke l9
            < revoke l1
              drop l1
            done 1 l1 1+1
            < lease l2 v0 0+2
              prepare l2 v0 0+2
            data l1
            data l2
              compute on 1: l2 v0 0+1 e[20, 30]
            done 0 l1 2+2
              compute on 0: l2 v0 1+1 e[20, 30]
            done 0 l2 0+1
            stats
              computed 2, accepted 0 in 0, credited 0, rejected 0 {}, first after None ms, 2.0 samples/s, busy 0.01
        "#]],
    );
}

#[test]
fn an_overflow_ends_the_lease_with_exponents_that_fit() {
    check(
        "config lanes=2; up; < params r1 v0; < lease l1 v0 0+4; data l1; overflow 0 l1 0+1 18 30; overflow 1 l1 1+1 17 30
         < lease l2 v0 0+1; data l2; done 0 l2 0+1",
        expect![[r#"
            config lanes=2
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+4
              prepare l1 v0 0+4
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
              compute on 1: l1 v0 1+1 e[20, 30]
            overflow 0 l1 0+1 18 30
              drop l1
              send overflow l1 [18, 30]
            overflow 1 l1 1+1 17 30
            < lease l2 v0 0+1
              prepare l2 v0 0+1
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
            done 0 l2 0+1
              update l2 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
        "#]],
    );
}

#[test]
fn a_result_that_comes_twice_counts_once() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; done 0 l1 0+1; done 0 l1 0+1; done 0 l1 1+1; done 0 l1 1+1; stats",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
            done 0 l1 0+1
            done 0 l1 1+1
              update l1 [0+2]: 4 samples, loss 200, 2 correct, 20000 us
            done 0 l1 1+1
            stats
              computed 4, accepted 0 in 0, credited 0, rejected 0 {}, first after None ms, 4.0 samples/s, busy 0.02
        "#]],
    );
}

#[test]
fn missing_data_gives_the_lease_back_and_reconnects() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; no-data l9; no-data l1; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            no-data l9
            no-data l1
              send release l1 DataUnavailable
              drop l1
              close
            status
              backoff: A chunk can't be fetched. Again in 250 ms.
        "#]],
    );
}

#[test]
fn a_connection_lost_within_a_lease_drops_it() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; closed; done 0 l1 0+1; retry; opened; < welcome again
         < run r1; loaded r1; < lease l2 v0 0+1; < params r1 v0; < lease l3 v0 0+1; data l3; done 0 l3 0+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            closed
              drop l1
            done 0 l1 0+1
            retry
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome again
            < run r1
              forget r1 v0
              load r1
            loaded r1
              send ready r1
            < lease l2 v0 0+1
              send release l2 DataUnavailable
            < params r1 v0
              use r1 v0
            < lease l3 v0 0+1
              prepare l3 v0 0+1
            data l3
              compute on 0: l3 v0 0+1 e[20, 30]
            done 0 l3 0+1
              update l3 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
        "#]],
    );
}

#[test]
fn an_update_without_receipt_is_sent_again_to_a_server_that_remembers() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+1; data l1; done 0 l1 0+1; closed; retry; opened; < welcome again
         < receipt l1; < receipt l1; stats",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            closed
            retry
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome again
              resend l1
            < receipt l1
              forget l1
            < receipt l1
            stats
              computed 2, accepted 8 in 1, credited 0, rejected 0 {}, first after Some(0) ms, 2.0 samples/s, busy 0.01
        "#]],
    );
}

#[test]
fn an_update_without_receipt_is_forgotten_when_the_server_has_forgotten_the_worker() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+1; data l1; done 0 l1 0+1; closed; retry; opened; < welcome; stats",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            closed
            retry
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome
              forget l1
            stats
              computed 2, accepted 0 in 0, credited 0, rejected 0 {}, first after None ms, 2.0 samples/s, busy 0.01
        "#]],
    );
}

#[test]
fn at_most_four_updates_wait_for_their_receipts() {
    check(
        "up; < params r1 v0
         < lease l1 v0 0+1; data l1; done 0 l1 0+1; < lease l2 v0 0+1; data l2; done 0 l2 0+1
         < lease l3 v0 0+1; data l3; done 0 l3 0+1; < lease l4 v0 0+1; data l4; done 0 l4 0+1
         < lease l5 v0 0+1; data l5; done 0 l5 0+1
         < receipt l3 Superseded; closed; retry; opened; < welcome again",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < lease l2 v0 0+1
              prepare l2 v0 0+1
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
            done 0 l2 0+1
              update l2 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < lease l3 v0 0+1
              prepare l3 v0 0+1
            data l3
              compute on 0: l3 v0 0+1 e[20, 30]
            done 0 l3 0+1
              update l3 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < lease l4 v0 0+1
              prepare l4 v0 0+1
            data l4
              compute on 0: l4 v0 0+1 e[20, 30]
            done 0 l4 0+1
              update l4 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < lease l5 v0 0+1
              prepare l5 v0 0+1
            data l5
              compute on 0: l5 v0 0+1 e[20, 30]
            done 0 l5 0+1
              forget l1
              update l5 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < receipt l3 Superseded
              forget l3
            closed
            retry
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome again
              resend l2
              resend l4
              resend l5
        "#]],
    );
}

#[test]
fn rejections_are_counted_by_reason() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+1; data l1; done 0 l1 0+1; < receipt l1 Superseded
         < lease l2 v0 0+1; data l2; done 0 l2 0+1; < receipt l2 WrongDigest; < receipt l9 Malformed; stats",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < receipt l1 Superseded
              forget l1
            < lease l2 v0 0+1
              prepare l2 v0 0+1
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
            done 0 l2 0+1
              update l2 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < receipt l2 WrongDigest
              forget l2
            < receipt l9 Malformed
            stats
              computed 4, accepted 0 in 0, credited 0, rejected 4 {WrongDigest: 1, Superseded: 1}, first after None ms, 4.0 samples/s, busy 0.02
        "#]],
    );
}

#[test]
fn a_receipt_starts_the_count_of_attempts_again() {
    check(
        "start; closed; wait 300; closed; wait 800; closed; wait 1300; closed; status; wait 6500; opened; < welcome; < run r1; loaded r1
         < params r1 v0; < lease l1 v0 0+1; data l1; done 0 l1 0+1; < receipt l1; closed; status",
        expect![[r#"
            start
              connect
            closed
            wait 300
              at 1.250
              connect
            closed
            wait 800
              at 2.095
              connect
            closed
            wait 1300
              at 3.385
              connect
            closed
            status
              backoff: The connection is lost. Again in 6466 ms.
            wait 6500
              at 9.866
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < run r1
              load r1
            loaded r1
              send ready r1
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < receipt l1
              forget l1
            closed
            status
              backoff: The connection is lost. Again in 733 ms.
        "#]],
    );
}

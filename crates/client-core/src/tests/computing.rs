//! Leases: data, lanes, updates, pauses.

use expect_test::expect;

use super::check;

#[test]
fn a_lease_from_its_arrival_to_its_receipt() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+4; status; data l1; status
         wait 10; done 0 l1 0+1; wait 10; done 0 l1 1+3; status
         < receipt l1; < credited 8; stats; status; wait 2000; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+4
              prepare l1 v0 0+4
            status
              loading: Loading the model and the training data. 0 of 4 micro-batches.
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            status
              computing 0 of 4 micro-batches.
            wait 10
            done 0 l1 0+1
              compute on 0: l1 v0 1+3 e[20, 30]
            wait 10
            done 0 l1 1+3
              update l1 [0+4]: 8 samples, loss 400, 4 correct, 20000 us
            status
              computing
            < receipt l1
              forget l1
            < credited 8
            stats
              computed 8, accepted 8 in 1, credited 8, rejected 0 {}, first after Some(20) ms, 8.0 samples/s, busy 0.02
            status
              computing
            wait 2000
            status
              idle: Waiting for the server to hand out work.
        "#]],
    );
}

#[test]
fn lanes_share_a_lease_and_its_parts_are_merged() {
    check(
        "config lanes=3; up; < params r1 v0; < lease l1 v0 0+9; data l1
         done 2 l1 2+1; done 0 l1 0+1; done 1 l1 1+1
         done 1 l1 7+1; done 0 l1 5+2; done 2 l1 3+2; status; done 1 l1 8+1",
        expect![[r#"
            config lanes=3
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+9
              prepare l1 v0 0+9
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
              compute on 1: l1 v0 1+1 e[20, 30]
              compute on 2: l1 v0 2+1 e[20, 30]
            done 2 l1 2+1
              compute on 2: l1 v0 3+2 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v0 5+2 e[20, 30]
            done 1 l1 1+1
              compute on 1: l1 v0 7+1 e[20, 30]
            done 1 l1 7+1
              compute on 1: l1 v0 8+1 e[20, 30]
            done 0 l1 5+2
            done 2 l1 3+2
            status
              computing 8 of 9 micro-batches.
            done 1 l1 8+1
              update l1 [0+9]: 18 samples, loss 900, 9 correct, 70000 us
        "#]],
    );
}

#[test]
fn tasks_are_sized_to_forty_milliseconds() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+64; data l1; done 0 l1 0+1 ms=4; done 0 l1 1+10 ms=40
         done 0 l1 11+10 ms=400; done 0 l1 21+2 ms=1000",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+64
              prepare l1 v0 0+64
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1 ms=4
              compute on 0: l1 v0 1+10 e[20, 30]
            done 0 l1 1+10 ms=40
              compute on 0: l1 v0 11+10 e[20, 30]
            done 0 l1 11+10 ms=400
              compute on 0: l1 v0 21+2 e[20, 30]
            done 0 l1 21+2 ms=1000
              compute on 0: l1 v0 23+1 e[20, 30]
        "#]],
    );
}

#[test]
fn a_lane_rests_as_its_duty_says() {
    check(
        "config duty=25; up; < params r1 v0; < lease l1 v0 0+3; data l1
         done 0 l1 0+1 ms=50; wait 149; wait 1
         duty 100; done 0 l1 1+1 ms=50",
        expect![[r#"
            config duty=25
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+3
              prepare l1 v0 0+3
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1 ms=50
            wait 149
            wait 1
              at 1.150
              compute on 0: l1 v0 1+1 e[20, 30]
            duty 100
            done 0 l1 1+1 ms=50
              compute on 0: l1 v0 2+1 e[20, 30]
        "#]],
    );
}

#[test]
fn a_pause_within_a_lease_sends_what_is_done() {
    check(
        "config lanes=2; up; < params r1 v0; < lease l1 v0 0+4; data l1; done 0 l1 0+1
         pause Hidden; status; done 1 l1 1+1; done 0 l1 2+1 ms=20; status
         < receipt l1; resume",
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
            pause Hidden
            status
              paused: Paused because the page is hidden. 1 of 4 micro-batches.
            done 1 l1 1+1
            done 0 l1 2+1 ms=20
              update l1 [0+3]: 6 samples, loss 300, 3 correct, 40000 us
              send pause Hidden
            status
              paused: Paused because the page is hidden.
            < receipt l1
              forget l1
            resume
              send ready r1
        "#]],
    );
}

#[test]
fn a_pause_before_anything_is_done_releases_the_lease() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+4; pause User; data l1; status; < lease l2 v0 0+4; resume",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+4
              prepare l1 v0 0+4
            pause User
              send release l1 Paused
              drop l1
              send pause User
            data l1
            status
              paused: You have paused this device.
            < lease l2 v0 0+4
              send release l2 Paused
            resume
              send ready r1
        "#]],
    );
}

#[test]
fn a_pause_while_a_lane_computes_waits_for_it() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+1; data l1; pause BatteryLow; done 0 l1 0+1; pause DataCap; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+1
              prepare l1 v0 0+1
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            pause BatteryLow
            done 0 l1 0+1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
              send pause BatteryLow
            pause DataCap
            status
              paused: Paused because your data limit is reached.
        "#]],
    );
}

#[test]
fn a_pause_and_resume_within_a_task_goes_on() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; pause User; resume; done 0 l1 0+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            pause User
            resume
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
        "#]],
    );
}

#[test]
fn finishing_completes_the_lease_and_waits_for_its_receipt() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; finish; status; done 0 l1 0+1; done 0 l1 1+1
         < lease l2 v0 0+1; < receipt l1; status; stats",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            finish
            status
              computing 0 of 2 micro-batches.
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
            done 0 l1 1+1
              update l1 [0+2]: 4 samples, loss 200, 2 correct, 20000 us
            < lease l2 v0 0+1
              send release l2 Paused
            < receipt l1
              forget l1
              send goodbye
              close
            status
              stopped (finished): Finished. Thank you for your help!
            stats
              computed 4, accepted 8 in 1, credited 0, rejected 0 {}, first after Some(0) ms, 4.0 samples/s, busy 0.02
        "#]],
    );
}

#[test]
fn finishing_does_not_wait_for_ever() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; finish; wait 9999; wait 1; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            finish
            wait 9999
            wait 1
              at 11.000
              drop l1
              send goodbye
              close
            status
              stopped (finished): Finished. Thank you for your help!
        "#]],
    );
}

#[test]
fn finishing_ends_a_pause_so_that_the_lease_is_answered() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; pause User; finish; done 0 l1 0+1; done 0 l1 1+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            pause User
            finish
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
            done 0 l1 1+1
              update l1 [0+2]: 4 samples, loss 200, 2 correct, 20000 us
        "#]],
    );
}

#[test]
fn leases_that_cannot_be_worked_on_are_released() {
    check(
        "up; < lease l1 v0 0+4; < params r1 v0; < lease l2 v1 0+4; < lease l3 v0 0+0; < lease l4 v0 0+1 run=2",
        expect![[r#"
            up
            < lease l1 v0 0+4
              send release l1 DataUnavailable
            < params r1 v0
              use r1 v0
            < lease l2 v1 0+4
              send release l2 DataUnavailable
            < lease l3 v0 0+0
              send release l3 DataUnavailable
            < lease l4 v0 0+1 run=2
              send release l4 DataUnavailable
        "#]],
    );
}

#[test]
fn lanes_can_be_added_and_taken_away() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+6; data l1; lanes 3; done 2 l1 2+1; lanes 1; done 1 l1 1+1
         done 2 l1 3+1; done 0 l1 0+1; done 0 l1 4+2",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+6
              prepare l1 v0 0+6
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            lanes 3
              compute on 1: l1 v0 1+1 e[20, 30]
              compute on 2: l1 v0 2+1 e[20, 30]
              send lanes 3
            done 2 l1 2+1
              compute on 2: l1 v0 3+1 e[20, 30]
            lanes 1
              send lanes 1
            done 1 l1 1+1
            done 2 l1 3+1
            done 0 l1 0+1
              compute on 0: l1 v0 4+2 e[20, 30]
            done 0 l1 4+2
              update l1 [0+6]: 12 samples, loss 600, 6 correct, 50000 us
        "#]],
    );
}

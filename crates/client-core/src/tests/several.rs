//! Several leases at a time: one waits while the other is computed, and shards have lanes of their own.

use expect_test::expect;

use super::check;

#[test]
fn a_lane_goes_on_with_the_next_lease_at_once() {
    check(
        "up; < params r1 v1; < lease l1 v1 0+1; data l1; < lease l2 v1 1+1; data l2
         done 0 l1 0+1; done 0 l2 1+1; < receipt l1; < receipt l2",
        expect![[r#"
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1
              prepare l1 v1 0+1
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            < lease l2 v1 1+1
              prepare l2 v1 1+1
            data l2
            done 0 l1 0+1
              compute on 0: l2 v1 1+1 e[20, 30]
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            done 0 l2 1+1
              update l2 [1+1]: 2 samples, loss 100, 1 correct, 10000 us
            < receipt l1
              forget l1
            < receipt l2
              forget l2
        "#]],
    );
}

#[test]
fn older_parameters_stay_until_their_lease_is_over() {
    check(
        "up; < params r1 v1; < lease l1 v1 0+1 batch=3; data l1; < params r1 v2; < lease l2 v2 0+1 batch=5; data l2
         done 0 l1 0+1; done 0 l2 0+1; < params r1 v4",
        expect![[r#"
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 batch=3
              prepare l1 v1 0+1 of batch 3
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            < params r1 v2
              use r1 v2
            < lease l2 v2 0+1 batch=5
              prepare l2 v2 0+1 of batch 5
            data l2
            done 0 l1 0+1
              compute on 0: l2 v2 0+1 e[20, 30]
              forget r1 v1
              update l1 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            done 0 l2 0+1
              update l2 [0+1]: 2 samples, loss 100, 1 correct, 10000 us
            < params r1 v4
              use r1 v4
              forget r1 v2
        "#]],
    );
}

#[test]
fn a_part_of_a_batch_is_given_back_at_a_pause() {
    check(
        "up; < params r1 v1; < lease l1 v1 0+2 batch=0; data l1; pause User; done 0 l1 0+1",
        expect![[r#"
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+2 batch=0
              prepare l1 v1 0+2 of batch 0
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            pause User
            done 0 l1 0+1
              send release l1 Paused
              drop l1
              send pause User
        "#]],
    );
}

#[test]
fn shards_are_done_in_order_each_on_its_lane() {
    check(
        "config lanes=2; up; < params r1 v1; < lease l1 v1 0+1 steps=3; < lease l2 v1 1+1 steps=3; data l1; data l2
         done 0 l1 0+1; done 1 l2 0+1; done 1 l2 1+2; done 0 l1 1+2",
        expect![[r#"
            config lanes=2
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 steps=3
              prepare l1 v1 0+1 (shard)
            < lease l2 v1 1+1 steps=3
              prepare l2 v1 1+1 (shard)
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            data l2
              compute on 1: l2 v1 0+1 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v1 1+2 e[20, 30]
            done 1 l2 0+1
              compute on 1: l2 v1 1+2 e[20, 30]
            done 1 l2 1+2
              update l2 [1+1]: 6 samples, loss 300, 3 correct, 20000 us
            done 0 l1 1+2
              update l1 [0+1]: 6 samples, loss 300, 3 correct, 20000 us
        "#]],
    );
}

#[test]
fn a_shard_begins_again_when_its_lane_fails() {
    check(
        "config lanes=2; up; < params r1 v1; < lease l1 v1 0+1 steps=3; data l1; done 0 l1 0+1; broken 0 l1 1+2",
        expect![[r#"
            config lanes=2
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 steps=3
              prepare l1 v1 0+1 (shard)
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v1 1+2 e[20, 30]
            broken 0 l1 1+2
              restart lane 0
              compute on 0: l1 v1 0+3 e[20, 30]
        "#]],
    );
}

#[test]
fn a_lane_goes_on_with_its_shard_whatever_else_becomes_ready() {
    check(
        "up; < params r1 v1; < lease l1 v1 0+1 steps=9; < lease l2 v1 1+1 steps=9; data l2; done 0 l2 0+1; data l1
         done 0 l2 1+4; done 0 l2 5+4",
        expect![[r#"
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 steps=9
              prepare l1 v1 0+1 (shard)
            < lease l2 v1 1+1 steps=9
              prepare l2 v1 1+1 (shard)
            data l2
              compute on 0: l2 v1 0+1 e[20, 30]
            done 0 l2 0+1
              compute on 0: l2 v1 1+4 e[20, 30]
            data l1
            done 0 l2 1+4
              compute on 0: l2 v1 5+4 e[20, 30]
            done 0 l2 5+4
              compute on 0: l1 v1 0+6 e[20, 30]
              update l2 [1+1]: 18 samples, loss 900, 9 correct, 30000 us
        "#]],
    );
}

#[test]
fn a_shard_begins_again_elsewhere_when_its_lane_is_gone() {
    check(
        "config lanes=2; up; < params r1 v1; < lease l1 v1 0+1 steps=2; < lease l2 v1 1+1 steps=9; data l1; data l2
         done 1 l2 0+1; lanes 1; done 1 l2 1+4; done 0 l1 0+1; done 0 l1 1+1",
        expect![[r#"
            config lanes=2
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 steps=2
              prepare l1 v1 0+1 (shard)
            < lease l2 v1 1+1 steps=9
              prepare l2 v1 1+1 (shard)
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            data l2
              compute on 1: l2 v1 0+1 e[20, 30]
            done 1 l2 0+1
              compute on 1: l2 v1 1+4 e[20, 30]
            lanes 1
              send lanes 1
            done 1 l2 1+4
            done 0 l1 0+1
              compute on 0: l1 v1 1+1 e[20, 30]
            done 0 l1 1+1
              compute on 0: l2 v1 0+4 e[20, 30]
              update l1 [0+1]: 4 samples, loss 200, 2 correct, 20000 us
        "#]],
    );
}

#[test]
fn a_shard_begins_again_when_its_lane_is_lost_between_two_tasks() {
    check(
        "config duty=50; up; < params r1 v1; < lease l1 v1 0+1 steps=9; data l1; done 0 l1 0+1; lost 0; wait 100",
        expect![[r#"
            config duty=50
            up
            < params r1 v1
              use r1 v1
            < lease l1 v1 0+1 steps=9
              prepare l1 v1 0+1 (shard)
            data l1
              compute on 0: l1 v1 0+1 e[20, 30]
            done 0 l1 0+1
            lost 0
              restart lane 0
            wait 100
              at 1.010
              compute on 0: l1 v1 0+4 e[20, 30]
        "#]],
    );
}

//! Lanes that break: what is done again, who goes on, and when it is the end.

use expect_test::expect;

use super::check;

#[test]
fn a_broken_lane_is_restarted_and_its_work_done_again() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; broken 0 l1 0+1; done 0 l1 0+1; broken 0 l1 1+1; done 0 l1 1+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
            broken 0 l1 1+1
              restart lane 0
              compute on 0: l1 v0 1+1 e[20, 30]
            done 0 l1 1+1
              update l1 [0+2]: 4 samples, loss 200, 2 correct, 20000 us
        "#]],
    );
}

#[test]
fn the_only_lane_that_fails_three_times_stops_the_session() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; broken 0 l1 0+1; broken 0 l1 0+1; broken 0 l1 0+1; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              retire lane 0: Lane 0 keeps failing and gets no more work: out of memory
              send release l1 EngineFailed
              drop l1
              send goodbye
              close
            status
              stopped (engine_failed): The engine keeps failing: out of memory
        "#]],
    );
}

#[test]
fn a_lane_that_keeps_failing_is_retired_and_the_others_go_on() {
    check(
        "config lanes=2; up; < params r1 v0; < lease l1 v0 0+4; data l1; broken 1 l1 1+1; broken 1 l1 1+1; broken 1 l1 1+1
         done 0 l1 0+1; done 0 l1 1+1; done 0 l1 2+2; < lease l2 v0 0+2; data l2; status; closed; wait 2000; opened",
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
            broken 1 l1 1+1
              restart lane 1
              compute on 1: l1 v0 1+1 e[20, 30]
            broken 1 l1 1+1
              restart lane 1
              compute on 1: l1 v0 1+1 e[20, 30]
            broken 1 l1 1+1
              retire lane 1: Lane 1 keeps failing and gets no more work: out of memory
              send lanes 1
            done 0 l1 0+1
              compute on 0: l1 v0 1+1 e[20, 30]
            done 0 l1 1+1
              compute on 0: l1 v0 2+2 e[20, 30]
            done 0 l1 2+2
              update l1 [0+4]: 8 samples, loss 400, 4 correct, 30000 us
            < lease l2 v0 0+2
              prepare l2 v0 0+2
            data l2
              compute on 0: l2 v0 0+2 e[20, 30]
            status
              computing 0 of 2 micro-batches.
            closed
              drop l2
            wait 2000
              at 1.250
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
        "#]],
    );
}

#[test]
fn a_lane_that_dies_of_every_other_task_is_retired_too() {
    let script = "up; < params r1 v0; < lease l1 v0 0+9; data l1
        broken 0 l1 0+1; done 0 l1 0+1; broken 0 l1 1+4; done 0 l1 1+4; broken 0 l1 5+4; status";
    check(
        script,
        expect![[r#"
        up
        < params r1 v0
          use r1 v0
        < lease l1 v0 0+9
          prepare l1 v0 0+9
        data l1
          compute on 0: l1 v0 0+1 e[20, 30]
        broken 0 l1 0+1
          restart lane 0
          compute on 0: l1 v0 0+1 e[20, 30]
        done 0 l1 0+1
          compute on 0: l1 v0 1+4 e[20, 30]
        broken 0 l1 1+4
          restart lane 0
          compute on 0: l1 v0 1+4 e[20, 30]
        done 0 l1 1+4
          compute on 0: l1 v0 5+4 e[20, 30]
        broken 0 l1 5+4
          retire lane 0: Lane 0 keeps failing and gets no more work: out of memory
          send release l1 EngineFailed
          drop l1
          send goodbye
          close
        status
          stopped (engine_failed): The engine keeps failing: out of memory
    "#]],
    );
}

#[test]
fn the_last_lane_takes_the_session_with_it() {
    check(
        "config lanes=2; up; < params r1 v0; < lease l1 v0 0+4; data l1; broken 1 l1 1+1; broken 1 l1 1+1; broken 1 l1 1+1
         broken 0 l1 0+1; broken 0 l1 0+1; broken 0 l1 0+1; status",
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
            broken 1 l1 1+1
              restart lane 1
              compute on 1: l1 v0 1+1 e[20, 30]
            broken 1 l1 1+1
              restart lane 1
              compute on 1: l1 v0 1+1 e[20, 30]
            broken 1 l1 1+1
              retire lane 1: Lane 1 keeps failing and gets no more work: out of memory
              send lanes 1
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              retire lane 0: Lane 0 keeps failing and gets no more work: out of memory
              send release l1 EngineFailed
              drop l1
              send goodbye
              close
            status
              stopped (engine_failed): Each of the 2 lanes keeps failing: out of memory
        "#]],
    );
}

#[test]
fn lanes_that_die_idle_are_restarted_and_new_settings_revive_retired_ones() {
    check(
        "config lanes=2; up; lost 1; lost 1; lost 1; lost 7; < params r1 v0; < lease l1 v0 0+4; data l1; lanes 2; lost 1",
        expect![[r#"
            config lanes=2
            up
            lost 1
              restart lane 1
            lost 1
              restart lane 1
            lost 1
              retire lane 1: Lane 1 keeps failing and gets no more work: killed
              send lanes 1
            lost 7
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+4
              prepare l1 v0 0+4
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            lanes 2
              restart lane 1
              compute on 1: l1 v0 1+1 e[20, 30]
              send lanes 2
            lost 1
              restart lane 1
        "#]],
    );
}

#[test]
fn a_lane_that_fails_on_a_lease_that_is_over_is_restarted_too() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; < revoke l1; broken 0 l1 0+1; < lease l2 v0 0+1; data l2",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            < revoke l1
              drop l1
            broken 0 l1 0+1
              restart lane 0
            < lease l2 v0 0+1
              prepare l2 v0 0+1
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
        "#]],
    );
}

#[test]
fn a_new_start_restarts_a_failed_lane_and_gives_it_all_attempts_again() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; data l1; broken 0 l1 0+1; broken 0 l1 0+1; broken 0 l1 0+1
         start; opened; < welcome; < run r1; loaded r1; < params r1 v0; < lease l2 v0 0+2; data l2; broken 0 l2 0+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              restart lane 0
              compute on 0: l1 v0 0+1 e[20, 30]
            broken 0 l1 0+1
              retire lane 0: Lane 0 keeps failing and gets no more work: out of memory
              send release l1 EngineFailed
              drop l1
              send goodbye
              close
            start
              restart lane 0
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < run r1
              forget r1 v0
              load r1
            loaded r1
              send ready r1
            < params r1 v0
              use r1 v0
            < lease l2 v0 0+2
              prepare l2 v0 0+2
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
            broken 0 l2 0+1
              restart lane 0
              compute on 0: l2 v0 0+1 e[20, 30]
        "#]],
    );
}

#[test]
fn a_shard_that_diverges_is_given_back_and_the_lane_is_not_to_blame() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2 steps=2; data l1; diverged 0 l1 0+1; < lease l2 v0 1+1 steps=2; data l2; status",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2 steps=2
              prepare l1 v0 0+2 (shard)
            data l1
              compute on 0: l1 v0 0+1 e[20, 30]
            diverged 0 l1 0+1
              drop l1
              send release l1 Diverged
            < lease l2 v0 1+1 steps=2
              prepare l2 v0 1+1 (shard)
            data l2
              compute on 0: l2 v0 0+1 e[20, 30]
            status
              computing 0 of 2 micro-batches.
        "#]],
    );
}

#[test]
fn the_server_learns_how_many_lanes_there_are_now() {
    check(
        "up; lanes 3; lanes 3; lost 0; lost 0; lost 0",
        expect![[r#"
            up
            lanes 3
              send lanes 3
            lanes 3
            lost 0
              restart lane 0
            lost 0
              restart lane 0
            lost 0
              retire lane 0: Lane 0 keeps failing and gets no more work: killed
              send lanes 2
        "#]],
    );
}

//! The connection: opening, greeting, losing, waiting.

use expect_test::expect;

use super::check;

#[test]
fn from_start_to_ready() {
    check(
        "status; wait 100000; start; status; opened; status; < welcome credited=5; status
         < run r1; status; loaded r1; status; stats",
        expect![[r#"
            status
              stopped (not_started): Not started.
            wait 100000
            start
              connect
            status
              connecting: Connecting to the server.
            opened
              send hello run None, token None, 1 lanes, [Portable]
            status
              joining: Introducing this device to the server.
            < welcome credited=5
            status
              idle: Waiting for the server to hand out work.
            < run r1
              load r1
            status
              loading: Loading the model and the training data.
            loaded r1
              send ready r1
            status
              idle: Waiting for the server to hand out work.
            stats
              computed 0, accepted 0 in 0, credited 5, rejected 0 {}, first after None ms, 0.0 samples/s, busy 0.00
        "#]],
    );
}

#[test]
fn a_second_start_and_late_news_of_old_sockets_are_ignored() {
    check(
        "up; start; loaded r9; closed; closed; opened",
        expect![[r#"
        up
        start
        loaded r9
        closed
        closed
        opened
          close
    "#]],
    );
}

#[test]
fn a_run_can_be_asked_for() {
    check(
        "config run=digits lanes=4; start; opened",
        expect![[r#"
        config run=digits lanes=4
        start
          connect
        opened
          send hello run Some("digits"), token None, 4 lanes, [Portable]
    "#]],
    );
}

#[test]
fn a_connection_that_does_not_open_is_given_up() {
    check(
        "start; wait 20000; opened; wait 1000",
        expect![[r#"
        start
          connect
        wait 20000
          at 16.000
          close
          at 16.250
          connect
        opened
          send hello run None, token None, 1 lanes, [Portable]
        wait 1000
    "#]],
    );
}

#[test]
fn a_server_that_does_not_greet_is_given_up() {
    check(
        "start; opened; < ping 1; < run r1; wait 15000; status",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < ping 1
            < run r1
            wait 15000
              at 16.000
              close
            status
              backoff: The server does not greet back. Again in 250 ms.
        "#]],
    );
}

#[test]
fn a_server_that_goes_silent_is_left_after_three_heartbeats() {
    check(
        "start; opened; < welcome heartbeat=1000; wait 2500; < ping 7; wait 2999; wait 1; status",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome heartbeat=1000
            wait 2500
            < ping 7
              send pong 7
            wait 2999
            wait 1
              at 6.500
              close
            status
              backoff: The server has gone silent. Again in 250 ms.
        "#]],
    );
}

#[test]
fn a_lost_connection_is_resumed_with_the_token_and_jitter() {
    check(
        "up; closed; status; wait 60000; closed; status; wait 60000; opened; < welcome again",
        expect![[r#"
            up
            closed
            status
              backoff: The connection is lost. Again in 250 ms.
            wait 60000
              at 1.250
              connect
              at 16.250
              close
              at 17.045
              connect
              at 32.045
              close
              at 33.330
              connect
              at 48.330
              close
              at 54.796
              connect
            closed
            status
              backoff: The connection is lost. Again in 5733 ms.
            wait 60000
              at 66.733
              connect
              at 81.733
              close
              at 112.797
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome again
        "#]],
    );
}

#[test]
fn retrying_now_skips_the_wait() {
    check(
        "up; closed; retry; closed; status",
        expect![[r#"
        up
        closed
        retry
          connect
        closed
        status
          backoff: The connection is lost. Again in 795 ms.
    "#]],
    );
}

#[test]
fn an_offline_device_does_not_try() {
    check(
        "up; offline; closed; status; wait 120000; online; status; wait 1000; offline; online",
        expect![[r#"
            up
            offline
            closed
            status
              backoff: This device is offline. Again in 250 ms.
            wait 120000
            online
            status
              backoff: The connection is lost. Again in 795 ms.
            wait 1000
              at 121.795
              connect
            offline
            online
        "#]],
    );
}

#[test]
fn a_restarting_server_says_when_to_come_back() {
    check(
        "up; < restarting 2000; closed; status; wait 4000; closed; status",
        expect![[r#"
            up
            < restarting 2000
            closed
            status
              backoff: The server is restarting. Again in 3201 ms.
            wait 4000
              at 4.201
              connect
            closed
            status
              backoff: The connection is lost. Again in 795 ms.
        "#]],
    );
}

#[test]
fn a_throttling_server_is_left_alone_for_a_while() {
    check(
        "up; < throttle 3000; status",
        expect![[r#"
        up
        < throttle 3000
          close
        status
          backoff: The server asked this device to slow down. Again in 4201 ms.
    "#]],
    );
}

#[test]
fn another_protocol_version_stops_the_session() {
    check(
        "start; opened; < refused VersionMismatch; status; wait 100000; closed",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused VersionMismatch
              close
            status
              stopped (version_mismatch): The server's words.
            wait 100000
            closed
        "#]],
    );
}

#[test]
fn refusals_of_this_worker_stop_the_session() {
    check(
        "start; opened; < refused UnknownRun; status
         start; opened; < refused Unsupported; status
         start; opened; < refused Unauthorized; status
         start; opened; < welcome; < refused Replaced; status",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused UnknownRun
              close
            status
              stopped (refused): The server's words.
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused Unsupported
              close
            status
              stopped (refused): The server's words.
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused Unauthorized
              close
            status
              stopped (refused): The server's words.
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < refused Replaced
              close
            status
              stopped (refused): The server's words.
        "#]],
    );
}

#[test]
fn refusals_for_now_make_it_wait() {
    check(
        "start; opened; < refused Full; status; retry
         opened; < refused ProtocolError; status; retry
         opened; < welcome; < refused TimedOut; status; retry
         opened; < welcome; < refused TooSlow; status",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused Full
              close
            status
              backoff: The server's words. Again in 250 ms.
            retry
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < refused ProtocolError
              close
            status
              backoff: The server's words. Again in 795 ms.
            retry
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < refused TimedOut
              close
            status
              backoff: The server's words. Again in 285 ms.
            retry
              connect
            opened
              send hello run None, token Some(7), 1 lanes, [Portable]
            < welcome
            < refused TooSlow
              close
            status
              backoff: The server's words. Again in 466 ms.
        "#]],
    );
}

#[test]
fn pings_are_answered_and_credit_is_noted() {
    check(
        "up; < ping 3; < credited 77; stats; < idle RunFinished; status",
        expect![[r#"
            up
            < ping 3
              send pong 3
            < credited 77
            stats
              computed 0, accepted 0 in 0, credited 77, rejected 0 {}, first after None ms, 0.0 samples/s, busy 0.00
            < idle RunFinished
            status
              idle: The run is finished. Thank you!
        "#]],
    );
}

#[test]
fn the_server_may_send_a_worker_to_another_run() {
    check(
        "up; < params r1 v0; < lease l1 v0 0+2; < run r2; loaded r1; data l1; loaded r2; < lease l2 v0 0+1",
        expect![[r#"
            up
            < params r1 v0
              use r1 v0
            < lease l1 v0 0+2
              prepare l1 v0 0+2
            < run r2
              drop l1
              load r2
            loaded r1
            data l1
            loaded r2
              send ready r2
            < lease l2 v0 0+1
              send release l2 DataUnavailable
        "#]],
    );
}

#[test]
fn a_run_that_cannot_be_loaded_is_tried_again_later() {
    check(
        "start; opened; < welcome; < run r1; failed r9; failed r1; status",
        expect![[r#"
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < run r1
              load r1
            failed r9
            failed r1
              close
            status
              backoff: The manifest is damaged. Again in 250 ms.
        "#]],
    );
}

#[test]
fn finishing_without_work_leaves_at_once_and_a_new_start_is_a_new_worker() {
    check(
        "up; finish; status; < welcome; start; opened; < welcome; < run r1; loaded r1",
        expect![[r#"
            up
            finish
              send goodbye
              close
            status
              stopped (finished): Finished. Thank you for your help!
            < welcome
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            < welcome
            < run r1
              load r1
            loaded r1
              send ready r1
        "#]],
    );
}

#[test]
fn finishing_before_the_connection_is_up_ends_the_session() {
    check(
        "start; finish; status; start; opened; finish; status",
        expect![[r#"
            start
              connect
            finish
              close
            status
              stopped (finished): Finished. Thank you for your help!
            start
              connect
            opened
              send hello run None, token None, 1 lanes, [Portable]
            finish
              close
            status
              stopped (finished): Finished. Thank you for your help!
        "#]],
    );
}

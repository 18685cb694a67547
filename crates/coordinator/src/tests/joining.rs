//! Coming, going, falling silent.

use expect_test::expect;

use super::check;

#[test]
fn a_worker_joins_and_waits_for_a_run() {
    check(
        "c1 hello; create r1; c1 ready r1; start r1",
        expect![[r#"
        c1 hello
          c1 <- welcome w1, token 1, credited 0
          # joined w1 false
          c1 <- idle NoRun
        create r1
          # phase r1 created
          c1 <- run r1
          c1 <- idle RunPaused
        c1 ready r1
        start r1
          # phase r1 running
          c1 <- params r1 v0
          c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
          # granted l1 w1
          snapshot r1 Started: v0 running, 0 samples, credits []
    "#]],
    );
}

#[test]
fn a_lost_connection_is_resumed_by_token() {
    check(
        "create r1; start r1; c1 join r1
         c1 closed; workers
         wait 1000
         c2 hello resume=1; c2 ready r1; workers",
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
            c1 closed
              # left w1 false
              # lapsed l1 w1
            workers
              w1 connected false, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
            wait 1000
            c2 hello resume=1
              c2 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c2 <- run r1
            c2 ready r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w1
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn an_update_that_was_sent_before_the_connection_broke_is_answered_after_resuming() {
    check(
        "create r1; start r1; c1 join r1
         c1 closed
         c2 hello resume=1; c2 update l1 0+1; c2 ready r1",
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
            c1 closed
              # left w1 false
              # lapsed l1 w1
            c2 hello resume=1
              c2 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c2 <- run r1
            c2 update l1 0+1
              # accepted l1 w1 2
              accumulate r1 from 0: 100
            c2 ready r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 1+3 e[100, 100] 2002 ms
              # granted l2 w1
        "#]],
    );
}

#[test]
fn a_second_connection_with_the_same_token_replaces_the_first() {
    check(
        "create r1; start r1; c1 join r1
         c2 hello resume=1; c1 ready r1; c1 closed; c2 ready r1; workers",
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
            c2 hello resume=1
              c1 <- refused Replaced: Another connection goes on as this worker.
              c1 close
              # refused Replaced
              # lapsed l1 w1
              c2 <- welcome w1 again, token 1, credited 0
              # joined w1 true
              c2 <- run r1
            c1 ready r1
            c1 closed
            c2 ready r1
              c2 <- params r1 v0
              c2 <- lease l2 v0 0+1 e[100, 100] 30000 ms
              # granted l2 w1
            workers
              w1 connected true, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn an_unknown_token_begins_anew_and_stays_the_workers() {
    check(
        "c1 hello resume=9; c2 hello resume=9",
        expect![[r#"
        c1 hello resume=9
          c1 <- welcome w1, token 9, credited 0
          # joined w1 false
          c1 <- idle NoRun
        c2 hello resume=9
          c1 <- refused Replaced: Another connection goes on as this worker.
          c1 close
          # refused Replaced
          c2 <- welcome w1 again, token 9, credited 0
          # joined w1 true
          c2 <- idle NoRun
    "#]],
    );
}

#[test]
fn a_goodbye_voids_the_token() {
    check(
        "create r1; start r1; c1 join r1; c1 goodbye; workers
         c2 hello resume=1; c3 ready r1",
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
            c1 goodbye
              # lapsed l1 w1
              c1 close
              # left w1 true
            workers
            c2 hello resume=1
              c2 <- welcome w2, token 1, credited 0
              # joined w2 false
              c2 <- run r1
            c3 ready r1
        "#]],
    );
}

#[test]
fn a_worker_that_names_no_known_run_is_refused() {
    check(
        "create r1; c1 hello run=letters; c1 ready r1",
        expect![[r#"
        create r1
          # phase r1 created
        c1 hello run=letters
          c1 <- refused UnknownRun: There is no run named "letters" here; leave the name out to work for any.
          c1 close
          # refused UnknownRun
        c1 ready r1
    "#]],
    );
}

#[test]
fn a_worker_without_the_runs_arithmetic_is_refused_or_goes_elsewhere() {
    check(
        "create r1 class=fused; start r1
         c1 hello run=digits
         c2 hello; create r2
         c3 hello class=fused run=digits",
        expect![[r#"
            create r1 class=fused
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            c1 hello run=digits
              c1 <- refused Unsupported: The run "digits" needs fused arithmetic, which this device does not have.
              c1 close
              # refused Unsupported
            c2 hello
              c2 <- welcome w1, token 2, credited 0
              # joined w1 false
              c2 <- idle Requirements
            create r2
              # phase r2 created
              c2 <- run r2
              c2 <- idle RunPaused
            c3 hello class=fused run=digits
              c3 <- welcome w2, token 3, credited 0
              # joined w2 false
              c3 <- run r1
        "#]],
    );
}

#[test]
fn hellos_out_of_range_are_refused() {
    check(
        "c1 hello lanes=0; c2 hello lanes=1025; c3 hello software=65
         c4 hello; c4 hello",
        expect![[r#"
            c1 hello lanes=0
              c1 <- refused ProtocolError: A field of the hello is out of range.
              c1 close
              # refused ProtocolError
            c2 hello lanes=1025
              c2 <- refused ProtocolError: A field of the hello is out of range.
              c2 close
              # refused ProtocolError
            c3 hello software=65
              c3 <- refused ProtocolError: A field of the hello is out of range.
              c3 close
              # refused ProtocolError
            c4 hello
              c4 <- welcome w1, token 4, credited 0
              # joined w1 false
              c4 <- idle NoRun
            c4 hello
              c4 <- refused ProtocolError: A second hello on the same connection.
              c4 close
              # refused ProtocolError
        "#]],
    );
}

#[test]
fn a_message_out_of_place_cuts_the_connection() {
    check(
        "create r1; start r1; c1 join r1; c1 hello-again; workers",
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
            c1 hello-again
              c1 <- refused ProtocolError: A message out of place.
              c1 close
              # refused ProtocolError
              # left w1 false
              # lapsed l1 w1
            workers
              w1 connected false, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn a_silent_worker_is_cut_after_three_heartbeats_and_forgotten_after_ten_minutes() {
    check(
        "create r1; start r1; c1 join r1
         wait 14000; wait 2000; workers
         wait 598000; workers; wait 2000; workers",
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
            wait 14000
              at 5.000
              c1 <- ping
              at 10.000
              c1 <- ping
            wait 2000
              at 15.000
              c1 <- refused TimedOut: The worker was silent for too long.
              c1 close
              # refused TimedOut
              # left w1 false
              # lapsed l1 w1
            workers
              w1 connected false, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
            wait 598000
            workers
              w1 connected false, run Some(1), paused None, 0 accepted, 0 credited, 0 rejected
            wait 2000
            workers
        "#]],
    );
}

#[test]
fn a_worker_that_answers_pings_stays() {
    check(
        "c1 hello; wait 5000; c1 pong; wait 10000; c1 pong; wait 14000; workers",
        expect![[r#"
            c1 hello
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- idle NoRun
            wait 5000
              at 5.000
              c1 <- ping
            c1 pong
            wait 10000
              at 10.000
              c1 <- ping
              at 15.000
              c1 <- ping
            c1 pong
            wait 14000
              at 20.000
              c1 <- ping
              at 25.000
              c1 <- ping
            workers
              w1 connected true, run None, paused None, 0 accepted, 0 credited, 0 rejected
        "#]],
    );
}

#[test]
fn shutdown_tells_everyone_and_takes_snapshots() {
    check(
        "create r1; start r1; durable r1 v0; c1 join r1; c2 hello; create r2
         shutdown
         c1 update l1 0+1; c3 hello",
        expect![[r#"
            create r1
              # phase r1 created
            start r1
              # phase r1 running
              snapshot r1 Started: v0 running, 0 samples, credits []
            durable r1 v0
            c1 join r1
              c1 <- welcome w1, token 1, credited 0
              # joined w1 false
              c1 <- run r1
              c1 <- params r1 v0
              c1 <- lease l1 v0 0+1 e[100, 100] 30000 ms
              # granted l1 w1
            c2 hello
              c2 <- welcome w2, token 2, credited 0
              # joined w2 false
              c2 <- run r1
            create r2
              # phase r2 created
            shutdown
              c1 <- restarting, back in 2000 ms
              c1 close
              c2 <- restarting, back in 2000 ms
              c2 close
              snapshot r1 Shutdown: v0 running, 0 samples, credits []
            c1 update l1 0+1
              # rejected l1 w1 RunInactive
              c1 <- receipt l1 Rejected(RunInactive)
            c3 hello
              c3 <- refused Full: The server is going down; try again in a minute.
              c3 close
              # refused Full
        "#]],
    );
}

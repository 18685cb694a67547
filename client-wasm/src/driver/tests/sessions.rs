//! The sessions.

use serde_json::{Value, json};
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{MicroBatchRange, ReleaseReason};
use tabswarm_protocol::server::{IdleReason, ParamsHeader, Verdict};
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, ServerMessage, codec};

use super::world::{RUN, World};
use crate::driver::{Event, Target};
use crate::fixture;
use crate::lane::Report;

#[test]
fn a_worker_joins_and_loads_its_run() {
    let mut world = World::new(2, "exact");
    assert_eq!(
        world.log(),
        ["start lane 0", "start lane 1", "connect ws://host/ws"]
    );
    assert_eq!(world.status("state"), "connecting");
    world.join();
    assert_eq!(
        world.log(),
        [
            "lane 0: load",
            "lane 1: load",
            "fetch http://host/api/datasets/MANIFEST"
        ]
    );
    let messages = world.messages();
    assert!(
        matches!(&messages[..], [(ClientMessage::Hello(hello), _)] if hello.lanes == 2 && hello.run.is_some()),
        "{messages:?}"
    );
    assert_eq!(world.status("state"), "loading");
    world.answer_jobs();
    world.lane(0, Report::Ready);
    assert!(world.messages().is_empty());
    world.lane(1, Report::Ready);
    assert_eq!(
        world.messages(),
        [(ClientMessage::Ready { run_id: RUN }, vec![])]
    );
    assert_eq!(world.status("state"), "idle");
    assert_eq!(world.status("steps_total"), 6);
    assert_eq!(world.status("arithmetic_class"), "portable");
}

#[test]
fn a_lease_becomes_an_update() {
    let mut world = World::loaded(1, "exact");
    world.params(0);
    world.lease(1, 0, 4);
    let log = world.log();
    assert_eq!(log[0], "lane 0: params of version 0");
    assert!(
        log[1..]
            .iter()
            .all(|line| line.starts_with("fetch http://host/api/chunks/CHUNK-"))
    );
    assert_eq!(world.status("state"), "loading");
    assert_eq!(
        world.status("loading"),
        json!({"done": 0, "total": log.len() - 1})
    );
    world.answer_jobs();
    assert_eq!(
        world.log().last().unwrap(),
        "lane 0: work [2] with [20, 21]"
    );
    world.done(0, 2, 5);
    assert_eq!(world.log(), ["lane 0: work [2, 2, 2] with [20, 21]"]);
    world.done(0, 6, -7);
    let messages = world.messages();
    let [(ClientMessage::Update(update), tensor)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(update.done, [MicroBatchRange { first: 0, count: 4 }]);
    assert_eq!(
        (update.samples, update.loss_q20, update.correct),
        (8, 8 << 20, 2)
    );
    assert_eq!(update.digest, Digest::of(tensor).0);
    assert_eq!(
        codec::exact::decode(tensor, fixture::PARAMETERS),
        Ok(vec![-2; fixture::PARAMETERS])
    );
    world.say(&ServerMessage::Receipt {
        lease_id: LeaseId(1),
        verdict: Verdict::Accepted { samples: 8 },
    });
    world.wait();
    assert_eq!(world.status("samples_accepted"), 8);
    assert_eq!(
        world.status("lease"),
        json!({"done": 4, "total": 4, "samples": 8})
    );
    // The page's click is when the worker began, 100 ms before its session.
    assert_eq!(world.status("first_accepted_ms"), 100);
}

#[test]
fn a_shard_becomes_an_update_with_its_last_inner_step() {
    let mut world = World::leased(1, "local", 1);
    let log = world.log();
    let step = "lane 0: work [2, 2, 2, 2] with [20, 21] from inner step";
    assert!(log.contains(&format!("{step} 0")), "{log:?}");
    // What a lane says before the last step is nothing.
    world.done(0, 8, 5);
    assert_eq!(world.log(), [format!("{step} 1 to the last")]);
    assert!(world.messages().is_empty());
    world.done(0, 8, 3);
    let messages = world.messages();
    let [(ClientMessage::Update(update), tensor)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(update.done, [MicroBatchRange { first: 0, count: 1 }]);
    assert_eq!(update.samples, 16);
    let sums = codec::exact::decode(tensor, fixture::PARAMETERS);
    assert_eq!(sums, Ok(vec![3; fixture::PARAMETERS]));
}

#[test]
fn the_next_lease_is_there_before_the_first_one_ends() {
    let mut world = World::leased(1, "exact", 1);
    world.log();
    world.params(1);
    world.lease(2, 1, 1);
    assert!(world.log().is_empty());
    world.done(0, 2, 5);
    let next = [
        "lane 0: params of version 1",
        "lane 0: work [2] with [20, 21]",
    ];
    assert_eq!(world.log(), next);
    world.done(0, 2, 7);
    let leases: Vec<LeaseId> = world
        .messages()
        .iter()
        .filter_map(|(message, _)| match message {
            ClientMessage::Update(update) => Some(update.lease_id),
            _ => None,
        })
        .collect();
    assert_eq!(leases, [LeaseId(1), LeaseId(2)]);
}

#[test]
fn plain_sums_go_out_as_f32() {
    let mut world = World::leased(1, "f32", 1);
    assert!(world.log().contains(&"lane 0: work [2] with []".to_owned()));
    world.done(0, 2, 3);
    let messages = world.messages();
    let sums = codec::f32::decode(&messages[0].1, fixture::PARAMETERS);
    assert_eq!(sums, Ok(vec![3.0; fixture::PARAMETERS]));
}

#[test]
fn at_the_end_of_an_epoch_the_next_one_is_fetched() {
    let mut world = World::loaded(1, "exact");
    world.params(2);
    world.lease(1, 2, 2);
    let jobs = world.deeds.borrow().jobs.len();
    assert!(
        jobs < fixture::chunks().len(),
        "the last step needs {jobs} chunks"
    );
    world.answer_jobs();
    let fetches = world
        .log()
        .into_iter()
        .filter(|line| line.starts_with("fetch"));
    assert_eq!(fetches.count(), fixture::chunks().len());
}

#[test]
fn chunks_of_later_steps_are_fetched_after_those_of_the_lease() {
    let mut world = World::leased(1, "exact", 1);
    let log = world.log();
    let first_work = log.iter().position(|line| line.starts_with("lane 0: work"));
    let fetches = log.iter().filter(|line| line.starts_with("fetch")).count();
    assert_eq!(fetches, 3);
    assert!(first_work.is_some_and(|at| at < log.len() - 1), "{log:?}");
    let bytes: usize = fixture::chunks().iter().map(Vec::len).sum();
    assert!(world.status("bytes_down").as_u64().unwrap() > bytes as u64);
}

#[test]
fn an_unavailable_chunk_gives_the_lease_back_after_retries() {
    let mut world = World::loaded(1, "exact");
    world.params(0);
    world.lease(1, 0, 4);
    let mut tries = 0;
    while world.status("state") == "loading" {
        let jobs = std::mem::take(&mut world.deeds.borrow_mut().jobs);
        for job in jobs {
            if job.target == Target::Chunk(0) {
                tries += 1;
                // Once it does not come, then it comes damaged.
                let outcome = if tries == 1 {
                    Err("no".to_owned())
                } else {
                    Ok(vec![0; 48])
                };
                world.answer(job, outcome);
            } else if let Target::Chunk(chunk_idx) = job.target {
                world.answer(job, Ok(fixture::chunks().swap_remove(chunk_idx)));
            }
        }
        if world.status("state") == "loading" {
            world.wait();
        }
    }
    assert_eq!(tries, 4);
    let reason = ReleaseReason::DataUnavailable;
    let lease_id = LeaseId(1);
    assert_eq!(
        world.messages(),
        [(ClientMessage::Release { lease_id, reason }, vec![])]
    );
    assert_eq!(world.status("state"), "backoff");
    let said = world.status("reason");
    assert!(
        said.as_str()
            .unwrap()
            .starts_with("The training data is of no use"),
        "{said}"
    );
}

#[test]
fn an_impossible_lease_is_given_back() {
    let mut world = World::loaded(1, "exact");
    world.params(0);
    world.lease(1, 0, 5);
    assert!(matches!(
        world.messages()[..],
        [(ClientMessage::Release { .. }, _)]
    ));
    assert_eq!(world.status("state"), "backoff");
}

#[test]
fn an_overflow_is_reported_and_the_lease_is_over() {
    let mut world = World::leased(1, "exact", 1);
    world.lane(0, Report::Overflow { fits: vec![9, 8] });
    let lease_id = LeaseId(1);
    let fits = vec![9, 8];
    assert_eq!(
        world.messages(),
        [(ClientMessage::Overflow { lease_id, fits }, vec![])]
    );
    assert_eq!(world.status("lease"), Value::Null);
}

#[test]
fn a_lease_keeps_its_parameters_when_newer_ones_come() {
    let mut world = World::leased(1, "exact", 4);
    world.log();
    world.params(1);
    world.done(0, 2, 1);
    assert_eq!(world.log(), ["lane 0: work [2, 2, 2] with [20, 21]",]);
}

#[test]
fn damaged_parameters_end_the_connection() {
    let mut world = World::loaded(1, "exact");
    let header = ParamsHeader {
        run_id: RUN,
        version: ParamVersion(0),
        digest: [0; 32],
    };
    world.say_with(
        &ServerMessage::Params(header),
        &[0; fixture::PARAMETERS * 4],
    );
    assert_eq!(world.log(), ["disconnect"]);
    assert_eq!(world.status("state"), "backoff");
    assert_eq!(
        world.status("reason"),
        "The parameters were damaged on their way."
    );
}

#[test]
fn another_protocol_version_asks_for_a_reload() {
    let mut world = World::loaded(1, "exact");
    let mut frame = vec![0; 24];
    frame[..8].copy_from_slice(b"TSWM\x09\0\0\0");
    world.bytes(frame);
    assert_eq!(world.status("stop_code"), "version_mismatch");
    let said = world.status("reason");
    assert!(said.as_str().unwrap().contains("Reload the page"), "{said}");
}

#[test]
fn a_new_connection_resends_the_update_and_loads_nothing_again() {
    let mut world = World::leased(1, "exact", 1);
    world.done(0, 2, 4);
    let update = world.messages();
    world.log();
    let connection = 1;
    let reason = String::new();
    world
        .driver
        .handle(Event::SocketClosed { connection, reason });
    assert_eq!(
        world.status("reason"),
        "The connection to the server was lost."
    );
    world.command(r#"{"kind":"retry_now"}"#);
    // An echo of the lost connection changes nothing.
    let bytes = b"rubbish of the old connection".to_vec();
    world
        .driver
        .handle(Event::SocketBytes { connection, bytes });
    world.join();
    world.lane(0, Report::Ready);
    assert_eq!(world.log(), ["connect ws://host/ws", "lane 0: load"]);
    let messages = world.messages();
    assert!(matches!(&messages[0].0, ClientMessage::Hello(hello) if hello.resume.is_some()));
    assert_eq!(messages[1], update[0]);
    assert_eq!(messages[2].0, ClientMessage::Ready { run_id: RUN });
}

#[test]
fn the_session_ends_with_the_run() {
    let mut world = World::loaded(1, "exact");
    world.params(5);
    world.say(&ServerMessage::Idle {
        reason: IdleReason::RunFinished,
    });
    assert_eq!(world.status("state"), "stopped");
    assert_eq!(world.status("stop_code"), "run_finished");
    assert_eq!(world.status("reason"), "The run is finished. Thank you!");
    assert_eq!(world.status("version"), world.status("steps_total"));
    assert_eq!(world.messages(), [(ClientMessage::Goodbye, vec![])]);
}

#[test]
fn at_the_end_of_a_run_the_last_credit_is_waited_for() {
    for credit_comes in [true, false] {
        let mut world = World::leased(1, "exact", 1);
        world.done(0, 2, 4);
        world.say(&ServerMessage::Receipt {
            lease_id: LeaseId(1),
            verdict: Verdict::Accepted { samples: 2 },
        });
        world.say(&ServerMessage::Idle {
            reason: IdleReason::RunFinished,
        });
        assert_eq!(world.status("state"), "idle");
        if credit_comes {
            world.say(&ServerMessage::Credited { samples: 2 });
        } else {
            for _ in 0..5 {
                assert_eq!(world.status("state"), "idle");
                world.wait();
            }
        }
        assert_eq!(world.status("stop_code"), "run_finished");
    }
}

#[test]
fn pausing_hands_in_what_is_done_and_holding_offline_waits() {
    let mut world = World::leased(1, "exact", 4);
    world.command(r#"{"kind":"pause","reason":"user"}"#);
    world.done(0, 2, 1);
    let messages = world.messages();
    assert!(matches!(messages[0].0, ClientMessage::Update(_)));
    assert!(matches!(messages[1].0, ClientMessage::Pause { .. }));
    assert_eq!(world.status("pause_reason"), "user");
    world.command(r#"{"kind":"resume"}"#);
    assert_eq!(
        world.messages(),
        [(ClientMessage::Ready { run_id: RUN }, vec![])]
    );
    world.command(r#"{"kind":"pause","reason":"offline"}"#);
    let reason = String::new();
    world.driver.handle(Event::SocketClosed {
        connection: 1,
        reason,
    });
    assert_eq!(world.status("reason"), "This device is offline.");
    world.command(r#"{"kind":"resume"}"#);
    assert_ne!(world.status("retry_in_ms"), Value::Null);
}

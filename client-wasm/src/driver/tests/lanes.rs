//! Lanes that come, go and die.

use serde_json::json;
use tabswarm_protocol::{ClientMessage, codec};

use super::world::World;
use crate::driver::Event;
use crate::fixture;
use crate::lane::{BackendChoice, Report};

#[test]
fn a_crashed_lane_is_replaced_and_gets_its_work_again() {
    let mut world = World::leased(1, "exact", 1);
    world.log();
    let crash = || Report::Crashed {
        message: "gone".to_owned(),
    };
    world.lane(0, crash());
    let again = [
        "stop lane 0",
        "start lane 0",
        "lane 0: load",
        "lane 0: params of version 0",
        "lane 0: work [2] with [20, 21]",
    ];
    assert_eq!(world.log(), again);
    world.lane(0, Report::Ready);
    world.done(0, 2, 1);
    assert!(matches!(
        world.messages()[..],
        [(ClientMessage::Update(_), _)]
    ));
}

#[test]
fn a_lane_that_keeps_crashing_is_retired_and_the_others_go_on() {
    let mut world = World::leased(2, "exact", 2);
    let crash = || Report::Crashed {
        message: "killed".to_owned(),
    };
    for _ in 0..3 {
        world.lane(1, crash());
    }
    assert_eq!(world.log().last().unwrap(), "stop lane 1");
    assert_eq!(world.status("lanes"), 1);
    let lanes = ClientMessage::Lanes { lanes: 1 };
    assert_eq!(world.messages(), [(lanes, vec![])]);
    world.done(0, 2, 1);
    world.done(0, 2, 4);
    let messages = world.messages();
    let [(ClientMessage::Update(update), tensor)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!(update.samples, 4);
    let sums = codec::exact::decode(tensor, fixture::PARAMETERS);
    assert_eq!(sums, Ok(vec![5; fixture::PARAMETERS]));
    // Neither another lease nor another run needs it.
    world.log();
    let connection = 1;
    world.driver.handle(Event::SocketClosed {
        connection,
        reason: "gone".to_owned(),
    });
    world.command(r#"{"kind":"retry_now"}"#);
    world.join();
    assert_eq!(world.log(), ["connect ws://host/ws", "lane 0: load"]);
    world.lane(0, Report::Ready);
    world.command(r#"{"kind":"settings","settings":{"duty_percent":100,"lanes":2}}"#);
    assert_eq!(world.log(), ["stop lane 1", "start lane 1", "lane 1: load"]);
    assert_eq!(world.status("lanes"), 2);
}

#[test]
fn a_lane_that_crashes_without_work_is_replaced() {
    let mut world = World::new(2, "exact");
    world.join();
    world.answer_jobs();
    world.lane(0, Report::Ready);
    world.log();
    let crash = || Report::Crashed {
        message: "killed".to_owned(),
    };
    // While it loads, and when it is idle.
    world.lane(1, crash());
    let again = ["stop lane 1", "start lane 1", "lane 1: load"];
    assert_eq!(world.log(), again);
    world.lane(1, Report::Ready);
    assert_eq!(world.status("state"), "idle");
    world.lane(1, crash());
    assert_eq!(world.log(), again);
}

#[test]
fn a_lane_that_keeps_failing_ends_the_session() {
    let mut world = World::leased(1, "exact", 1);
    for _ in 0..3 {
        world.lane(
            0,
            Report::Failed {
                message: "no".to_owned(),
            },
        );
    }
    assert_eq!(world.status("state"), "stopped");
    assert_eq!(world.status("stop_code"), "engine_failed");
    assert_eq!(world.log().last().unwrap(), "stop lane 0");
    assert_eq!(world.deeds.borrow().wake_at, None);
}

#[test]
fn lanes_come_and_go_without_losing_work() {
    let mut world = World::leased(3, "exact", 3);
    world.log();
    world.command(r#"{"kind":"settings","settings":{"duty_percent":100,"lanes":1}}"#);
    let lanes = ClientMessage::Lanes { lanes: 1 };
    assert_eq!(world.messages(), [(lanes, vec![])]);
    // All three are busy, so all three stay until they are done.
    assert!(world.log().is_empty());
    world.done(2, 2, 1);
    assert_eq!(world.log(), ["stop lane 2"]);
    world.done(1, 2, 1);
    assert_eq!(world.log(), ["stop lane 1"]);
    world.done(0, 2, 1);
    assert!(matches!(
        world.messages()[..],
        [(ClientMessage::Update(_), _)]
    ));
    world.command(r#"{"kind":"settings","settings":{"duty_percent":100,"lanes":2}}"#);
    assert_eq!(world.log(), ["start lane 1", "lane 1: load"]);
    assert_eq!(world.status("lanes"), 2);
}

#[test]
fn the_first_lane_begins_anew_for_a_gpu_once_it_is_idle() {
    let mut world = World::leased(2, "f32", 2);
    world.log();
    let settings = |gpu: &str| {
        format!(
            r#"{{"kind":"settings","settings":{{"duty_percent":100,"lanes":2,"gpu":"{gpu}"}}}}"#
        )
    };
    world.command(&settings("auto"));
    assert!(world.log().is_empty(), "it is busy");
    world.done(1, 2, 1);
    assert!(world.log().is_empty(), "the other one is none of it");
    world.done(0, 2, 1);
    let again = [
        "stop lane 0",
        "start lane 0, with a GPU if it is faster",
        "lane 0: load",
    ];
    assert_eq!(world.log(), again);
    world.lane(0, Report::Ready);
    let choice = BackendChoice {
        is_gpu: true,
        reason: "quick".to_owned(),
    };
    world.lane(0, Report::Backend(choice));
    let backend = world.status("backend");
    assert_eq!(backend, json!({"kind": "gpu", "reason": "quick"}));
    world.command(&settings("off"));
    assert_eq!(world.log(), ["stop lane 0", "start lane 0", "lane 0: load"]);
    assert_eq!(world.status("backend"), json!(null));
}

#[test]
fn a_lane_that_cannot_load_the_run_is_a_reason() {
    let mut world = World::new(1, "exact");
    world.join();
    world.answer_jobs();
    world.lane(
        0,
        Report::Failed {
            message: "The engine could not start.".to_owned(),
        },
    );
    assert_eq!(world.status("state"), "backoff");
    assert_eq!(world.status("reason"), "The engine could not start.");
    world.log();
    world.command(r#"{"kind":"retry_now"}"#);
    world.join();
    assert_eq!(
        world.log(),
        [
            "connect ws://host/ws",
            "stop lane 0",
            "start lane 0",
            "lane 0: load"
        ]
    );
}

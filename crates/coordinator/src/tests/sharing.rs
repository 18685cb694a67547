//! Runs that share workers: a swarm of pretended workers lives through some minutes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tabswarm_model::Run;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::StepReport;
use tabswarm_protocol::client::{Class, Hello, Update, WorkerKind};
use tabswarm_protocol::server::{IdleReason, Lease};
use tabswarm_protocol::{ClientMessage, RunId, ServerMessage, Timestamp, Token};

use crate::coordinator::Coordinator;
use crate::effect::Effect;
use crate::input::{ConnectionId, Input, NewRun, Payload, ReceivedUpdate};
use crate::phase::RunCommand;
use crate::run_state::RunState;

const LOADING_MS: u64 = 1_000;

#[derive(Clone, Copy)]
struct Device {
    lanes: u16,
    ms_per_unit: u64,
    memory_mib: u32,
    run: Option<&'static str>,
}

const DEVICE: Device = Device {
    lanes: 1,
    ms_per_unit: 100,
    memory_mib: 0,
    run: None,
};

struct Swarm {
    coordinator: Coordinator,
    now: Timestamp,
    devices: Vec<Device>,
    /// What workers will say, by time.
    agenda: BTreeMap<(u64, u64), Input>,
    agenda_len: u64,
    busy_until: BTreeMap<ConnectionId, u64>,
    /// Units of each run that were answered.
    done: BTreeMap<RunId, u64>,
    idle: BTreeMap<ConnectionId, IdleReason>,
    assignments: u64,
}

/// How a step is cut.
#[derive(Clone, Copy)]
struct Cut {
    units: u32,
    lease_target_ms: u32,
}

const CUT: Cut = Cut {
    units: 16,
    lease_target_ms: 1_000,
};

fn run_file(name: &str, cut: Cut, workers: &str) -> Arc<Run> {
    let text = format!(
        "name = {name:?}\nseed = 1\ndata = {{ format = \"idx\", path = \"d\" }}\n\
         model = {{ input = [2], layers = [{{ kind = \"dense\", units = 2 }}], loss = \"softmax_cross_entropy\" }}\n\
         train = {{ epochs = 1000000, micro_batch = 2, global_batch = {} }}\n\
         optimizer = {{ kind = \"sgd\", learning_rate = 0.1 }}\nworkers = {{ {workers} }}\n\
         sync = {{ lease_target_ms = {} }}\n",
        2 * cut.units,
        cut.lease_target_ms
    );
    Arc::new(Run::from_toml(&text).unwrap_or_else(|error| panic!("{error}")))
}

impl Swarm {
    fn new(runs: &[&str], devices: &[Device]) -> Self {
        Self::with_steps(CUT, runs, devices)
    }

    fn with_steps(cut: Cut, runs: &[&str], devices: &[Device]) -> Self {
        let mut swarm = Self {
            coordinator: Coordinator::new(0),
            now: Timestamp(0),
            devices: devices.to_vec(),
            agenda: BTreeMap::new(),
            agenda_len: 0,
            busy_until: BTreeMap::new(),
            done: BTreeMap::new(),
            idle: BTreeMap::new(),
            assignments: 0,
        };
        for (n, workers) in (1..).zip(runs) {
            let run = run_file(&format!("run-{n}"), cut, workers);
            let (run_id, state) = (RunId(n), RunState::fresh(&run));
            swarm.handle(Input::CreateRun(Box::new(NewRun {
                run_id,
                run,
                dataset: Digest([2; 32]),
                samples: 32_000,
                state,
                params_digest: Digest([0; 32]),
            })));
            let command = RunCommand::Start;
            swarm.handle(Input::Command { run_id, command });
        }
        for (n, device) in (1..).zip(devices) {
            let hello = Hello {
                kind: WorkerKind::Native,
                software: "pretended".into(),
                run: device.run.map(str::to_owned),
                resume: None,
                join_token: None,
                lanes: device.lanes,
                classes: vec![Class::Portable],
                memory_mib: device.memory_mib,
                gpu: false,
            };
            swarm.handle(Input::Hello {
                connection: ConnectionId(n),
                hello,
                fresh_token: Token([u8::try_from(n).unwrap(); 32]),
            });
        }
        swarm
    }

    fn handle(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.coordinator.handle(self.now, input, &mut effects);
        effects
            .into_iter()
            .for_each(|effect| self.carry_out(effect));
    }

    fn later(&mut self, at: u64, input: Input) {
        self.agenda_len += 1;
        self.agenda.insert((at, self.agenda_len), input);
    }

    fn carry_out(&mut self, effect: Effect) {
        let soon = self.now.0 + 1;
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.tell(connection, message),
            Effect::Append { run_id, entry } => {
                let sequence = entry.sequence;
                self.later(soon, Input::LogDurable { run_id, sequence });
            }
            Effect::ApplyStep {
                run_id, version, ..
            } => {
                let report = StepReport {
                    digest: Digest([1; 32]),
                    max_abs_sums: vec![0; 2],
                    gradient_norm: 1.0,
                };
                self.later(
                    soon,
                    Input::StepApplied {
                        run_id,
                        version,
                        outcome: Ok(report),
                    },
                );
            }
            _ => {}
        }
    }

    fn tell(&mut self, connection: ConnectionId, message: ServerMessage) {
        let say = |message| Input::Message {
            connection,
            message,
        };
        match message {
            ServerMessage::Run(assignment) => {
                self.assignments += 1;
                self.idle.remove(&connection);
                let run_id = assignment.run_id;
                let ready = say(ClientMessage::Ready { run_id });
                self.later(self.now.0 + LOADING_MS, ready);
            }
            ServerMessage::Lease(lease) => self.compute(connection, &lease),
            ServerMessage::Idle { reason } => {
                self.idle.insert(connection, reason);
            }
            ServerMessage::Ping { nonce } => {
                self.later(self.now.0 + 1, say(ClientMessage::Pong { nonce }));
            }
            ServerMessage::Refused { message, .. } => panic!("{message}"),
            _ => {}
        }
    }

    fn compute(&mut self, connection: ConnectionId, lease: &Lease) {
        let device = self.devices[usize::try_from(connection.0).unwrap() - 1];
        let units = u64::from(lease.range.count);
        let took_ms = units.div_ceil(device.lanes.into()) * device.ms_per_unit;
        let began = self.busy_until.get(&connection).copied().unwrap_or(0);
        let end = began.max(self.now.0) + took_ms;
        self.busy_until.insert(connection, end);
        *self.done.entry(lease.run_id).or_default() += units;
        let samples = 2 * lease.range.count;
        let header = Update {
            lease_id: lease.lease_id,
            done: vec![lease.range],
            samples,
            loss_q20: 1,
            correct: 0,
            compute_us: units * device.ms_per_unit * 1_000,
            digest: [0; 32],
        };
        let payload = Ok(Payload::Exact(vec![1; 6]));
        let update = ReceivedUpdate { header, payload };
        self.later(end, Input::Update { connection, update });
    }

    fn live(&mut self, duration_ms: u64) {
        let end = self.now.0 + duration_ms;
        loop {
            let tick = self.coordinator.next_deadline().map_or(end, |at| at.0);
            let next = self.agenda.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let at = tick.min(next).max(self.now.0);
            if at > end {
                break;
            }
            self.now = Timestamp(at);
            let input = match self.agenda.first_entry() {
                Some(entry) if entry.key().0 <= at => entry.remove(),
                _ => Input::Tick,
            };
            self.handle(input);
        }
        self.now = Timestamp(end);
    }

    fn done_by(&self, run: u32) -> f64 {
        self.done.get(&RunId(run)).copied().unwrap_or(0) as f64
    }
}

fn assert_near(got: f64, wanted: f64) {
    assert!(
        (got / wanted - 1.0).abs() < 0.15,
        "{got}, not about {wanted}"
    );
}

#[test]
fn runs_share_many_workers_by_weight() {
    let mut swarm = Swarm::new(&["weight = 3", "weight = 1"], &[DEVICE; 12]);
    swarm.live(600_000);
    assert_near(swarm.done_by(1) / swarm.done_by(2), 3.0);
    // Twelve go to their places, and stay.
    assert!(swarm.assignments <= 18, "{}", swarm.assignments);
}

/// Units that were computed, as a share of what all lanes could do.
fn throughput(cut: Cut, devices: &[Device]) -> f64 {
    const MEASURED_MS: u64 = 600_000;
    let mut swarm = Swarm::with_steps(cut, &[""], devices);
    // Until their speeds are known.
    swarm.live(120_000);
    let before = swarm.done_by(1);
    swarm.live(MEASURED_MS);
    let rate = |device: &Device| f64::from(device.lanes) / device.ms_per_unit as f64;
    let possible: f64 = devices.iter().map(rate).sum::<f64>() * MEASURED_MS as f64;
    (swarm.done_by(1) - before) / possible
}

/// Devices from the fastest to one that is twenty times as slow, evenly on a logarithmic scale.
fn spread(count: u32) -> Vec<Device> {
    let of = |n: u32| {
        let slower = 20_f64.powf(f64::from(n) / f64::from(count - 1));
        let times = (10..200_u32).find(|tenths| f64::from(*tenths) >= 10.0 * slower);
        Device {
            ms_per_unit: u64::from(times.unwrap_or(200)),
            ..DEVICE
        }
    };
    (0..count).map(of).collect()
}

#[test]
fn sync_steps_waste_little() {
    for (units, devices) in [
        (64, vec![DEVICE; 4]),
        (100, vec![DEVICE; 4]),
        (400, vec![DEVICE; 4]),
        (1_000, vec![DEVICE; 20]),
        (3_000, vec![DEVICE; 20]),
        (200, spread(8)),
        (1_000, spread(20)),
        (4_000, spread(20)),
    ] {
        let cut = Cut { units, ..CUT };
        let (share, workers) = (throughput(cut, &devices), devices.len());
        assert!(
            share >= 0.9,
            "{share} of what {workers} workers can do, with {units} units a step"
        );
    }
}

/// Those who were done with the first step early wait for its end for longer than speeds are believed when a worker is
/// passed over. If theirs were forgotten, the one that is known would get the whole of the next step.
#[test]
fn who_waits_for_the_end_of_a_long_step_is_not_measured_anew() {
    let device = Device {
        ms_per_unit: 167,
        ..DEVICE
    };
    let cut = Cut {
        units: 240,
        lease_target_ms: 10_000,
    };
    let share = throughput(cut, &[device; 4]);
    assert!(share >= 0.9, "{share}");
}

#[test]
fn runs_take_turns_with_one_worker() {
    let mut swarm = Swarm::new(&["weight = 3", "weight = 1"], &[DEVICE]);
    swarm.live(1_200_000);
    assert_near(swarm.done_by(1) / swarm.done_by(2), 3.0);
    // Two changes in two minutes, each of which costs a second.
    assert!(
        (12..=28).contains(&swarm.assignments),
        "{}",
        swarm.assignments
    );
}

#[test]
fn an_odd_worker_changes_sides() {
    let mut swarm = Swarm::new(&["weight = 1", "weight = 1"], &[DEVICE; 3]);
    swarm.live(1_200_000);
    assert_near(swarm.done_by(1) / swarm.done_by(2), 1.0);
}

#[test]
fn a_run_that_begins_late_gets_its_share_and_no_more() {
    let mut swarm = Swarm::new(&["", ""], &[DEVICE; 8]);
    let run_id = RunId(2);
    let pause = RunCommand::Pause;
    swarm.handle(Input::Command {
        run_id,
        command: pause,
    });
    swarm.live(600_000);
    let before = (swarm.done_by(1), swarm.done_by(2));
    assert!(before.1 < 100.0, "{before:?}");
    let command = RunCommand::Start;
    swarm.handle(Input::Command { run_id, command });
    swarm.live(600_000);
    let after = (swarm.done_by(1) - before.0, swarm.done_by(2) - before.1);
    assert_near(after.0 / after.1, 1.0);
}

#[test]
fn who_asked_for_a_run_stays_with_it() {
    let asked = Device {
        run: Some("run-1"),
        ..DEVICE
    };
    let mut swarm = Swarm::new(&["", "weight = 100"], &[asked, asked, DEVICE]);
    swarm.live(600_000);
    assert_near(swarm.done_by(1) / swarm.done_by(2), 2.0);
    assert_eq!(swarm.assignments, 3);
}

#[test]
fn no_run_gets_more_lanes_than_it_has_work_for() {
    // A step has sixteen micro-batches, so that sixteen of the forty lanes are enough.
    let mut swarm = Swarm::new(&["weight = 100", ""], &[DEVICE; 40]);
    swarm.live(300_000);
    assert_near(swarm.done_by(1) / swarm.done_by(2), 1.0);
}

#[test]
fn a_run_takes_only_those_that_can_do_it() {
    let small = Device {
        memory_mib: 1_024,
        ..DEVICE
    };
    let large = Device {
        memory_mib: 8_192,
        ..DEVICE
    };
    let unknown = DEVICE;
    let mut swarm = Swarm::new(&["memory_mib = 2048"], &[small, large, unknown]);
    swarm.live(60_000);
    let reasons = [1, 2, 3].map(|n| swarm.idle.get(&ConnectionId(n)).copied());
    assert_eq!(reasons[0], Some(IdleReason::Requirements));
    assert_ne!(reasons[1], Some(IdleReason::Requirements));
    assert_ne!(reasons[2], Some(IdleReason::Requirements));
}

#[test]
fn a_worker_that_turns_out_too_slow_goes_elsewhere() {
    // 2 samples a unit: 20 and 2 samples a second.
    let slow = Device {
        ms_per_unit: 1_000,
        ..DEVICE
    };
    let mut swarm = Swarm::new(&["min_samples_per_s = 10"], &[DEVICE, slow]);
    swarm.live(120_000);
    assert_eq!(
        swarm.idle.get(&ConnectionId(2)),
        Some(&IdleReason::Requirements)
    );
    let before = swarm.done_by(1);
    swarm.live(60_000);
    assert_near(swarm.done_by(1) - before, 600.0);

    let mut swarm = Swarm::new(&["min_samples_per_s = 10", ""], &[DEVICE, slow, slow]);
    swarm.live(300_000);
    let before = swarm.done_by(2);
    swarm.live(300_000);
    // Both slow ones, and now and then the fast one.
    assert!(
        swarm.done_by(2) - before > 500.0,
        "{}",
        swarm.done_by(2) - before
    );
}

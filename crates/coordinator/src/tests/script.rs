//! The runner of scripts.
//!
//! A script has one input a line, and `;` between inputs of one line. The runs are all alike: 20 samples in
//! micro-batches of 2, steps of 8, 8 and 4 samples, two tensors, one epoch.
//!
//! ```text
//! create r1 [name=digits] [class=fused] [codec=f32 [precision=half]] [epochs=1] [snapshot=100] [evaluate=100] [from=v2]
//!     [staleness=4]                  an async run
//!     [shards=4 [inner=2] [quorum=3]]  a local run, whose rounds wait for the last shards for ten seconds
//! start r1 | pause r1 | stop r1                  what the operator commands
//! c1 hello [run=digits] [resume=1] [class=fused] [lanes=1]    the token of connection n begins with byte n
//! c1 join r1                                     hello, and ready for the run that it is given
//! c1 ready r1 | c1 pause | c1 pong | c1 goodbye | c1 closed | c1 hello-again
//! c1 update l1 0+2 [3+1 …] [samples=n] [loss=n] [correct=n] [bad=Malformed] [payload=f32]
//! c1 overflow l1 20 30 | c1 release l1 [EngineFailed]
//! applied r1 v1 | diverged r1 v1 | shutdown
//! durable r1 v1 | failed r1 v1                   the snapshot of a version
//! slow-disk                                      from here on the log is durable only when the script says so:
//! logged r1 3 | log-failed r1
//! replace r1 v1 [create's] [missing=2] [to=sync]   the run went back, or has other settings
//! ban c1 [500] | unban c1 | drain w1 | remove r1 what the operator takes away; for 500 ms
//! wait 500 | keep 500         lets time pass, with ticks when they are due; and answers pings meanwhile
//! status r1 | workers
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::Expect;
use tabswarm_model::digest::Digest;
use tabswarm_model::master::{Diverged, StepReport};
use tabswarm_protocol::client::{
    Class, Hello, MicroBatchRange, PauseReason, ReleaseReason, Update, WorkerKind,
};
use tabswarm_protocol::server::RejectReason;
use tabswarm_protocol::{ClientMessage, LeaseId, ParamVersion, RunId, Timestamp, Token, WorkerId};

use super::lines::line;
use super::runs_of_scripts;
use crate::coordinator::Coordinator;
use crate::effect::Effect;
use crate::input::{ConnectionId, Input, Payload, ReceivedUpdate};
use crate::phase::RunCommand;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "so that a test is one call")]
pub(super) fn check(script: &str, expected: Expect) {
    expected.assert_eq(&output(script));
}

/// What a script prints.
pub(super) fn output(script: &str) -> String {
    let mut runner = Runner {
        coordinator: Coordinator::new(0),
        now: Timestamp(0),
        output: String::new(),
        snapshots: BTreeMap::new(),
        slow_disk: false,
    };
    for input in script.split(['\n', ';']).map(str::trim) {
        if !input.is_empty() {
            runner.run(input);
        }
    }
    runner.output
}

struct Runner {
    coordinator: Coordinator,
    now: Timestamp,
    output: String,
    /// The last log entry in the snapshot of a run and version.
    snapshots: BTreeMap<(RunId, ParamVersion), u64>,
    slow_disk: bool,
}

impl Runner {
    fn run(&mut self, text: &str) {
        writeln!(self.output, "{text}").unwrap();
        let words = Words::new(text);
        match words.all[0] {
            "wait" => self.wait(words.number(1), false),
            "keep" => self.wait(words.number(1), true),
            "status" => self.status(words.run_id(1)),
            "workers" => self.workers(),
            "ban" | "unban" | "drain" | "remove" => self.handle(taken_away(self.now, &words)),
            "slow-disk" => self.slow_disk = true,
            "durable" | "failed" => {
                let of = (words.run_id(1), words.version(2));
                let sequence = self.snapshots.get(&of).copied().unwrap_or(0);
                let run_id = of.0;
                self.handle(match words.all[0] {
                    "durable" => Input::SnapshotDurable { run_id, sequence },
                    _ => Input::SnapshotFailed { run_id, sequence },
                });
            }
            connection if connection.starts_with('c') && connection != "create" => {
                let connection = ConnectionId(number(connection, 1));
                if words.all[1] == "join" {
                    self.handle(hello(connection, &words));
                    let run_id = words.run_id(2);
                    let message = ClientMessage::Ready { run_id };
                    self.handle(Input::Message {
                        connection,
                        message,
                    });
                } else {
                    self.handle(from_worker(connection, &words));
                }
            }
            _ => self.handle(from_inside(&words)),
        }
    }

    fn handle(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.coordinator.handle(self.now, input, &mut effects);
        let mut logged = Vec::new();
        for effect in &effects {
            match effect {
                Effect::TakeSnapshot { run_id, state, .. } => {
                    self.snapshots
                        .insert((*run_id, state.version), state.sequence);
                }
                Effect::Append { run_id, entry } if !self.slow_disk => {
                    logged.push((*run_id, entry.sequence));
                }
                _ => {}
            }
            let is_routine = matches!(effect, Effect::Append { .. } | Effect::Credited { .. })
                && !self.slow_disk;
            if !is_routine {
                writeln!(self.output, "  {}", line(effect)).unwrap();
            }
        }
        for (run_id, sequence) in logged {
            self.handle(Input::LogDurable { run_id, sequence });
        }
    }

    fn wait(&mut self, duration_ms: u64, answers_pings: bool) {
        let end = self.now + duration_ms;
        while let Some(deadline) = self.coordinator.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            let before = self.output.len();
            self.handle(Input::Tick);
            if answers_pings {
                let tail = self.output.split_off(before);
                let lines = tail.lines().filter(|line| !line.ends_with(" ping"));
                lines.for_each(|line| writeln!(self.output, "{line}").unwrap());
                (1..9).for_each(|n| self.handle(pong(ConnectionId(n))));
            }
            if self.output.len() > before {
                let at = format!("  at {}\n", self.now);
                self.output.insert_str(before, &at);
            }
        }
        self.now = end;
    }

    fn status(&mut self, run_id: RunId) {
        let status = self.coordinator.run_status(self.now, run_id).unwrap();
        writeln!(
            self.output,
            "  {} of {} steps, {}, {} samples, {:.0}/s, loss {:?}, {} workers, {} lanes{}{}",
            status.version,
            status.steps_total,
            status.phase,
            status.samples_committed,
            status.samples_per_s,
            status.train_loss,
            status.workers,
            status.lanes,
            status
                .reason
                .map(|reason| format!(", {reason}"))
                .unwrap_or_default(),
            status
                .degraded
                .map(|reason| format!(
                    ", {} steps wait for the disk: {reason}",
                    status.undurable_steps
                ))
                .unwrap_or_default(),
        )
        .unwrap();
    }

    fn workers(&mut self) {
        for worker in self.coordinator.workers(self.now) {
            writeln!(
                self.output,
                "  {} connected {}, run {:?}, paused {:?}, {} accepted, {} credited, {} rejected",
                worker.worker_id,
                worker.connected,
                worker.run_id.map(|run_id| run_id.0),
                worker.paused,
                worker.samples_accepted,
                worker.samples_credited,
                worker.updates_rejected,
            )
            .unwrap();
        }
    }
}

/// The words of an input: plain ones in order, `key=value` ones by key.
pub(super) struct Words<'a> {
    all: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let (options, all): (Vec<_>, Vec<_>) = text.split(' ').partition(|word| word.contains('='));
        let options = options.into_iter().filter_map(|word| word.split_once('='));
        Self {
            all,
            options: options.collect(),
        }
    }

    pub(super) fn option(&self, key: &str) -> Option<&'a str> {
        self.options.get(key).copied()
    }

    pub(super) fn option_or(&self, key: &str, default: u64) -> u64 {
        self.option(key)
            .map_or(default, |value| value.parse().unwrap())
    }

    fn number(&self, at: usize) -> u64 {
        number(self.all[at], 0)
    }

    pub(super) fn run_id(&self, at: usize) -> RunId {
        RunId(u32::try_from(number(self.all[at], 1)).unwrap())
    }

    fn version(&self, at: usize) -> ParamVersion {
        ParamVersion(number(self.all[at], 1))
    }

    fn lease_id(&self, at: usize) -> LeaseId {
        LeaseId(number(self.all[at], 1))
    }
}

/// The number behind a prefix of some letters.
pub(super) fn number(word: &str, prefix: usize) -> u64 {
    let digits = word.get(prefix..).and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| panic!("no number in {word:?}"))
}

fn hello(connection: ConnectionId, words: &Words<'_>) -> Input {
    let token = |n: u64| Token([u8::try_from(n).unwrap(); 32]);
    let class = match words.option("class") {
        Some("fused") => Class::Fused,
        _ => Class::Portable,
    };
    let lanes = words.option_or("lanes", 1);
    Input::Hello {
        connection,
        hello: Hello {
            kind: WorkerKind::Native,
            software: "x".repeat(usize::try_from(words.option_or("software", 4)).unwrap()),
            run: words.option("run").map(str::to_owned),
            resume: words.option("resume").map(|n| token(number(n, 0))),
            join_token: None,
            lanes: u16::try_from(lanes).unwrap(),
            classes: vec![class],
            memory_mib: u32::try_from(words.option_or("memory", 0)).unwrap(),
            gpu: words.option("gpu").is_some(),
        },
        fresh_token: token(connection.0),
    }
}

fn taken_away(now: Timestamp, words: &Words<'_>) -> Input {
    let number = number(words.all[1], 1);
    let identity = Digest::of(&[u8::try_from(number).unwrap(); 32]);
    match words.all[0] {
        "ban" => Input::Ban {
            identity,
            until: words.all.get(2).map(|ms| now + ms.parse::<u64>().unwrap()),
            reason: "wrong gradients".to_owned(),
        },
        "unban" => Input::Unban { identity },
        "drain" => Input::Drain {
            worker_id: WorkerId(number),
        },
        _ => Input::RemoveRun {
            run_id: words.run_id(1),
        },
    }
}

fn pong(connection: ConnectionId) -> Input {
    let message = ClientMessage::Pong { nonce: 0 };
    Input::Message {
        connection,
        message,
    }
}

fn from_worker(connection: ConnectionId, words: &Words<'_>) -> Input {
    let message = match words.all[1] {
        "hello" => return hello(connection, words),
        "update" => return update(connection, words),
        "closed" => return Input::Disconnected { connection },
        "hello-again" => {
            let Input::Hello { hello, .. } = hello(connection, words) else {
                unreachable!("that is what it makes")
            };
            ClientMessage::Hello(hello)
        }
        "ready" => ClientMessage::Ready {
            run_id: words.run_id(2),
        },
        "pause" => ClientMessage::Pause {
            reason: PauseReason::User,
        },
        "pong" => return pong(connection),
        "goodbye" => ClientMessage::Goodbye,
        "lanes" => ClientMessage::Lanes {
            lanes: u16::try_from(words.number(2)).unwrap(),
        },
        "overflow" => ClientMessage::Overflow {
            lease_id: words.lease_id(2),
            fits: words.all[3..].iter().map(|n| n.parse().unwrap()).collect(),
        },
        "release" => ClientMessage::Release {
            lease_id: words.lease_id(2),
            reason: match words.all.get(3) {
                Some(&"diverged") => ReleaseReason::Diverged,
                Some(_) => ReleaseReason::EngineFailed,
                None => ReleaseReason::Paused,
            },
        },
        other => panic!("{other:?} is not something that a worker says"),
    };
    Input::Message {
        connection,
        message,
    }
}

fn update(connection: ConnectionId, words: &Words<'_>) -> Input {
    let range = |word: &&str| {
        let (first, count) = word.split_once('+').unwrap();
        MicroBatchRange {
            first: first.parse().unwrap(),
            count: count.parse().unwrap(),
        }
    };
    let done: Vec<MicroBatchRange> = words.all[3..].iter().map(range).collect();
    let samples: u32 = done.iter().map(|range| range.count.saturating_mul(2)).sum();
    let samples = u32::try_from(words.option_or("samples", samples.into())).unwrap();
    let loss = words.option("loss").map(|loss| loss.parse().unwrap());
    let first = done.first().map_or(0, |range| range.first);
    let payload = match words.option("bad") {
        Some("Malformed") => Err(RejectReason::Malformed),
        Some("WrongDigest") => Err(RejectReason::WrongDigest),
        _ if words.option("payload") == Some("f32") => Ok(Payload::F32(vec![0.0; 6])),
        _ => Ok(Payload::Exact(vec![first.cast_signed() + 100; 6])),
    };
    let header = Update {
        lease_id: words.lease_id(2),
        done,
        samples,
        loss_q20: loss.unwrap_or(i64::from(samples) << 20),
        correct: u32::try_from(words.option_or("correct", 0)).unwrap(),
        compute_us: 0,
        digest: [0; 32],
    };
    Input::Update {
        connection,
        update: ReceivedUpdate { header, payload },
    }
}

fn from_inside(words: &Words<'_>) -> Input {
    let (run_id, version) = match words.all[0] {
        "shutdown" => {
            return Input::Shutdown {
                reconnect_in_ms: 2_000,
            };
        }
        "create" => return runs_of_scripts::create(words),
        "start" | "pause" | "stop" | "log-failed" | "logged" => (words.run_id(1), ParamVersion(0)),
        _ => (words.run_id(1), words.version(2)),
    };
    let command = |command| Input::Command { run_id, command };
    let report = StepReport {
        digest: Digest([1; 32]),
        max_abs_sums: vec![words.option_or("max", 0); 2],
        gradient_norm: 1.0,
    };
    let applied = |outcome| Input::StepApplied {
        run_id,
        version,
        outcome,
    };
    match words.all[0] {
        "start" => command(RunCommand::Start),
        "pause" => command(RunCommand::Pause),
        "stop" => command(RunCommand::Stop),
        "applied" => applied(Ok(report)),
        "diverged" => applied(Err(Diverged { parameter_idx: 3 })),
        "logged" => Input::LogDurable {
            run_id,
            sequence: words.number(2),
        },
        "log-failed" => Input::LogFailed {
            run_id,
            reason: "no space left".to_owned(),
        },
        "replace" => runs_of_scripts::replace(words, version),
        other => panic!("{other:?} is not an input"),
    }
}

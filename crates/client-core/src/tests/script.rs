//! The runner of scripts.
//!
//! A script has one input a line, and `;` between inputs of one line. Micro-batches have 2 samples.
//!
//! ```text
//! config [lanes=2] [duty=100] [run=digits]       first, if at all
//! up                                             start to ready for run r1, without printing
//! start | finish | resume | retry | online | offline | pause Hidden | duty 50 | lanes 3
//! opened | closed | loaded r1 | failed r1 | data l1 | no-data l1
//! done 0 l1 0+1 [ms=10] | overflow 0 l1 0+1 20 30 | broken 0 l1 0+1     lane, lease, micro-batches
//! lost 0                                         a lane died without a task
//! < welcome [again] [credited=5] [heartbeat=5000] | < run r1 | < params r1 v0 | < lease l1 v0 0+4 [run=r1] [batch=3 or steps=30]
//! < receipt l1 [Superseded] | < revoke l1 | < credited 5 | < idle StepTail | < ping 3
//! < restarting 2000 | < throttle 500 | < refused Full
//! wait 500                                       lets time pass, with ticks when they are due
//! status | stats
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::Expect;
use tabswarm_protocol::client::{Class, MicroBatchRange, PauseReason, WorkerKind};
use tabswarm_protocol::server::{
    IdleReason, Lease, LeaseKind, ParamsHeader, RefusalCode, RejectReason, RevokeReason,
    RunAssignment, Verdict, Welcome,
};
use tabswarm_protocol::{LeaseId, ParamVersion, RunId, ServerMessage, Timestamp, Token, WorkerId};

use super::lines::{line, status_line};
use crate::effect::Effect;
use crate::input::{Config, Input, TaskFault, TaskResult};
use crate::session::Session;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "so that a test is one call")]
pub(super) fn check(script: &str, expected: Expect) {
    let mut runner = Runner {
        session: Session::new(config(&Words::new(""))),
        now: Timestamp(1_000),
        output: String::new(),
    };
    for input in script.split(['\n', ';']).map(str::trim) {
        if !input.is_empty() {
            runner.run(input);
        }
    }
    expected.assert_eq(&runner.output);
}

struct Runner {
    session: Session,
    now: Timestamp,
    output: String,
}

impl Runner {
    fn run(&mut self, text: &str) {
        let words = Words::new(text);
        writeln!(self.output, "{text}").unwrap();
        match words.word(0) {
            "config" => self.session = Session::new(config(&words)),
            "up" => {
                let printed = self.output.len();
                for input in ["start", "opened", "< welcome", "< run r1", "loaded r1"] {
                    self.run(input);
                }
                self.output.truncate(printed);
            }
            "wait" => self.wait(words.number(1)),
            "status" => {
                let status = self.session.status(self.now);
                writeln!(self.output, "  {}", status_line(&status)).unwrap();
            }
            "stats" => self.stats(),
            "<" => self.handle(Input::Message(message(&words))),
            _ => self.handle(input(&words)),
        }
    }

    fn handle(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.session.handle(self.now, input, &mut effects);
        self.print(&effects);
    }

    fn print(&mut self, effects: &[Effect]) {
        for effect in effects {
            writeln!(self.output, "  {}", line(effect)).unwrap();
        }
    }

    fn wait(&mut self, duration_ms: u64) {
        let end = self.now + duration_ms;
        while let Some(deadline) = self.session.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            let mut effects = Vec::new();
            self.session.handle(self.now, Input::Tick, &mut effects);
            if !effects.is_empty() {
                writeln!(self.output, "  at {}", self.now).unwrap();
            }
            self.print(&effects);
            let again = self.session.next_deadline();
            assert!(
                again.is_none_or(|again| again > self.now),
                "a deadline that does not move: {again:?}"
            );
        }
        self.now = end;
    }

    fn stats(&mut self) {
        let status = self.session.status(self.now);
        let stats = &status.stats;
        writeln!(
            self.output,
            "  computed {}, accepted {} in {}, credited {}, rejected {} {:?}, first after {:?} ms, \
             {:.1} samples/s, busy {:.2}",
            stats.samples_computed,
            stats.samples_accepted,
            stats.updates_accepted,
            stats.samples_credited,
            stats.samples_rejected,
            stats.rejections,
            stats.first_accepted_ms,
            status.samples_per_s,
            status.busy_ratio,
        )
        .unwrap();
    }
}

/// The words of an input: plain ones in order, `key=value` ones by key.
struct Words<'a> {
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

    fn word(&self, at: usize) -> &'a str {
        self.all.get(at).copied().unwrap_or_default()
    }

    fn option_or(&self, key: &str, default: u64) -> u64 {
        let value = self.options.get(key);
        value.map_or(default, |value| value.parse().unwrap())
    }

    fn number(&self, at: usize) -> u64 {
        self.word(at).parse().unwrap()
    }

    /// The number behind a letter.
    fn id(&self, at: usize) -> u64 {
        let word = self.word(at);
        let id = word.get(1..).and_then(|digits| digits.parse().ok());
        id.unwrap_or_else(|| panic!("no id in {word:?}"))
    }

    fn run_id(&self, at: usize) -> RunId {
        RunId(u32::try_from(self.id(at)).unwrap())
    }

    fn lease_id(&self, at: usize) -> LeaseId {
        LeaseId(self.id(at))
    }

    fn range(&self, at: usize) -> MicroBatchRange {
        let (first, count) = self.word(at).split_once('+').unwrap();
        MicroBatchRange {
            first: first.parse().unwrap(),
            count: count.parse().unwrap(),
        }
    }

    /// The value whose `Debug` form is the word.
    fn one_of<T: Copy + std::fmt::Debug>(&self, at: usize, all: &[T]) -> T {
        let word = self.word(at);
        let found = all.iter().find(|value| format!("{value:?}") == word);
        *found.unwrap_or_else(|| panic!("{word:?} is none of {all:?}"))
    }
}

fn config(words: &Words<'_>) -> Config {
    Config {
        kind: WorkerKind::Native,
        software: "test".into(),
        run: words.options.get("run").map(|&run| run.into()),
        join_token: None,
        lanes: u16::try_from(words.option_or("lanes", 1)).unwrap(),
        classes: vec![Class::Portable],
        memory_mib: 0,
        gpu: false,
        duty_percent: u8::try_from(words.option_or("duty", 100)).unwrap(),
        seed: 1,
    }
}

fn input(words: &Words<'_>) -> Input {
    use PauseReason::{BatteryLow, DataCap, EngineRestart, Hidden, OnBattery, User};
    let pauses = [User, Hidden, OnBattery, BatteryLow, DataCap, EngineRestart];
    match words.word(0) {
        "start" => Input::Start,
        "finish" => Input::Finish,
        "resume" => Input::Resume,
        "retry" => Input::RetryNow,
        "online" => Input::Online(true),
        "offline" => Input::Online(false),
        "pause" => Input::Pause(words.one_of(1, &pauses)),
        "duty" => Input::SetDuty(u8::try_from(words.number(1)).unwrap()),
        "lanes" => Input::SetLanes(u16::try_from(words.number(1)).unwrap()),
        "opened" => Input::SocketOpened,
        "closed" => Input::SocketClosed {
            reason: "The connection is lost.".into(),
        },
        "loaded" => Input::RunLoaded {
            run_id: words.run_id(1),
        },
        "failed" => Input::RunFailed {
            run_id: words.run_id(1),
            message: "The manifest is damaged.".into(),
        },
        "data" => Input::DataReady {
            lease_id: words.lease_id(1),
        },
        "no-data" => Input::DataFailed {
            lease_id: words.lease_id(1),
            message: "A chunk can't be fetched.".into(),
        },
        "done" => task_done(words, Ok(())),
        "overflow" => {
            let fits = words.all[4..].iter().map(|n| n.parse().unwrap()).collect();
            task_done(words, Err(TaskFault::Overflow { fits }))
        }
        "diverged" => task_done(words, Err(TaskFault::Diverged)),
        "broken" => {
            let message = "out of memory".into();
            task_done(words, Err(TaskFault::Engine { message }))
        }
        "lost" => Input::LaneLost {
            lane: u16::try_from(words.number(1)).unwrap(),
            message: "killed".into(),
        },
        other => panic!("{other:?} is not an input"),
    }
}

fn task_done(words: &Words<'_>, outcome: Result<(), TaskFault>) -> Input {
    let range = words.range(3);
    Input::TaskDone(TaskResult {
        lane: u16::try_from(words.number(1)).unwrap(),
        lease_id: words.lease_id(2),
        range,
        samples: 2 * range.count,
        loss_q20: 100 * i64::from(range.count),
        correct: range.count,
        elapsed_us: 1_000 * words.option_or("ms", 10),
        outcome,
    })
}

fn message(words: &Words<'_>) -> ServerMessage {
    match words.word(1) {
        "welcome" => ServerMessage::Welcome(Welcome {
            worker_id: WorkerId(1),
            resume_token: Token([7; 32]),
            resumed: words.word(2) == "again",
            software: "test".into(),
            heartbeat_ms: u32::try_from(words.option_or("heartbeat", 5_000)).unwrap(),
            credited_samples: words.option_or("credited", 0),
        }),
        "run" => ServerMessage::Run(RunAssignment {
            run_id: words.run_id(2),
            run_json: "{}".into(),
            dataset: [0; 32],
        }),
        "params" => ServerMessage::Params(ParamsHeader {
            run_id: words.run_id(2),
            version: ParamVersion(words.id(3)),
            digest: [0; 32],
        }),
        "lease" => ServerMessage::Lease(Lease {
            lease_id: words.lease_id(2),
            run_id: RunId(u32::try_from(words.option_or("run", 1)).unwrap()),
            version: ParamVersion(words.id(3)),
            range: words.range(4),
            exponents: vec![20, 30],
            deadline_ms: 30_000,
            batch: words.option_or("batch", words.id(3)),
            kind: match (
                words.option_or("batch", u64::MAX),
                words.option_or("steps", 0),
            ) {
                (_, 1..) => LeaseKind::Shard {
                    inner_steps: u32::try_from(words.option_or("steps", 0)).unwrap(),
                },
                (u64::MAX, 0) => LeaseKind::Step,
                (_, 0) => LeaseKind::Batch,
            },
        }),
        "revoke" => ServerMessage::Revoke {
            lease_id: words.lease_id(2),
            reason: RevokeReason::StepRestarted,
        },
        "credited" => ServerMessage::Credited {
            samples: words.number(2),
        },
        "ping" => ServerMessage::Ping {
            nonce: words.number(2),
        },
        "restarting" => ServerMessage::Restarting {
            reconnect_in_ms: u32::try_from(words.number(2)).unwrap(),
            try_for_ms: 3_600_000,
        },
        "throttle" => ServerMessage::Throttle {
            retry_in_ms: u32::try_from(words.number(2)).unwrap(),
        },
        _ => message_with_reason(words),
    }
}

fn message_with_reason(words: &Words<'_>) -> ServerMessage {
    use IdleReason::{NoRun, RunFinished, RunPaused, RunStopped, StepTail};
    use RefusalCode as C;
    use RejectReason::{Malformed, Superseded, UnknownLease, WrongDigest};
    match words.word(1) {
        "receipt" => ServerMessage::Receipt {
            lease_id: words.lease_id(2),
            verdict: match words.word(3) {
                "" => Verdict::Accepted { samples: 8 },
                _ => Verdict::Rejected(
                    words.one_of(3, &[Malformed, Superseded, UnknownLease, WrongDigest]),
                ),
            },
        },
        "idle" => ServerMessage::Idle {
            reason: words.one_of(2, &[NoRun, StepTail, RunPaused, RunFinished, RunStopped]),
        },
        "refused" => ServerMessage::Refused {
            code: words.one_of(
                2,
                &[
                    C::VersionMismatch,
                    C::ProtocolError,
                    C::UnknownRun,
                    C::Unsupported,
                    C::Unauthorized,
                    C::Full,
                    C::TimedOut,
                    C::TooSlow,
                    C::Replaced,
                ],
            ),
            message: "The server's words.".into(),
        },
        other => panic!("{other:?} is not something that a server says"),
    }
}

//! A host that writes down what the driver does, and a server's side of the socket.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use tabswarm_compute::BatchStats;
use tabswarm_model::ArithmeticClass;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::MicroBatchRange;
use tabswarm_protocol::server::{Lease, LeaseKind, ParamsHeader, RunAssignment, Welcome};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, ParamVersion, RunId, ServerMessage, Timestamp, Token,
    WorkerId, encode_frames,
};

use crate::driver::{
    Command, Driver, Event, Fetched, GpuWish, Host, Job, LaneId, Start, Target, Work,
};
use crate::fixture;
use crate::lane::{Done, Report, Sums};

pub(super) const RUN: RunId = RunId(7);

/// What the driver did since the last look.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    /// In order, one line each.
    pub(super) log: Vec<String>,
    pub(super) sent: Vec<u8>,
    pub(super) jobs: Vec<Job>,
    pub(super) status: Value,
    pub(super) wake_at: Option<Timestamp>,
    now: Timestamp,
    connection: u32,
    lanes: Vec<Option<LaneId>>,
}

#[derive(Debug, Clone)]
pub(super) struct FakeHost(Rc<RefCell<Deeds>>);

impl FakeHost {
    fn log(&self, line: String) {
        self.0.borrow_mut().log.push(line);
    }
}

impl Host for FakeHost {
    fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    fn connect(&mut self, connection: u32, url: &str) -> Result<(), String> {
        self.0.borrow_mut().connection = connection;
        self.log(format!("connect {url}"));
        Ok(())
    }

    fn disconnect(&mut self) {
        self.log("disconnect".to_owned());
    }

    fn send(&mut self, frame: &[u8]) {
        self.0.borrow_mut().sent.extend(frame);
    }

    fn start_lane(&mut self, lane: LaneId, gpu: GpuWish) -> Result<(), String> {
        let idx = usize::from(lane.idx);
        let gpu = match gpu {
            GpuWish::Off => "",
            GpuWish::Auto => ", with a GPU if it is faster",
            GpuWish::Always => ", with a GPU",
        };
        self.log(format!("start lane {idx}{gpu}"));
        let lanes = &mut self.0.borrow_mut().lanes;
        if lanes.len() <= idx {
            lanes.resize(idx + 1, None);
        }
        lanes[idx] = Some(lane);
        Ok(())
    }

    fn stop_lane(&mut self, idx: u16) {
        self.log(format!("stop lane {idx}"));
        self.0.borrow_mut().lanes[usize::from(idx)] = None;
    }

    fn load_lane(&mut self, idx: u16, _run_json: &str) {
        self.log(format!("lane {idx}: load"));
    }

    fn give_params(&mut self, idx: u16, params: &[u8]) {
        self.log(format!("lane {idx}: params of version {}", params[0]));
    }

    fn give_work(&mut self, idx: u16, work: Work<'_>) {
        let samples: Vec<u32> = work.batches.iter().map(|batch| batch.samples).collect();
        let inner = work.inner.map_or_else(String::new, |inner| {
            let last = if inner.is_last { " to the last" } else { "" };
            format!(" from inner step {}{last}", inner.first)
        });
        self.log(format!(
            "lane {idx}: work {samples:?} with {:?}{inner}",
            work.exponents
        ));
    }

    fn fetch(&mut self, job: Job, url: String) {
        let url = match job.target {
            Target::Manifest => url.replace(&job.digest.to_string(), "MANIFEST"),
            Target::Chunk(chunk_idx) => {
                url.replace(&job.digest.to_string(), &format!("CHUNK-{chunk_idx}"))
            }
        };
        self.log(format!("fetch {url}"));
        self.0.borrow_mut().jobs.push(job);
    }

    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.0.borrow_mut().wake_at = at;
    }

    fn post_status(&mut self, json: &str) {
        self.0.borrow_mut().status = serde_json::from_str(json).unwrap();
    }
}

/// A driver and everything around it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) driver: Driver<FakeHost>,
    pub(super) deeds: Rc<RefCell<Deeds>>,
    codec: &'static str,
}

impl World {
    /// A driver that was just started, of a worker that began 100 ms before.
    pub(super) fn new(lanes: u16, codec: &'static str) -> Self {
        let deeds = Rc::new(RefCell::new(Deeds {
            now: Timestamp(100),
            ..Deeds::default()
        }));
        let settings = format!(r#"{{"duty_percent":100,"lanes":{lanes}}}"#);
        let start = Start {
            server: "http://host".to_owned(),
            run: Some("tiny".to_owned()),
            settings: serde_json::from_str(&settings).unwrap(),
            classes: vec![ArithmeticClass::Portable],
            memory_mib: 0,
            seed: 1,
        };
        let driver = Driver::new(FakeHost(Rc::clone(&deeds)), start);
        Self {
            driver,
            deeds,
            codec,
        }
    }

    /// A driver that has loaded its run.
    pub(super) fn loaded(lanes: u16, codec: &'static str) -> Self {
        let mut world = Self::new(lanes, codec);
        world.join();
        world.answer_jobs();
        (0..lanes).for_each(|lane| world.lane(lane, Report::Ready));
        world.log();
        world.messages();
        world
    }

    /// A driver with all chunks and a lease of version 0.
    pub(super) fn leased(lanes: u16, codec: &'static str, count: u32) -> Self {
        let mut world = Self::loaded(lanes, codec);
        world.params(0);
        world.lease(1, 0, count);
        world.answer_jobs();
        world
    }

    /// Opens the socket, greets and assigns the run.
    pub(super) fn join(&mut self) {
        let connection = self.deeds.borrow().connection;
        self.driver.handle(Event::SocketOpened { connection });
        self.say(&ServerMessage::Welcome(Welcome {
            worker_id: WorkerId(1),
            resume_token: Token([1; 32]),
            resumed: true,
            software: "server".to_owned(),
            heartbeat_ms: 5_000,
            credited_samples: 0,
        }));
        self.say(&ServerMessage::Run(RunAssignment {
            run_id: RUN,
            run_json: fixture::run_json(self.codec),
            dataset: Digest::of(fixture::manifest().to_json().as_bytes()).0,
        }));
    }

    pub(super) fn say(&mut self, message: &ServerMessage) {
        self.say_with(message, &[]);
    }

    pub(super) fn say_with(&mut self, message: &ServerMessage, tensor: &[u8]) {
        for bytes in encode_frames(message, tensor) {
            self.bytes(bytes);
        }
    }

    pub(super) fn bytes(&mut self, bytes: Vec<u8>) {
        let connection = self.deeds.borrow().connection;
        self.driver.handle(Event::SocketBytes { connection, bytes });
    }

    /// Parameters whose first byte is their version.
    pub(super) fn params(&mut self, version: u8) {
        let mut tensor = vec![0; fixture::PARAMETERS * 4];
        tensor[0] = version;
        let header = ParamsHeader {
            run_id: RUN,
            version: ParamVersion(u64::from(version)),
            digest: Digest::of(&tensor).0,
        };
        self.say_with(&ServerMessage::Params(header), &tensor);
    }

    pub(super) fn lease(&mut self, id: u64, version: u64, count: u32) {
        self.say(&ServerMessage::Lease(Lease {
            lease_id: LeaseId(id),
            run_id: RUN,
            version: ParamVersion(version),
            range: MicroBatchRange { first: 0, count },
            exponents: match self.codec {
                "f32" => vec![],
                _ => vec![20, 21],
            },
            deadline_ms: 1_000,
            batch: version,
            kind: match self.codec {
                "local" => LeaseKind::Shard { inner_steps: 2 },
                _ => LeaseKind::Step,
            },
        }));
    }

    pub(super) fn command(&mut self, json: &str) {
        self.driver
            .handle(Event::Command(Command::from_json(json).unwrap()));
    }

    pub(super) fn lane(&mut self, idx: u16, report: Report) {
        let lane = self.deeds.borrow().lanes[usize::from(idx)].unwrap();
        self.driver.handle(Event::Lane { lane, report });
    }

    /// A lane is done with `samples`, whose sums are all `value`.
    pub(super) fn done(&mut self, idx: u16, samples: u32, value: i32) {
        let sums = match self.codec {
            "exact" | "local" => Sums::Exact(vec![value; fixture::PARAMETERS]),
            _ => Sums::Plain(vec![value as f32; fixture::PARAMETERS]),
        };
        let tally = BatchStats {
            samples,
            loss_q20: i64::from(samples) << 20,
            correct: 1,
        };
        self.lane(
            idx,
            Report::Done(Done {
                sums,
                tally,
                elapsed_us: 1_000,
            }),
        );
    }

    /// The true content of everything that is being fetched, and of what is fetched then.
    pub(super) fn answer_jobs(&mut self) {
        loop {
            let jobs = std::mem::take(&mut self.deeds.borrow_mut().jobs);
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                let bytes = match job.target {
                    Target::Manifest => fixture::manifest().to_json().into_bytes(),
                    Target::Chunk(chunk_idx) => fixture::chunks().swap_remove(chunk_idx),
                };
                self.answer(job, Ok(bytes));
            }
        }
    }

    pub(super) fn answer(&mut self, job: Job, outcome: Result<Vec<u8>, String>) {
        let outcome = outcome.map(|bytes| Fetched {
            network_bytes: bytes.len() as u64,
            bytes,
        });
        self.driver.handle(Event::Fetched { job, outcome });
    }

    /// Lets time pass until the driver's timer rings.
    pub(super) fn wait(&mut self) {
        let at = self.deeds.borrow().wake_at.expect("a timer is set");
        let mut deeds = self.deeds.borrow_mut();
        deeds.now = deeds.now.max(at);
        drop(deeds);
        self.driver.handle(Event::Timer);
    }

    /// What the driver did since the last look.
    pub(super) fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.deeds.borrow_mut().log)
    }

    /// What the driver sent since the last look.
    pub(super) fn messages(&mut self) -> Vec<(ClientMessage, Vec<u8>)> {
        let sent = std::mem::take(&mut self.deeds.borrow_mut().sent);
        let mut messages = Vec::new();
        Decoder::new(1 << 20).push(&sent, &mut messages).unwrap();
        let read = |raw: tabswarm_protocol::RawMessage| (raw.control().unwrap(), raw.tensor);
        messages.into_iter().map(read).collect()
    }

    pub(super) fn status(&self, key: &str) -> Value {
        self.deeds.borrow().status[key].clone()
    }
}

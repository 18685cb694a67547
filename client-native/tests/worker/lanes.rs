//! Lanes that panic: what that costs, and what it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::fake_server::{FakeServer, FakeSocket, Fixture};
use tabswarm_client_core::StopCode;
use tabswarm_client_core::limits::MAX_LANE_FAILURES;
use tabswarm_client_native::{
    Backend, Cpu, GradientEngine, Outcome, Silent, Stop, Summary, run_on,
};
use tabswarm_compute::{ArithmeticClass, Batch, BatchStats, ComputeError};
use tabswarm_model::Graph;
use tabswarm_protocol::LeaseId;
use tabswarm_protocol::client::{ClientMessage, MicroBatchRange, ReleaseReason};
use tabswarm_protocol::server::{ServerMessage, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const STEP: MicroBatchRange = MicroBatchRange { first: 0, count: 3 };
const EXPONENTS: [i8; 4] = [14, 15, 16, 17];
/// Leases until the faulty lane has surely had its turns: a lane that is free gets the next micro-batch.
const MAX_LEASES: u64 = 500;

/// Engines that panic, on some lanes.
#[derive(Debug)]
struct Faulty {
    /// Names of the threads.
    lanes: &'static [&'static str],
    /// Gradients that still panic.
    panics_left: AtomicU32,
    panics: AtomicU32,
    panics_when_dropped: bool,
}

impl Faulty {
    fn new(lanes: &'static [&'static str], panics: u32) -> Arc<Self> {
        Arc::new(Self {
            lanes,
            panics_left: AtomicU32::new(panics),
            panics: AtomicU32::new(0),
            panics_when_dropped: false,
        })
    }

    fn panics(&self) -> u32 {
        self.panics.load(Ordering::SeqCst)
    }
}

/// The backend as the worker sees it.
#[derive(Debug)]
struct Shared(Arc<Faulty>);

impl Backend for Shared {
    fn engine(
        &self,
        graph: Arc<Graph>,
        class: ArithmeticClass,
        max_samples: usize,
    ) -> Result<Box<dyn GradientEngine>, ComputeError> {
        let (faults, has_panicked) = (Arc::clone(&self.0), false);
        let engine = Cpu.engine(graph, class, max_samples)?;
        Ok(Box::new(FaultyEngine {
            engine,
            faults,
            has_panicked,
        }))
    }
}

#[derive(Debug)]
struct FaultyEngine {
    engine: Box<dyn GradientEngine>,
    faults: Arc<Faulty>,
    has_panicked: bool,
}

impl GradientEngine for FaultyEngine {
    fn set_params(&mut self, params: &[f32]) -> Result<(), ComputeError> {
        self.engine.set_params(params)
    }

    fn gradient(&mut self, batch: Batch<'_>) -> Result<BatchStats, ComputeError> {
        let thread = std::thread::current();
        let is_faulty = self.faults.lanes.contains(&thread.name().unwrap());
        let take = |left: u32| left.checked_sub(1);
        let left = &self.faults.panics_left;
        if is_faulty
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        {
            self.faults.panics.fetch_add(1, Ordering::SeqCst);
            self.has_panicked = true;
            panic!("cosmic ray");
        }
        self.engine.gradient(batch)
    }

    fn gradient_buffer(&self) -> &[f32] {
        self.engine.gradient_buffer()
    }
}

impl Drop for FaultyEngine {
    fn drop(&mut self) {
        assert!(
            !(self.has_panicked && self.faults.panics_when_dropped),
            "cosmic shower"
        );
    }
}

/// A worker of two lanes; the sender tells it to leave.
fn start(server: &FakeServer, faulty: &Arc<Faulty>) -> (JoinHandle<Summary>, mpsc::Sender<Stop>) {
    let (stop, stops) = mpsc::channel(1);
    let backend = Arc::new(Shared(Arc::clone(faulty)));
    let work = run_on(server.config(2), stops, Box::new(Silent), backend);
    (tokio::spawn(async { work.await.unwrap() }), stop)
}

/// Leases the step and checks that the update is right to the bit.
async fn check_update(socket: &mut FakeSocket, fixture: &Fixture, lease_id: u64) {
    socket.lease(lease_id, STEP, &EXPONENTS).await;
    let (ClientMessage::Update(update), tensor) = socket.receive().await else {
        panic!("no update");
    };
    assert_eq!(
        (update.lease_id, update.done.as_slice(), update.samples),
        (LeaseId(lease_id), [STEP].as_slice(), 12)
    );
    assert_eq!(tensor, fixture.exact_update(0, STEP, &EXPONENTS));
    let (lease_id, samples) = (update.lease_id, update.samples);
    let verdict = Verdict::Accepted { samples };
    socket
        .send(&ServerMessage::Receipt { lease_id, verdict }, &[])
        .await;
}

async fn check_leaves(
    socket: &mut FakeSocket,
    worker: JoinHandle<Summary>,
    stop: mpsc::Sender<Stop>,
) {
    stop.send(Stop::Finish).await.unwrap();
    assert_eq!(socket.receive().await.0, ClientMessage::Goodbye);
    assert_eq!(worker.await.unwrap().outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_lane_that_panics_costs_its_task_and_no_more() {
    for lanes in [["lane-0"].as_slice(), &["lane-0", "lane-1"]] {
        let fixture = Arc::new(Fixture::new("exact"));
        let mut server = FakeServer::start(&fixture).await;
        let faulty = Faulty::new(lanes, 2);
        let (worker, stop) = start(&server, &faulty);
        let (mut socket, _) = server.accept_ready(&fixture, false).await;
        for lease_id in 1..=MAX_LEASES {
            check_update(&mut socket, &fixture, lease_id).await;
            if faulty.panics() == 2 {
                break;
            }
        }
        assert_eq!(faulty.panics(), 2, "no panic was tried");
        check_leaves(&mut socket, worker, stop).await;
    }
}

#[tokio::test]
async fn a_lane_that_keeps_panicking_is_retired_and_the_other_goes_on() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    // Its end is as violent: nothing of that may get out of the thread.
    let faulty = Arc::new(Faulty {
        panics_when_dropped: true,
        ..Arc::into_inner(Faulty::new(&["lane-1"], u32::MAX)).unwrap()
    });
    let (worker, stop) = start(&server, &faulty);
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    let mut lease_id = 0;
    while faulty.panics() < MAX_LANE_FAILURES {
        lease_id += 1;
        assert!(lease_id < MAX_LEASES, "the lane never had work");
        check_update(&mut socket, &fixture, lease_id).await;
    }
    for lease_id in lease_id + 1..lease_id + 20 {
        check_update(&mut socket, &fixture, lease_id).await;
    }
    assert_eq!(faulty.panics(), MAX_LANE_FAILURES);
    assert_eq!(socket.lanes, Some(1));
    check_leaves(&mut socket, worker, stop).await;
}

#[tokio::test]
async fn without_a_lane_the_lease_goes_back_and_the_worker_says_why() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let faulty = Faulty::new(&["lane-0", "lane-1"], u32::MAX);
    let (worker, _stop) = start(&server, &faulty);
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    socket.lease(5, STEP, &EXPONENTS).await;
    let expected = ClientMessage::Release {
        lease_id: LeaseId(5),
        reason: ReleaseReason::EngineFailed,
    };
    assert_eq!(socket.receive().await.0, expected);
    assert_eq!(socket.receive().await.0, ClientMessage::Goodbye);
    let message = "Each of the 2 lanes keeps failing: the lane panicked: cosmic ray";
    let (code, message) = (StopCode::EngineFailed, message.to_owned());
    let outcome = worker.await.unwrap().outcome;
    assert_eq!(outcome, Outcome::Failed { code, message });
    assert_eq!(faulty.panics(), 2 * MAX_LANE_FAILURES);
}

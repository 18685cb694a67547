//! The worker against a server played by hand: what it sends, bit by bit.

use std::future::pending;
use std::sync::Arc;

use crate::fake_server::{FakeServer, FakeSocket, Fixture, TOKEN};
use tabswarm_client_native::{Outcome, Summary, run};
use tabswarm_compute::BatchStats;
use tabswarm_model::digest::Digest;
use tabswarm_model::fixed_point::{MAX_EXPONENT, fitting_exponent};
use tabswarm_protocol::client::{
    Class, ClientMessage, MicroBatchRange, ReleaseReason, Update, WorkerKind,
};
use tabswarm_protocol::server::{IdleReason, ServerMessage, Verdict};
use tabswarm_protocol::{LeaseId, Token, codec};
use tokio::task::JoinHandle;

const STEP: MicroBatchRange = MicroBatchRange { first: 0, count: 3 };
/// One for each of the four tensors.
const EXPONENTS: [i8; 4] = [14, 15, 16, 17];

fn start(config: tabswarm_client_native::WorkerConfig) -> JoinHandle<Summary> {
    tokio::spawn(async { run(config, pending()).await.unwrap() })
}

/// Accepts the update, credits it and says that the run is finished; then the worker leaves.
async fn finish(socket: &mut FakeSocket, update: &Update, worker: JoinHandle<Summary>) -> Summary {
    let verdict = Verdict::Accepted {
        samples: update.samples,
    };
    let lease_id = update.lease_id;
    socket
        .send(&ServerMessage::Receipt { lease_id, verdict }, &[])
        .await;
    let samples = u64::from(update.samples);
    socket.send(&ServerMessage::Credited { samples }, &[]).await;
    let reason = IdleReason::RunFinished;
    socket.send(&ServerMessage::Idle { reason }, &[]).await;
    assert_eq!(socket.receive().await.0, ClientMessage::Goodbye);
    worker.await.unwrap()
}

async fn receive_update(socket: &mut FakeSocket) -> (Update, Vec<u8>) {
    match socket.receive().await {
        (ClientMessage::Update(update), tensor) => (update, tensor),
        (other, _) => panic!("{other:?}"),
    }
}

fn total(stats: impl Iterator<Item = BatchStats>) -> BatchStats {
    stats.fold(BatchStats::default(), |sum, one| BatchStats {
        samples: sum.samples + one.samples,
        loss_q20: sum.loss_q20 + one.loss_q20,
        correct: sum.correct + one.correct,
    })
}

#[tokio::test]
async fn an_update_holds_the_exact_sums_whatever_the_lanes() {
    for lanes in [1, 2, 4] {
        let fixture = Arc::new(Fixture::new("exact"));
        let mut server = FakeServer::start(&fixture).await;
        let worker = start(server.config(lanes));
        let (mut socket, hello) = server.accept_ready(&fixture, false).await;
        assert_eq!(
            (hello.kind, hello.lanes, hello.resume),
            (WorkerKind::Native, lanes, None)
        );
        assert_eq!(hello.classes[0], Class::Portable);

        socket.lease(5, STEP, &EXPONENTS).await;
        let (update, tensor) = receive_update(&mut socket).await;
        assert_eq!(
            tensor,
            fixture.exact_update(0, STEP, &EXPONENTS),
            "{lanes} lanes"
        );
        assert_eq!(update.digest, Digest::of(&tensor).0);
        assert_eq!(
            (update.lease_id, update.done.as_slice()),
            (LeaseId(5), [STEP].as_slice())
        );
        let expected = total(
            fixture
                .gradients(0, STEP)
                .into_iter()
                .map(|(_, stats)| stats),
        );
        assert_eq!(
            (update.samples, update.loss_q20, update.correct),
            (expected.samples, expected.loss_q20, expected.correct)
        );

        let summary = finish(&mut socket, &update, worker).await;
        assert_eq!(summary.outcome, Outcome::Finished);
        assert_eq!(
            summary.to_string(),
            "contributed 12 samples in 1 accepted update (0 rejected), 12 credited; run small at step 4 of 4"
        );
    }
}

#[tokio::test]
async fn f32_updates_are_the_sum_of_the_gradients() {
    let fixture = Arc::new(Fixture::new("f32"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = start(server.config(1));
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    let one = MicroBatchRange { first: 2, count: 1 };
    socket.lease(5, one, &[]).await;
    let (update, tensor) = receive_update(&mut socket).await;
    let (gradient, _) = fixture.gradients(0, one).remove(0);
    assert_eq!(tensor, codec::f32::encode(&gradient));
    assert_eq!(
        finish(&mut socket, &update, worker).await.samples_accepted,
        4
    );
}

#[tokio::test]
async fn an_overflow_names_the_exponents_that_fit() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = start(server.config(1));
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    // The worker knows its speed after the first lease, so the second is one task.
    socket.lease(1, STEP, &EXPONENTS).await;
    let (update, _) = receive_update(&mut socket).await;
    socket.lease(2, STEP, &[MAX_EXPONENT; 4]).await;
    let (message, _) = socket.receive().await;

    let gradients = fixture.gradients(0, STEP);
    let layout = fixture.run.graph().layout;
    let fits = layout.tensors().iter().map(|tensor| {
        let values = gradients
            .iter()
            .flat_map(|(gradient, _)| &gradient[tensor.range()]);
        fitting_exponent(values.fold(0.0, |max: f32, value| max.max(value.abs())))
    });
    let expected = ClientMessage::Overflow {
        lease_id: LeaseId(2),
        fits: fits.collect(),
    };
    assert_eq!(message, expected);
    finish(&mut socket, &update, worker).await;
}

#[tokio::test]
async fn an_unanswered_update_is_sent_again_after_a_reconnect() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = start(server.config(2));
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    socket.lease(5, STEP, &EXPONENTS).await;
    let first = receive_update(&mut socket).await;
    drop(socket);

    let mut socket = server.accept().await;
    let ClientMessage::Hello(hello) = socket.receive().await.0 else {
        panic!("no hello");
    };
    assert_eq!(hello.resume, Some(TOKEN));
    socket.welcome(true).await;
    let again = receive_update(&mut socket).await;
    assert_eq!(again, first);
    let summary = finish(&mut socket, &again.0, worker).await;
    assert_eq!(
        (summary.updates_accepted, summary.samples_credited),
        (1, 12)
    );
}

#[tokio::test]
async fn a_lease_goes_back_when_its_data_cannot_be_had() {
    for fixture in [
        Fixture::new("exact").without_chunks(),
        Fixture::new("exact").with_damaged_chunks(),
    ] {
        let fixture = Arc::new(fixture);
        let mut server = FakeServer::start(&fixture).await;
        let worker = start(server.config(1));
        let (mut socket, _) = server.accept_ready(&fixture, false).await;
        socket.lease(5, STEP, &EXPONENTS).await;
        let expected = ClientMessage::Release {
            lease_id: LeaseId(5),
            reason: ReleaseReason::DataUnavailable,
        };
        assert_eq!(socket.receive().await.0, expected);
        worker.abort();
    }
}

#[tokio::test]
async fn an_impossible_lease_goes_back() {
    for range in [(3, 1), (0, 4), (u32::MAX, 2)] {
        let (first, count) = range;
        let fixture = Arc::new(Fixture::new("exact"));
        let mut server = FakeServer::start(&fixture).await;
        let worker = start(server.config(1));
        let (mut socket, _) = server.accept_ready(&fixture, false).await;
        socket
            .lease(5, MicroBatchRange { first, count }, &EXPONENTS)
            .await;
        let expected = ClientMessage::Release {
            lease_id: LeaseId(5),
            reason: ReleaseReason::DataUnavailable,
        };
        assert_eq!(socket.receive().await.0, expected);
        worker.abort();
    }
}

#[tokio::test]
async fn newer_parameters_do_not_disturb_the_lease_in_progress() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = start(server.config(1));
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    socket.lease(5, STEP, &EXPONENTS).await;
    socket.send_params(&fixture, 1).await;
    let (update, tensor) = receive_update(&mut socket).await;
    assert_eq!(tensor, fixture.exact_update(0, STEP, &EXPONENTS));
    finish(&mut socket, &update, worker).await;
}

#[tokio::test]
async fn nothing_is_sent_that_was_computed_with_damaged_parameters() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = start(server.config(1));
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    // The data is there after this lease: the next one begins at once.
    socket.lease(5, STEP, &EXPONENTS).await;
    let (update, _) = receive_update(&mut socket).await;
    let (lease_id, samples) = (update.lease_id, update.samples);
    let verdict = Verdict::Accepted { samples };
    socket
        .send(&ServerMessage::Receipt { lease_id, verdict }, &[])
        .await;
    let digest = Digest::of(b"of other parameters");
    socket.send_params_as(&fixture, 1, digest).await;
    socket.lease_of(1, 6, STEP, &EXPONENTS).await;
    socket.closes().await;

    let (mut socket, _) = server.accept_ready(&fixture, true).await;
    socket.lease(7, STEP, &EXPONENTS).await;
    let (update, tensor) = receive_update(&mut socket).await;
    assert_eq!(update.lease_id, LeaseId(7));
    assert_eq!(tensor, fixture.exact_update(0, STEP, &EXPONENTS));
    worker.abort();
}

#[tokio::test]
async fn the_join_token_and_the_run_are_passed_on() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let mut config = server.config(1);
    config.run = Some("small".to_owned());
    config.join_token = Some(Token([3; 32]));
    let worker = start(config);
    let mut socket = server.accept().await;
    let ClientMessage::Hello(hello) = socket.receive().await.0 else {
        panic!("no hello");
    };
    assert_eq!(hello.run.as_deref(), Some("small"));
    assert_eq!(hello.join_token, Some(Token([3; 32])));
    worker.abort();
}

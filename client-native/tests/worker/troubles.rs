//! What goes wrong between a worker and a server, and what the owner is told.

use std::future::pending;
use std::sync::{Arc, Mutex};

use crate::fake_server::{FakeServer, Fixture};
use tabswarm_client_core::{State, StopCode};
use tabswarm_client_native::{
    Outcome, Report, ServerAddress, Stop, View, WorkerConfig, run, run_with,
};
use tabswarm_protocol::PROTOCOL_VERSION;
use tabswarm_protocol::encode_frames;
use tabswarm_protocol::server::{RefusalCode, ServerMessage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

#[tokio::test]
async fn another_protocol_version_is_fatal() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = tokio::spawn(run(server.config(1), pending()));
    let mut socket = server.accept().await;
    socket.receive().await;
    let mut frame = encode_frames(&ServerMessage::Ping { nonce: 1 }, &[]).remove(0);
    frame[4..6].copy_from_slice(&(PROTOCOL_VERSION + 1).to_le_bytes());
    socket.send_bytes(frame).await;
    let Outcome::Failed { code, message } = worker.await.unwrap().unwrap().outcome else {
        panic!("not a failure");
    };
    assert_eq!(code, StopCode::VersionMismatch);
    let (newer, own) = (PROTOCOL_VERSION + 1, PROTOCOL_VERSION);
    let expected = format!("The server speaks protocol version {newer}, this worker speaks {own}");
    assert!(message.contains(&expected), "{message}");
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = tokio::spawn(run(server.config(1), pending()));
    let mut socket = server.accept().await;
    socket.receive().await;
    let message = "There is no run named nope.".to_owned();
    let code = RefusalCode::UnknownRun;
    socket
        .send(
            &ServerMessage::Refused {
                code,
                message: message.clone(),
            },
            &[],
        )
        .await;
    let summary = worker.await.unwrap().unwrap();
    let code = StopCode::Refused;
    assert_eq!(summary.outcome, Outcome::Failed { code, message });
    assert!(summary.to_string().ends_with("no run was joined"));
}

/// Keeps why the worker is not connected, the first time that it is not.
#[derive(Debug, Default, Clone)]
struct Trouble {
    reason: Arc<Mutex<Option<String>>>,
    told: Arc<Notify>,
}

impl Report for Trouble {
    fn show(&mut self, view: &View<'_>) {
        if view.status.state == State::Backoff && view.status.retry_in_ms.is_some() {
            self.reason
                .lock()
                .unwrap()
                .get_or_insert(view.status.reason.clone().unwrap());
            self.told.notify_one();
        }
    }
}

async fn trouble_with(address: ServerAddress) -> String {
    let trouble = Trouble::default();
    let (stop, stops) = mpsc::channel(1);
    let worker = tokio::spawn(run_with(
        WorkerConfig::new(address),
        stops,
        Box::new(trouble.clone()),
    ));
    trouble.told.notified().await;
    // It would go on trying, but finishing needs no connection.
    stop.send(Stop::Finish).await.unwrap();
    let summary = worker.await.unwrap().unwrap();
    assert_eq!(summary.outcome, Outcome::Finished);
    let reason = trouble.reason.lock().unwrap().clone();
    reason.unwrap()
}

#[tokio::test]
async fn an_unreachable_server_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: ServerAddress = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let reason = trouble_with(address.clone()).await;
    assert!(
        reason.starts_with(&format!("Cannot reach {address}: ")),
        "{reason}"
    );
}

async fn other_server(answer: &'static [u8]) -> ServerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        assert!(tcp.read(&mut [0; 4_096]).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
    });
    address
}

#[tokio::test]
async fn other_servers_are_recognized() {
    let address = other_server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let reason = trouble_with(address).await;
    assert!(reason.contains("answered with HTTP status 404"), "{reason}");
    let address = other_server(b"SSH-2.0-OpenSSH_10.0\r\n").await;
    let reason = trouble_with(address).await;
    assert!(
        reason.contains("does not speak the WebSocket protocol"),
        "{reason}"
    );
}

#[tokio::test]
async fn unreadable_bytes_end_the_connection_only() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let worker = tokio::spawn(run(server.config(1), pending()));
    let mut socket = server.accept().await;
    socket.receive().await;
    socket
        .send_bytes(b"nonsense nonsense nonsense".to_vec())
        .await;
    server.accept().await;
    worker.abort();
}

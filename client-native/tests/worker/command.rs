//! The command: exit codes, the last line, signals.

use std::process::{Output, Stdio};
use std::sync::Arc;

use crate::fake_server::{FakeServer, Fixture};
use tabswarm_protocol::client::{ClientMessage, MicroBatchRange};
use tabswarm_protocol::server::{RefusalCode, ServerMessage, Verdict};
use tokio::process::{Child, Command};

fn command(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tabswarm-worker"))
        .args(args)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn output(child: Child) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

async fn terminate(child: &Child) {
    let id = child.id().unwrap().to_string();
    let status = Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_bad_url_is_a_usage_error() {
    let (code, _, stderr) = output(command(&["--server", "localhost:8080"])).await;
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("write http://localhost:8080 or https://localhost:8080"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_refused_worker_fails_and_says_why() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let child = command(&["--server", &server.address.to_string(), "--run", "nope"]);
    let mut socket = server.accept().await;
    socket.receive().await;
    let message = "There is no run named nope.".to_owned();
    let code = RefusalCode::UnknownRun;
    socket
        .send(&ServerMessage::Refused { code, message }, &[])
        .await;
    let (code, stdout, stderr) = output(child).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("There is no run named nope."), "{stderr}");
    assert!(
        stdout.starts_with("contributed 0 samples in 0 accepted updates"),
        "{stdout}"
    );
}

#[tokio::test]
async fn a_signal_lets_the_worker_finish_its_lease() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let address = server.address.to_string();
    let child = command(&["--server", &address, "--lanes", "1", "--log-format", "json"]);
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    let range = MicroBatchRange { first: 0, count: 3 };
    socket.lease(5, range, &[14, 15, 16, 17]).await;
    let (ClientMessage::Update(update), _) = socket.receive().await else {
        panic!("no update");
    };
    terminate(&child).await;
    let verdict = Verdict::Accepted { samples: 12 };
    let lease_id = update.lease_id;
    socket
        .send(&ServerMessage::Receipt { lease_id, verdict }, &[])
        .await;
    assert_eq!(socket.receive().await.0, ClientMessage::Goodbye);
    let (code, stdout, stderr) = output(child).await;
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    let last = stderr.lines().last().unwrap();
    assert!(
        last.contains(r#""message":"contributed 12 samples in 1 accepted update (0 rejected)"#),
        "{last}"
    );
    assert!(last.contains(r#""samples_accepted":12"#), "{last}");
}

#[tokio::test]
async fn a_second_signal_ends_the_worker_at_once() {
    let fixture = Arc::new(Fixture::new("exact"));
    let mut server = FakeServer::start(&fixture).await;
    let child = command(&["--server", &server.address.to_string()]);
    let (mut socket, _) = server.accept_ready(&fixture, false).await;
    socket
        .lease(5, MicroBatchRange { first: 0, count: 3 }, &[14, 15, 16, 17])
        .await;
    socket.receive().await;
    // The receipt that the first signal waits for never comes. A signal that comes again before it was
    // handled counts once, so the second is sent until it has taken effect.
    let id = child.id().unwrap().to_string();
    let exit = tokio::spawn(output(child));
    while !exit.is_finished() {
        Command::new("kill")
            .args(["-TERM", &id])
            .stderr(Stdio::null())
            .status()
            .await
            .unwrap();
        tokio::task::yield_now().await;
    }
    let (code, stdout, stderr) = exit.await.unwrap();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("left at once"), "{stderr}");
    assert!(stdout.starts_with("contributed 0 samples"), "{stdout}");
}

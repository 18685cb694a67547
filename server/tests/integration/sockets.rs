//! Workers' sockets: who gets one, and what happens to those who misbehave.

use std::time::Duration;

use tabswarm_protocol::client::{Hello, PauseReason, Update};
use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::server::{RefusalCode, RejectReason, Verdict};
use tabswarm_protocol::{
    ClientMessage, LeaseId, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, ServerMessage, encode_frames,
};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::http::request;
use crate::support::worker::{Worker, hello};
use crate::support::{Server, Site, run_toml};

#[tokio::test(flavor = "multi_thread")]
async fn only_own_and_admitted_pages_may_connect() {
    let site = Site::new("origin");
    let mut config = site.config();
    config.allowed_origins = vec!["https://blog.example".to_owned()];
    let server = Server::start(config).await;
    let own = format!("http://{}", server.public());
    let connect = |origin: &str| {
        let mut request = format!("ws://{}/ws", server.public())
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        connect_async(request)
    };
    for origin in [own.as_str(), "https://blog.example"] {
        assert!(connect(origin).await.is_ok(), "{origin}");
    }
    for origin in ["https://evil.example", "null"] {
        match connect(origin).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("{origin}: {other:?}"),
        }
    }
    let answer = server.get("/ws").await;
    assert_eq!(answer.problem().1, "no_websocket");
    // Pages that may connect may read, others may not.
    for (origin, expected) in [
        ("https://blog.example", "https://blog.example"),
        ("https://evil.example", ""),
    ] {
        let headers = [("origin", origin)];
        let answer = request("GET", server.public(), "/api/runs", &headers, "").await;
        assert_eq!(answer.header("access-control-allow-origin"), expected);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_the_version_before_go_on() {
    let site = Site::new("older");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let mut older = Worker::join_older(server.public()).await;
    assert!(older.work_for(2).await > 0);
    assert_eq!(older.heard_version(), OLDEST_PROTOCOL_VERSION);
    server.stop().await;
}

/// Sends bytes as the first message and returns the refusal.
async fn refused(server: &Server, bytes: impl Into<Message>) -> (RefusalCode, String) {
    let mut worker = Worker::connect(server.public()).await;
    worker.say_raw(bytes.into()).await;
    worker
        .refusal()
        .await
        .expect("a refusal comes before the end")
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_input_is_refused_with_one_message_and_disturbs_nobody() {
    let site = Site::new("malformed");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let (mut honest, _) = Worker::join(server.public(), None).await;
    honest.work_for(1).await;

    let frame = encode_frames(&ClientMessage::Hello(hello(None)), &[]).remove(0);
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = frame.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let (code, message) = refused(&server, changed(4, &9_u16.to_le_bytes())).await;
    assert_eq!(code, RefusalCode::VersionMismatch);
    let own = format!("and {PROTOCOL_VERSION}");
    assert!(
        message.contains(&own) && message.contains("Reload the page"),
        "{message}"
    );
    let goodbye = encode_frames(&ClientMessage::Goodbye, &[]).remove(0);
    let cases: [(&str, Vec<u8>); 8] = [
        ("it starts with", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("checksum", changed(HEADER_BYTES + 1, &[99])),
        ("control part of", changed(8, &u32::MAX.to_le_bytes())),
        ("frame body of", changed(12, &(2_u32 << 20).to_le_bytes())),
        ("message tensor of", changed(16, &u32::MAX.to_le_bytes())),
        ("kind", changed(6, &[7])),
        ("continuation", changed(6, &[1])),
        ("no hello", goodbye),
    ];
    for (part, bytes) in cases {
        let (code, message) = refused(&server, bytes).await;
        assert_eq!(code, RefusalCode::ProtocolError, "{part}");
        assert!(
            message.contains(part),
            "{message:?} should contain {part:?}"
        );
    }
    let (code, message) = refused(&server, "hello?").await;
    assert_eq!(
        (code, message.contains("text message")),
        (RefusalCode::ProtocolError, true)
    );
    // Beyond what a message may have at all: the server reads no further.
    let mut worker = Worker::connect(server.public()).await;
    worker.say_raw(Message::binary(vec![0_u8; 8 << 20])).await;
    assert!(
        worker
            .refusal()
            .await
            .is_none_or(|(code, _)| code == RefusalCode::ProtocolError)
    );

    honest.work_for(1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hellos_out_of_range_are_refused() {
    let site = Site::new("hellos");
    let server = Server::start(site.config()).await;
    let mut cases = vec![(hello(Some("nobody")), RefusalCode::UnknownRun)];
    let changes: [fn(&mut Hello); 4] = [
        |hello| hello.lanes = 0,
        |hello| hello.lanes = u16::MAX,
        |hello| hello.software = "x".repeat(1_000),
        |hello| hello.classes.clear(),
    ];
    for change in changes {
        let mut hello = hello(None);
        change(&mut hello);
        cases.push((hello, RefusalCode::ProtocolError));
    }
    for (hello, expected) in cases {
        let frame = encode_frames(&ClientMessage::Hello(hello.clone()), &[]).remove(0);
        let (code, message) = refused(&server, frame).await;
        assert_eq!(code, expected, "{hello:?}: {message}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so() {
    let site = Site::new("full");
    let mut config = site.config();
    config.max_workers = 1;
    let server = Server::start(config).await;
    let (_first, _) = Worker::join(server.public(), None).await;
    let mut second = Worker::connect(server.public()).await;
    assert_eq!(
        second.refusal().await.map(|(code, _)| code),
        Some(RefusalCode::Full)
    );
    server.stop().await;
}

/// Spoils an update.
type Change = fn(&mut Update, &mut Vec<u8>);

#[tokio::test(flavor = "multi_thread")]
async fn bad_updates_are_rejected_with_a_reason_and_counted_never() {
    let site = Site::new("bad-updates");
    let server = Server::start(site.config()).await;
    server
        .admin("POST", "/admin/runs?start=true", &run_toml("digits", ""))
        .await;
    let (mut worker, _) = Worker::join(server.public(), None).await;
    worker.work_for(1).await;
    let cases: [(RejectReason, Change); 5] = [
        (RejectReason::WrongDigest, |header, _| header.digest[0] ^= 1),
        (RejectReason::Malformed, |header, tensor| {
            tensor.pop();
            header.digest = tabswarm_model::digest::Digest::of(tensor).0;
        }),
        (RejectReason::WrongCounts, |header, _| header.samples += 1),
        (RejectReason::OutOfRange, |header, tensor| {
            *tensor = tabswarm_protocol::codec::exact::encode(&[i32::MIN; 38]);
            header.digest = tabswarm_model::digest::Digest::of(tensor).0;
        }),
        (RejectReason::UnknownLease, |header, _| {
            header.lease_id = LeaseId(1);
        }),
    ];
    for (expected, change) in cases {
        let heard = worker
            .work(|message| matches!(message, ServerMessage::Lease(_)))
            .await;
        let Some((ServerMessage::Lease(lease), _)) = heard else {
            panic!("no lease before {expected:?}");
        };
        let (mut header, mut tensor) = worker.update(&lease);
        change(&mut header, &mut tensor);
        let sent = header.lease_id;
        worker
            .say_with(&ClientMessage::Update(header), &tensor)
            .await;
        // Answers to earlier ones come when they are stored.
        let heard = worker
            .work(|message| matches!(message, ServerMessage::Receipt { lease_id, .. } if *lease_id == sent))
            .await;
        let Some((ServerMessage::Receipt { verdict, .. }, _)) = heard else {
            panic!("no receipt for {expected:?}");
        };
        assert_eq!(verdict, Verdict::Rejected(expected));
        if expected == RejectReason::UnknownLease {
            let (header, tensor) = worker.update(&lease);
            worker
                .say_with(&ClientMessage::Update(header), &tensor)
                .await;
        }
    }
    worker.work_for(1).await;
    let answer = server.admin("GET", "/admin/workers", "").await.json();
    let workers = &answer["workers"];
    assert!(
        workers[0]["updates_rejected"].as_u64() >= Some(4),
        "{workers}"
    );
    assert_eq!(workers[0]["run"], "digits");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reads_nothing_is_cut_and_its_work_goes_on() {
    let site = Site::new("slow");
    let mut config = site.config();
    config.write_timeout = Duration::from_secs(1);
    let server = Server::start(config).await;
    // 24 MB of parameters: more than the system's buffers take.
    let toml = run_toml("large", "")
        .replace("units = 4", "units = 666666")
        .replace(
            "{ kind = \"adam\", learning_rate = 0.01 }",
            "{ kind = \"sgd\", learning_rate = 0.01 }",
        );
    let created = server.admin("POST", "/admin/runs?start=true", &toml).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let (mut slow, _) = Worker::join(server.public(), None).await;
    let Some((ServerMessage::Run(assignment), _)) = slow.hear().await else {
        panic!("no run");
    };
    slow.say(&ClientMessage::Ready {
        run_id: assignment.run_id,
    })
    .await;
    let mut cut = false;
    for _ in 0..200 {
        let answer = server.admin("GET", "/admin/workers", "").await.json();
        cut = answer["workers"][0]["connected"] == false;
        if cut {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(cut, "the slow worker is still connected");
    // Others are served meanwhile.
    let (mut other, _) = Worker::join(server.public(), None).await;
    other
        .say(&ClientMessage::Pause {
            reason: PauseReason::User,
        })
        .await;
    server.stop().await;
}

//! Golden bytes: what was once on the wire stays as it was.
//!
//! Every kind of message has a file in `tests/golden` with the frames of all its samples. A difference means
//! that peers of the same protocol version no longer understand each other: undo the change, or raise
//! [`PROTOCOL_VERSION`](tabswarm_protocol::PROTOCOL_VERSION) and write the files anew with
//! `TABSWARM_WRITE_GOLDEN=1 cargo test -p tabswarm-protocol golden`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tabswarm_protocol::client::{Hello, ReleaseReason};
use tabswarm_protocol::codec::{exact, f32 as plain};
use tabswarm_protocol::limits::MAX_TENSOR_BYTES;
use tabswarm_protocol::{
    ClientMessage, Decoder, FrameError, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, ServerMessage,
    encode_frames, stamp,
};

use crate::common::{
    Sample, client_samples, decode_in_pieces, exact_values, plain_values, server_samples,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn check(name: &str, bytes: &[u8]) {
    let path = folder().join(format!("{name}.bin"));
    if std::env::var_os("TABSWARM_WRITE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let same = golden.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    assert!(
        golden == bytes,
        "{name} differs from its golden file at byte {same} ({} bytes there, {} now): \
         peers of the same version would not understand it",
        golden.len(),
        bytes.len(),
    );
}

fn check_messages<M>(samples: Vec<Sample<M>>)
where
    M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    for Sample { name, messages } in samples {
        let frames = messages
            .iter()
            .flat_map(|(m, tensor)| encode_frames(m, tensor));
        let bytes = frames.collect::<Vec<_>>().concat();
        check(name, &bytes);
        let mut decoder = Decoder::new(MAX_TENSOR_BYTES);
        let (raw, outcome) = decode_in_pieces(&mut decoder, &bytes, []);
        assert_eq!(outcome, Ok(()), "{name}");
        let read: Vec<(M, Vec<u8>)> = raw
            .into_iter()
            .map(|raw| (raw.control().unwrap(), raw.tensor))
            .collect();
        assert_eq!(read, messages, "{name}");
    }
}

/// Fails to compile when a variant is added: give it samples, so that it gets golden bytes.
fn client_name(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Hello(_) => "client-hello",
        ClientMessage::Ready { .. } => "client-ready",
        ClientMessage::Pause { .. } => "client-pause",
        ClientMessage::Update(_) => "client-update",
        ClientMessage::Overflow { .. } => "client-overflow",
        ClientMessage::Release { .. } => "client-release",
        ClientMessage::Pong { .. } => "client-pong",
        ClientMessage::Goodbye => "client-goodbye",
        ClientMessage::Lanes { .. } => "client-lanes",
    }
}

/// As [`client_name`].
fn server_name(message: &ServerMessage) -> &'static str {
    match message {
        ServerMessage::Welcome(_) => "server-welcome",
        ServerMessage::Run(_) => "server-run",
        ServerMessage::Params(_) => "server-params",
        ServerMessage::Lease(_) => "server-lease",
        ServerMessage::Receipt { .. } => "server-receipt",
        ServerMessage::Revoke { .. } => "server-revoke",
        ServerMessage::Credited { .. } => "server-credited",
        ServerMessage::Idle { .. } => "server-idle",
        ServerMessage::Ping { .. } => "server-ping",
        ServerMessage::Restarting { .. } => "server-restarting",
        ServerMessage::Throttle { .. } => "server-throttle",
        ServerMessage::Refused { .. } => "server-refused",
    }
}

#[test]
fn golden_client_messages() {
    check_messages(client_samples());
}

#[test]
fn golden_server_messages() {
    check_messages(server_samples());
}

/// Version 2 did not know these.
fn is_newer_than_version_2(message: &ClientMessage) -> bool {
    let reason = ReleaseReason::Diverged;
    matches!(message, ClientMessage::Lanes { .. })
        || matches!(message, ClientMessage::Release { reason: given, .. } if *given == reason)
}

/// What workers of the version before said is still understood; the files were written by it.
#[test]
fn messages_of_the_version_before_are_read() {
    for Sample { name, mut messages } in client_samples() {
        messages.retain(|(message, _)| !is_newer_than_version_2(message));
        if messages.is_empty() {
            continue;
        }
        let path = folder()
            .with_file_name("golden-v2")
            .join(format!("{name}.bin"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let strict = decode_in_pieces(&mut Decoder::new(MAX_TENSOR_BYTES), &bytes, []);
        assert!(
            strict.1.is_err(),
            "{name}: a worker speaks its own version only"
        );
        let mut decoder = Decoder::for_server(MAX_TENSOR_BYTES);
        let (raw, outcome) = decode_in_pieces(&mut decoder, &bytes, [1, 5, 700]);
        assert_eq!((outcome, decoder.version()), (Ok(()), 2), "{name}");
        let read = raw.into_iter().map(|raw| {
            let message = ClientMessage::read(&raw, 2).unwrap();
            (message, raw.tensor)
        });
        let expected = messages.into_iter().map(|(message, tensor)| match message {
            ClientMessage::Hello(hello) => {
                let older = Hello {
                    memory_mib: 0,
                    gpu: false,
                    ..hello
                };
                (ClientMessage::Hello(older), tensor)
            }
            other => (other, tensor),
        });
        assert_eq!(
            read.collect::<Vec<_>>(),
            expected.collect::<Vec<_>>(),
            "{name}"
        );
    }
}

/// Frames of the version before carry its number and a right checksum; a stream does not change its version.
#[test]
fn frames_are_stamped_for_the_version_before() {
    let frame = encode_frames(&ClientMessage::Goodbye, &[]).remove(0);
    let older = stamp(&frame, OLDEST_PROTOCOL_VERSION);
    let mut decoder = Decoder::for_server(0);
    let mut messages = Vec::new();
    assert_eq!(decoder.push(&older, &mut messages), Ok(()));
    assert_eq!(messages.len(), 1);
    let mixed = FrameError::Version {
        expected: OLDEST_PROTOCOL_VERSION,
        got: PROTOCOL_VERSION,
    };
    assert_eq!(decoder.push(&frame, &mut messages), Err(mixed));
    assert_eq!(stamp(&older, PROTOCOL_VERSION), frame);
}

#[test]
fn golden_codecs() {
    check("codec-exact", &exact::encode(&exact_values()));
    check("codec-f32", &plain::encode(&plain_values()));
}

#[test]
fn golden_files_are_those_of_the_samples() {
    let mut expected = BTreeSet::from(["codec-exact".to_owned(), "codec-f32".to_owned()]);
    let (client, server) = (client_samples(), server_samples());
    assert_eq!(
        (client.len(), server.len()),
        (9, 12),
        "a variant has no sample"
    );
    for sample in client {
        assert!(
            sample
                .messages
                .iter()
                .all(|(m, _)| client_name(m) == sample.name)
        );
        expected.insert(sample.name.to_owned());
    }
    for sample in server {
        assert!(
            sample
                .messages
                .iter()
                .all(|(m, _)| server_name(m) == sample.name)
        );
        expected.insert(sample.name.to_owned());
    }
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let there = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(there.collect::<BTreeSet<_>>(), expected);
}

//! `docs/protocol.md` says what the code does: its limits, its indices and its examples.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use serde::Serialize;
use tabswarm_protocol::client::{Class, PauseReason, ReleaseReason, WorkerKind};
use tabswarm_protocol::codec::exact;
use tabswarm_protocol::server::{IdleReason, RefusalCode, RejectReason, RevokeReason};
use tabswarm_protocol::{ClientMessage, PROTOCOL_VERSION, RunId, encode_frames, limits};

use crate::common::{client_samples, server_samples};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    fs::read_to_string(path).unwrap()
}

/// The cells of all table rows, without code marks.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| {
        let cells = row.trim_end_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    })
    .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

fn name_of(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

#[test]
fn the_page_has_the_limits_of_the_code() {
    let expected = BTreeMap::from([
        ("MAX_FRAME_BODY_BYTES", limits::MAX_FRAME_BODY_BYTES),
        ("MAX_CONTROL_BYTES", limits::MAX_CONTROL_BYTES),
        ("MAX_TENSOR_BYTES", limits::MAX_TENSOR_BYTES),
        ("MAX_UPDATE_RANGES", limits::MAX_UPDATE_RANGES),
        ("MAX_TENSORS", limits::MAX_TENSORS),
        ("MAX_SOFTWARE_BYTES", limits::MAX_SOFTWARE_BYTES),
        ("MAX_RUN_NAME_BYTES", limits::MAX_RUN_NAME_BYTES),
        ("MAX_LANES", usize::from(limits::MAX_LANES)),
        ("EXACT_BLOCK_VALUES", limits::EXACT_BLOCK_VALUES),
    ]);
    let page = page();
    let rows = rows(&page);
    let limits = rows
        .iter()
        .filter(|row| row[0].contains('_') && row[0] == row[0].to_uppercase());
    let documented: BTreeMap<&str, usize> = limits
        .map(|row| (row[0].as_str(), row[1].parse().unwrap()))
        .collect();
    assert_eq!(documented, expected);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/limits.rs");
    let n_constants = fs::read_to_string(source)
        .unwrap()
        .matches("pub const ")
        .count();
    assert_eq!(
        n_constants,
        expected.len(),
        "a limit is missing in this test"
    );
}

#[test]
fn the_page_has_the_version_and_the_indices_of_all_messages() {
    let page = page();
    assert!(page.starts_with(&format!("# Protocol, version {PROTOCOL_VERSION}\n")));
    let rows = rows(&page);
    let has = |index: u8, name: &str| {
        let row = [index.to_string(), name.to_owned()];
        assert!(
            rows.iter()
                .any(|cells| cells.len() == 4 && cells[..2] == row),
            "{row:?}"
        );
    };
    for (message, _) in client_samples().iter().flat_map(|sample| &sample.messages) {
        has(
            postcard::to_allocvec(message).unwrap()[0],
            &name_of(message),
        );
    }
    for (message, _) in server_samples().iter().flat_map(|sample| &sample.messages) {
        has(
            postcard::to_allocvec(message).unwrap()[0],
            &name_of(message),
        );
    }
}

fn check_enum<T: Serialize + Debug>(rows: &[Vec<String>], name: &str, variants: &[T]) {
    let row = rows.iter().find(|row| row[0] == name).unwrap();
    let documented: Vec<&String> = row[1..].iter().filter(|cell| !cell.is_empty()).collect();
    let names: Vec<String> = variants.iter().map(name_of).collect();
    assert_eq!(documented, names.iter().collect::<Vec<_>>(), "{name}");
    for (index, variant) in (0_u8..).zip(variants) {
        assert_eq!(
            postcard::to_allocvec(variant).unwrap(),
            [index],
            "{variant:?}"
        );
    }
}

#[test]
fn the_page_has_the_indices_of_all_enums() {
    use PauseReason as P;
    use RefusalCode as C;
    use RejectReason as R;
    let page = page();
    let rows = rows(&page);
    check_enum(
        &rows,
        "WorkerKind",
        &[WorkerKind::Browser, WorkerKind::Native],
    );
    check_enum(&rows, "Class", &[Class::Portable, Class::Fused]);
    let pauses = [
        P::User,
        P::Hidden,
        P::OnBattery,
        P::BatteryLow,
        P::DataCap,
        P::EngineRestart,
    ];
    check_enum(&rows, "PauseReason", &pauses);
    let releases = [
        ReleaseReason::Paused,
        ReleaseReason::DataUnavailable,
        ReleaseReason::EngineFailed,
        ReleaseReason::Diverged,
    ];
    check_enum(&rows, "ReleaseReason", &releases);
    let rejections = [
        R::Malformed,
        R::OutOfRange,
        R::WrongDigest,
        R::WrongCounts,
        R::UnknownLease,
        R::Superseded,
        R::RunInactive,
        R::Stale,
    ];
    check_enum(&rows, "RejectReason", &rejections);
    let revocations = [
        RevokeReason::StepRestarted,
        RevokeReason::Expired,
        RevokeReason::RunPaused,
        RevokeReason::RunStopped,
    ];
    check_enum(&rows, "RevokeReason", &revocations);
    let idles = [
        IdleReason::NoRun,
        IdleReason::StepTail,
        IdleReason::RunPaused,
        IdleReason::RunFinished,
        IdleReason::RunStopped,
        IdleReason::ServerStorage,
        IdleReason::Requirements,
    ];
    check_enum(&rows, "IdleReason", &idles);
    let refusals = [
        C::VersionMismatch,
        C::ProtocolError,
        C::UnknownRun,
        C::Unsupported,
        C::Unauthorized,
        C::Full,
        C::TimedOut,
        C::TooSlow,
        C::Replaced,
    ];
    check_enum(&rows, "RefusalCode", &refusals);
}

#[test]
fn the_examples_of_the_page_are_right() {
    let page = page();
    let pong = encode_frames(&ClientMessage::Pong { nonce: 300 }, &[]).concat();
    let ready = encode_frames(&ClientMessage::Ready { run_id: RunId(3) }, &[]).concat();
    let block = exact::encode(&[3, -1, 0, 2]);
    for bytes in [pong, ready, block] {
        let line = hex(&bytes);
        assert!(page.lines().any(|other| other == line), "{line}");
    }
}

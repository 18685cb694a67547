//! At least one message of every kind, for all tests of this folder.

use tabswarm_protocol::client::{
    Class, Hello, MicroBatchRange, PauseReason, ReleaseReason, Update, WorkerKind,
};
use tabswarm_protocol::codec::{exact, f32 as plain};
use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::server::{
    IdleReason, Lease, LeaseKind, ParamsHeader, RefusalCode, RejectReason, RevokeReason,
    RunAssignment, Verdict, Welcome,
};
use tabswarm_protocol::{
    ClientMessage, Decoder, FrameError, LeaseId, PROTOCOL_VERSION, ParamVersion, RawMessage, RunId,
    ServerMessage, Token, WorkerId, encode_frames,
};

/// Messages of one kind with their tensors, under the name of their golden file.
#[derive(Debug)]
pub(crate) struct Sample<M> {
    pub(crate) name: &'static str,
    pub(crate) messages: Vec<(M, Vec<u8>)>,
}

fn sample<M>(name: &'static str, messages: Vec<M>) -> Sample<M> {
    let messages = messages.into_iter().map(|m| (m, Vec::new())).collect();
    Sample { name, messages }
}

/// Values whose encoding has several bit widths, a partial block and both extremes.
pub(crate) fn exact_values() -> Vec<i32> {
    let wave = (0..300).map(|n: i32| (n % 7 - 3) * (n / 50));
    wave.chain([i32::MIN, i32::MAX, 0, -1, 1]).collect()
}

/// Values of both signs, zeros of both signs, a subnormal and the largest.
pub(crate) fn plain_values() -> Vec<f32> {
    vec![0.0, -0.0, 1.0, -1.5, 0.1, f32::from_bits(1), f32::MAX]
}

fn hello() -> Hello {
    Hello {
        kind: WorkerKind::Browser,
        software: "client 1.2.3".into(),
        run: None,
        resume: None,
        join_token: None,
        lanes: 4,
        classes: vec![Class::Portable],
        memory_mib: 0,
        gpu: false,
    }
}

fn hellos() -> Vec<ClientMessage> {
    let full = Hello {
        kind: WorkerKind::Native,
        software: "größer".into(),
        run: Some("mnist-mlp".into()),
        resume: Some(Token(std::array::from_fn(|n| n as u8))),
        join_token: Some(Token([0xee; 32])),
        lanes: 1_024,
        classes: vec![Class::Portable, Class::Fused],
        memory_mib: 8_192,
        gpu: true,
    };
    [hello(), full]
        .into_iter()
        .map(ClientMessage::Hello)
        .collect()
}

fn range(first: u32, count: u32) -> MicroBatchRange {
    MicroBatchRange { first, count }
}

fn update(tensor: &[u8]) -> ClientMessage {
    ClientMessage::Update(Update {
        lease_id: LeaseId(77),
        done: vec![range(0, 2), range(300, 1)],
        samples: 96,
        loss_q20: 231_000_000,
        correct: 12,
        compute_us: 41_500,
        digest: std::array::from_fn(|n| (tensor.len() + n) as u8),
    })
}

fn updates() -> Vec<(ClientMessage, Vec<u8>)> {
    let tensors = [
        exact::encode(&exact_values()),
        plain::encode(&plain_values()),
        vec![],
    ];
    tensors.into_iter().map(|t| (update(&t), t)).collect()
}

/// All that a worker may say.
pub(crate) fn client_samples() -> Vec<Sample<ClientMessage>> {
    use PauseReason::{BatteryLow, DataCap, EngineRestart, Hidden, OnBattery, User};
    use ReleaseReason::{DataUnavailable, Diverged, EngineFailed, Paused};
    let pause = |reason| ClientMessage::Pause { reason };
    let release = |reason| ClientMessage::Release {
        lease_id: LeaseId(78),
        reason,
    };
    let pauses = [User, Hidden, OnBattery, BatteryLow, DataCap, EngineRestart];
    let releases = [Paused, DataUnavailable, EngineFailed, Diverged];
    let overflow = ClientMessage::Overflow {
        lease_id: LeaseId(u64::MAX),
        fits: vec![-128, -1, 0, 24, 127],
    };
    let ready = ClientMessage::Ready { run_id: RunId(300) };
    let updates = Sample {
        name: "client-update",
        messages: updates(),
    };
    vec![
        sample("client-hello", hellos()),
        sample("client-ready", vec![ready]),
        sample("client-pause", pauses.map(pause).into()),
        updates,
        sample("client-overflow", vec![overflow]),
        sample("client-release", releases.map(release).into()),
        sample("client-pong", vec![ClientMessage::Pong { nonce: 1 << 40 }]),
        sample("client-goodbye", vec![ClientMessage::Goodbye]),
        sample("client-lanes", vec![ClientMessage::Lanes { lanes: 300 }]),
    ]
}

fn welcome() -> ServerMessage {
    ServerMessage::Welcome(Welcome {
        worker_id: WorkerId(9),
        resume_token: Token([7; 32]),
        resumed: true,
        software: "server 1.2.3".into(),
        heartbeat_ms: 5_000,
        credited_samples: 123_456_789_012,
    })
}

fn assignment() -> ServerMessage {
    ServerMessage::Run(RunAssignment {
        run_id: RunId(3),
        run_json: "{\"name\":\"mnist-mlp\"}".into(),
        dataset: [0xd5; 32],
    })
}

fn params() -> (ServerMessage, Vec<u8>) {
    let header = ParamsHeader {
        run_id: RunId(3),
        version: ParamVersion(4_690),
        digest: [0x5d; 32],
    };
    (
        ServerMessage::Params(header),
        plain::encode(&plain_values()),
    )
}

fn lease(exponents: Vec<i8>, kind: LeaseKind) -> ServerMessage {
    ServerMessage::Lease(Lease {
        lease_id: LeaseId(77),
        run_id: RunId(3),
        version: ParamVersion(128),
        range: range(5, 64),
        exponents,
        deadline_ms: 30_000,
        batch: 130,
        kind,
    })
}

fn receipts() -> Vec<ServerMessage> {
    use RejectReason::{
        Malformed, OutOfRange, RunInactive, Stale, Superseded, UnknownLease, WrongCounts,
        WrongDigest,
    };
    let rejected = [
        Malformed,
        OutOfRange,
        WrongDigest,
        WrongCounts,
        UnknownLease,
        Superseded,
        RunInactive,
        Stale,
    ]
    .map(Verdict::Rejected);
    let accepted = Verdict::Accepted { samples: 2_048 };
    let receipt = |verdict| ServerMessage::Receipt {
        lease_id: LeaseId(77),
        verdict,
    };
    std::iter::once(accepted)
        .chain(rejected)
        .map(receipt)
        .collect()
}

fn revokes() -> Vec<ServerMessage> {
    use RevokeReason::{Expired, RunPaused, RunStopped, StepRestarted};
    let lease_id = LeaseId(77);
    [StepRestarted, Expired, RunPaused, RunStopped]
        .map(|reason| ServerMessage::Revoke { lease_id, reason })
        .into()
}

fn idles() -> Vec<ServerMessage> {
    use IdleReason::{
        NoRun, Requirements, RunFinished, RunPaused, RunStopped, ServerStorage, StepTail,
    };
    [
        NoRun,
        StepTail,
        RunPaused,
        RunFinished,
        RunStopped,
        ServerStorage,
        Requirements,
    ]
    .map(|reason| ServerMessage::Idle { reason })
    .into()
}

fn refusals() -> Vec<ServerMessage> {
    use RefusalCode::{
        Full, ProtocolError, Replaced, TimedOut, TooSlow, Unauthorized, UnknownRun, Unsupported,
        VersionMismatch,
    };
    let codes = [
        VersionMismatch,
        ProtocolError,
        UnknownRun,
        Unsupported,
        Unauthorized,
        Full,
        TimedOut,
        TooSlow,
        Replaced,
    ];
    codes
        .map(|code| ServerMessage::Refused {
            code,
            message: "Try again later.".into(),
        })
        .into()
}

/// All that the server may say.
pub(crate) fn server_samples() -> Vec<Sample<ServerMessage>> {
    let params = Sample {
        name: "server-params",
        messages: vec![params()],
    };
    let restarting = ServerMessage::Restarting {
        reconnect_in_ms: 2_000,
        try_for_ms: 3_600_000,
    };
    let throttle = ServerMessage::Throttle { retry_in_ms: 500 };
    let leases = vec![
        lease(vec![24, -100, 100, 0], LeaseKind::Step),
        lease(vec![], LeaseKind::Batch),
        lease(vec![1], LeaseKind::Shard { inner_steps: 300 }),
    ];
    vec![
        sample("server-welcome", vec![welcome()]),
        sample("server-run", vec![assignment()]),
        params,
        sample("server-lease", leases),
        sample("server-receipt", receipts()),
        sample("server-revoke", revokes()),
        sample(
            "server-credited",
            vec![ServerMessage::Credited { samples: u64::MAX }],
        ),
        sample("server-idle", idles()),
        sample("server-ping", vec![ServerMessage::Ping { nonce: 127 }]),
        sample("server-restarting", vec![restarting]),
        sample("server-throttle", vec![throttle]),
        sample("server-refused", refusals()),
    ]
}

/// Every sample message as the bytes of its frames.
pub(crate) fn encoded_samples() -> Vec<Vec<u8>> {
    let client = client_samples().into_iter().flat_map(|s| s.messages);
    let server = server_samples().into_iter().flat_map(|s| s.messages);
    let client = client.map(|(message, tensor)| encode_frames(&message, &tensor).concat());
    let server = server.map(|(message, tensor)| encode_frames(&message, &tensor).concat());
    client.chain(server).collect()
}

const CHECKSUM_AT: usize = 20;

/// A frame with any header and the right checksum.
pub(crate) fn frame(kind: u8, control: &[u8], tensor: &[u8], message_tensor_len: u32) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut bytes = b"TSWM".to_vec();
    bytes.extend(PROTOCOL_VERSION.to_le_bytes());
    bytes.extend([kind, 0]);
    bytes.extend(word(control.len()));
    bytes.extend(word(tensor.len()));
    bytes.extend(message_tensor_len.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(control);
    bytes.extend(tensor);
    with_checksum(bytes)
}

/// The frame with the checksum that its header and body have.
pub(crate) fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CHECKSUM_AT]);
    hasher.update(&bytes[HEADER_BYTES..]);
    bytes[CHECKSUM_AT..HEADER_BYTES].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

/// The bytes with some of them replaced.
pub(crate) fn edited(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// Pushes bytes in pieces of the given lengths (the last piece takes the rest).
pub(crate) fn decode_in_pieces(
    decoder: &mut Decoder,
    bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
) -> (Vec<RawMessage>, Result<(), FrameError>) {
    let mut messages = Vec::new();
    let mut rest = bytes;
    for piece in pieces {
        let (part, behind) = rest.split_at(piece.min(rest.len()));
        if let Err(error) = decoder.push(part, &mut messages) {
            return (messages, Err(error));
        }
        rest = behind;
    }
    let outcome = decoder.push(rest, &mut messages);
    (messages, outcome)
}

/// A generator of test inputs (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % (bound as u64).max(1)) as usize
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next_u64().to_le_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}

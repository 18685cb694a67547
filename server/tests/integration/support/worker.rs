//! A worker made by hand: it speaks the protocol, but its gradients are a made-up function of version,
//! micro-batch and parameter, so that any split of the work gives the same sums.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{Class, Hello, Update, WorkerKind};
use tabswarm_protocol::codec::exact;
use tabswarm_protocol::frame::HEADER_BYTES;
use tabswarm_protocol::server::{Lease, RefusalCode, Verdict};
use tabswarm_protocol::{
    ClientMessage, Decoder, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, ParamVersion, RawMessage,
    ServerMessage, Token, encode_frames, stamp,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::TRAIN_SAMPLES;

const PATIENCE: Duration = Duration::from_mins(1);
/// Larger exponents are answered with an overflow, as honest gradients do in the first step.
const LARGEST_EXPONENT: i8 = 20;

pub(crate) struct Worker {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    decoder: Decoder,
    raw: VecDeque<RawMessage>,
    run: Option<Run>,
    /// Of the newest parameters.
    pub(crate) params: Option<(ParamVersion, Digest)>,
    version: u16,
}

/// What the server said last.
pub(crate) type Said = Option<(ServerMessage, Vec<u8>)>;

pub(crate) fn hello(run: Option<&str>) -> Hello {
    Hello {
        kind: WorkerKind::Native,
        software: "made by hand".to_owned(),
        run: run.map(ToOwned::to_owned),
        resume: None,
        join_token: None,
        lanes: 1,
        classes: vec![Class::Portable],
        memory_mib: 0,
        gpu: false,
    }
}

impl Worker {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await.unwrap();
        Self {
            socket,
            decoder: Decoder::new(usize::MAX),
            raw: VecDeque::new(),
            run: None,
            params: None,
            version: PROTOCOL_VERSION,
        }
    }

    /// One that speaks the version before, and is welcome.
    pub(crate) async fn join_older(address: SocketAddr) -> Self {
        let mut worker = Self::connect(address).await;
        worker.version = OLDEST_PROTOCOL_VERSION;
        // It takes both, so that a test sees what the server answers in.
        worker.decoder = Decoder::for_server(usize::MAX);
        // Its hello lacks the last two fields, of one byte each here.
        let mut frame = encode_frames(&ClientMessage::Hello(hello(None)), &[]).remove(0);
        let control_len = u32::try_from(frame.len() - HEADER_BYTES - 2).unwrap();
        frame.truncate(frame.len() - 2);
        frame[8..12].copy_from_slice(&control_len.to_le_bytes());
        worker
            .say_raw(Message::binary(stamp(&frame, worker.version)))
            .await;
        let heard = worker.hear().await;
        assert!(
            matches!(heard, Some((ServerMessage::Welcome(_), _))),
            "{heard:?}"
        );
        worker
    }

    /// The version in which the server speaks to it.
    pub(crate) fn heard_version(&self) -> u16 {
        self.decoder.version()
    }

    /// Connects, says hello and is welcome.
    pub(crate) async fn join(address: SocketAddr, run: Option<&str>) -> (Self, Token) {
        let mut worker = Self::connect(address).await;
        worker.say(&ClientMessage::Hello(hello(run))).await;
        match worker.hear().await {
            Some((ServerMessage::Welcome(welcome), _)) => (worker, welcome.resume_token),
            other => panic!("not welcome: {other:?}"),
        }
    }

    pub(crate) async fn say(&mut self, message: &ClientMessage) {
        self.say_with(message, &[]).await;
    }

    pub(crate) async fn say_with(&mut self, message: &ClientMessage, tensor: &[u8]) {
        for frame in encode_frames(message, tensor) {
            let frame = stamp(&frame, self.version);
            self.say_raw(Message::binary(frame)).await;
        }
    }

    /// Sends something; the server may have closed already.
    pub(crate) async fn say_raw(&mut self, message: Message) {
        drop(timeout(PATIENCE, self.socket.send(message)).await.unwrap());
    }

    /// The next message; none when the server closed.
    pub(crate) async fn hear(&mut self) -> Said {
        loop {
            if let Some(raw) = self.raw.pop_front() {
                return Some((raw.control().unwrap(), raw.tensor));
            }
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Binary(bytes))) => {
                    let mut messages = Vec::new();
                    self.decoder.push(&bytes, &mut messages).unwrap();
                    self.raw.extend(messages);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(_) | Err(_)) | None => return None,
            }
        }
    }

    /// Hears until the connection ends; returns the refusal, if there was one.
    pub(crate) async fn refusal(&mut self) -> Option<(RefusalCode, String)> {
        let mut refusal = None;
        while let Some((message, _)) = self.hear().await {
            if let ServerMessage::Refused { code, message } = message {
                refusal = Some((code, message));
            }
        }
        refusal
    }

    /// Works until `is_enough` says so of a message that was heard, or the server closes.
    pub(crate) async fn work(&mut self, mut is_enough: impl FnMut(&ServerMessage) -> bool) -> Said {
        loop {
            let (message, tensor) = self.hear().await?;
            if is_enough(&message) {
                return Some((message, tensor));
            }
            match message {
                ServerMessage::Run(assignment) => {
                    self.run = Some(Run::from_json(&assignment.run_json).unwrap());
                    self.say(&ClientMessage::Ready {
                        run_id: assignment.run_id,
                    })
                    .await;
                }
                ServerMessage::Params(header) => {
                    assert_eq!(Digest::of(&tensor), Digest(header.digest));
                    self.params = Some((header.version, Digest(header.digest)));
                }
                ServerMessage::Lease(lease) => self.answer(&lease).await,
                ServerMessage::Ping { nonce } => self.say(&ClientMessage::Pong { nonce }).await,
                _ => {}
            }
        }
    }

    /// Works until `count` updates were accepted; returns their samples.
    pub(crate) async fn work_for(&mut self, count: u32) -> u64 {
        let (mut accepted, mut samples) = (0, 0);
        let heard = self
            .work(|message| {
                if let ServerMessage::Receipt {
                    verdict: Verdict::Accepted { samples: of },
                    ..
                } = message
                {
                    accepted += 1;
                    samples += u64::from(*of);
                }
                accepted >= count
            })
            .await;
        assert!(
            heard.is_some(),
            "the server closed after {accepted} accepted updates"
        );
        samples
    }

    async fn answer(&mut self, lease: &Lease) {
        assert_eq!(self.params.map(|(version, _)| version), Some(lease.version));
        if lease
            .exponents
            .iter()
            .any(|&exponent| exponent > LARGEST_EXPONENT)
        {
            let fits = lease
                .exponents
                .iter()
                .map(|&e| e.min(LARGEST_EXPONENT))
                .collect();
            self.say(&ClientMessage::Overflow {
                lease_id: lease.lease_id,
                fits,
            })
            .await;
            return;
        }
        let (header, tensor) = self.update(lease);
        self.say_with(&ClientMessage::Update(header), &tensor).await;
    }

    /// The made-up answer to a lease.
    pub(crate) fn update(&self, lease: &Lease) -> (Update, Vec<u8>) {
        let run = self.run.as_ref().unwrap();
        let plan = BatchPlan::new(run, TRAIN_SAMPLES);
        let samples = plan.samples_of(
            plan.step(lease.version.0),
            lease.range.first,
            lease.range.count,
        );
        let mut sums = vec![0_i32; run.graph().layout.len()];
        for micro_batch in lease.range.first..lease.range.first + lease.range.count {
            for (idx, sum) in (0_u64..).zip(&mut sums) {
                let mixed = (lease.version.0 * 31 + u64::from(micro_batch) * 17 + idx * 7) % 2_001;
                *sum += (i32::try_from(mixed).unwrap() - 1_000) << 8;
            }
        }
        let tensor = exact::encode(&sums);
        let header = Update {
            lease_id: lease.lease_id,
            done: vec![lease.range],
            samples,
            loss_q20: i64::from(samples) << 20,
            correct: 0,
            compute_us: 10,
            digest: Digest::of(&tensor).0,
        };
        (header, tensor)
    }
}

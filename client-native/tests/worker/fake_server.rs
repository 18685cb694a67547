//! A server of one small run, played by hand: HTTP answers by itself, sockets do what a test says.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tabswarm_client_native::{ServerAddress, WorkerConfig};
use tabswarm_compute::{Batch, BatchStats, Engine, LeaseAccumulator};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::dataset::{Chunk, InputKind, Manifest, TargetKind};
use tabswarm_model::digest::Digest;
use tabswarm_model::samples::{MicroBatch, SampleStore};
use tabswarm_protocol::client::{Hello, MicroBatchRange};
use tabswarm_protocol::server::{Lease, LeaseKind, ParamsHeader, RunAssignment, Welcome};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, ParamVersion, RunId, ServerMessage, Token, WorkerId,
    encode_frames,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

pub(crate) const RUN_ID: RunId = RunId(7);
pub(crate) const TOKEN: Token = Token([9; 32]);
const SAMPLES: u32 = 20;
const CHUNK_SAMPLES: u32 = 8;
const FEATURES: u32 = 6;
const CLASSES: u16 = 3;

fn run(codec: &str) -> Run {
    let reproducible = codec == "exact";
    let numeric = format!("[numeric]\nreproducible = {reproducible}\ncodec = \"{codec}\"\n");
    Run::from_toml(&format!("{RUN_FILE}{numeric}")).unwrap()
}

const RUN_FILE: &str = r#"
name = "small"
title = "A small run"
description = "For tests."
seed = 3

[data]
format = "idx"
path = "small"

[model]
input = [6]
layers = [
    { kind = "dense", units = 5 },
    { kind = "relu" },
    { kind = "dense", units = 3 },
]
loss = "softmax_cross_entropy"

[train]
epochs = 2
micro_batch = 4
global_batch = 12

[optimizer]
kind = "sgd"
learning_rate = 0.1
"#;

/// The run, its data, and what a worker ought to answer.
pub(crate) struct Fixture {
    pub(crate) run: Run,
    pub(crate) params: Vec<f32>,
    manifest: Manifest,
    chunks: Vec<Vec<u8>>,
}

impl Fixture {
    pub(crate) fn new(codec: &str) -> Self {
        let run = run(codec);
        let chunks: Vec<Vec<u8>> = (0..SAMPLES)
            .step_by(CHUNK_SAMPLES as usize)
            .map(|first| chunk(first, CHUNK_SAMPLES.min(SAMPLES - first)))
            .collect();
        let manifest = Manifest {
            sample_shape: vec![FEATURES as usize],
            classes: u32::from(CLASSES),
            samples: SAMPLES,
            chunk_samples: CHUNK_SAMPLES,
            chunks: chunks.iter().map(|bytes| Digest::of(bytes)).collect(),
            vocabulary: None,
            targets: TargetKind::Labels,
            inputs: InputKind::Bytes,
            preparation: None,
        };
        let params = tabswarm_model::init::initial_params(&run.graph().layout, run.seed);
        Self {
            run,
            params,
            manifest,
            chunks,
        }
    }

    /// Chunks whose bytes are not what their names promise.
    pub(crate) fn with_damaged_chunks(mut self) -> Self {
        self.chunks.iter_mut().for_each(|chunk| chunk[0] ^= 1);
        self
    }

    /// Chunks that the server does not have.
    pub(crate) fn without_chunks(mut self) -> Self {
        self.chunks.iter_mut().for_each(Vec::clear);
        self
    }

    fn manifest_digest(&self) -> Digest {
        Digest::of(self.manifest.to_json().as_bytes())
    }

    fn resource(&self, path: &str) -> Option<Vec<u8>> {
        if path == format!("/api/datasets/{}", self.manifest_digest()) {
            return Some(self.manifest.to_json().into_bytes());
        }
        let named = self.manifest.chunks.iter().zip(&self.chunks);
        named
            .filter(|(_, bytes)| !bytes.is_empty())
            .find(|(digest, _)| path == format!("/api/chunks/{digest}"))
            .map(|(_, bytes)| bytes.clone())
    }

    /// The gradient of each micro-batch of a range, computed here and now.
    pub(crate) fn gradients(
        &self,
        version: u64,
        range: MicroBatchRange,
    ) -> Vec<(Vec<f32>, BatchStats)> {
        let plan = BatchPlan::new(&self.run, SAMPLES);
        let mut store = SampleStore::new(self.manifest.clone(), plan, self.run.data.normalization);
        for (chunk_idx, bytes) in self.chunks.iter().enumerate() {
            store.insert(chunk_idx, bytes).unwrap();
        }
        let mut engine = Engine::new(Arc::new(self.run.graph()), self.run.class, 4).unwrap();
        engine.set_params(&self.params).unwrap();
        let mut batch = MicroBatch::default();
        (range.first..range.first + range.count)
            .map(|idx| {
                assert!(store.gather(plan.step(version), idx, &mut batch));
                let samples = Batch::of(&batch);
                let stats = engine.gradient(samples).unwrap();
                (engine.gradient_buffer().to_vec(), stats)
            })
            .collect()
    }

    /// The tensor part of the exact update.
    pub(crate) fn exact_update(
        &self,
        version: u64,
        range: MicroBatchRange,
        exponents: &[i8],
    ) -> Vec<u8> {
        let mut sums = LeaseAccumulator::new(&self.run.graph().layout);
        for (gradient, _) in self.gradients(version, range) {
            sums.add(&gradient, exponents).unwrap();
        }
        tabswarm_protocol::codec::exact::encode(sums.sums())
    }
}

fn chunk(first: u32, samples: u32) -> Vec<u8> {
    let byte = |i: u32| (i * 37 % 251).to_le_bytes()[0];
    Chunk::Labeled {
        inputs: (first * FEATURES..(first + samples) * FEATURES)
            .map(byte)
            .collect(),
        labels: (first..first + samples)
            .map(|s| u16::try_from(s).unwrap() % CLASSES)
            .collect(),
    }
    .to_bytes()
}

/// The listening side.
pub(crate) struct FakeServer {
    pub(crate) address: ServerAddress,
    sockets: mpsc::Receiver<FakeSocket>,
}

impl FakeServer {
    pub(crate) async fn start(fixture: &Arc<Fixture>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let (sender, sockets) = mpsc::channel(4);
        let fixture = Arc::clone(fixture);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(tcp, Arc::clone(&fixture), sender.clone()));
            }
        });
        Self { address, sockets }
    }

    pub(crate) fn config(&self, lanes: u16) -> WorkerConfig {
        WorkerConfig {
            lanes,
            exit_when_done: true,
            ..WorkerConfig::new(self.address.clone())
        }
    }

    /// The next worker that connects.
    pub(crate) async fn accept(&mut self) -> FakeSocket {
        self.sockets.recv().await.unwrap()
    }

    /// A worker that has joined, has the run and the parameters, and is ready.
    pub(crate) async fn accept_ready(
        &mut self,
        fixture: &Fixture,
        resumed: bool,
    ) -> (FakeSocket, Hello) {
        let mut socket = self.accept().await;
        let ClientMessage::Hello(hello) = socket.receive().await.0 else {
            panic!("no hello");
        };
        socket.welcome(resumed).await;
        socket.assign(fixture).await;
        (socket, hello)
    }
}

async fn serve(mut tcp: TcpStream, fixture: Arc<Fixture>, sockets: mpsc::Sender<FakeSocket>) {
    let mut start = [0; 7];
    while tcp.peek(&mut start).await.unwrap() < start.len() {
        tokio::task::yield_now().await;
    }
    if start == *b"GET /ws" {
        let socket = FakeSocket {
            stream: accept_async(tcp).await.unwrap(),
            decoder: Decoder::new(1 << 20),
            lanes: None,
        };
        // A test may be over before the last worker connects.
        sockets.send(socket).await.ok();
        return;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(tcp.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let (status, body) = match fixture.resource(path) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    tcp.write_all(&body).await.unwrap();
}

/// One worker's socket, the server's end.
pub(crate) struct FakeSocket {
    stream: WebSocketStream<TcpStream>,
    decoder: Decoder,
    /// As the worker said after its hello.
    pub(crate) lanes: Option<u16>,
}

impl FakeSocket {
    pub(crate) async fn send(&mut self, message: &ServerMessage, tensor: &[u8]) {
        for frame in encode_frames(message, tensor) {
            self.send_bytes(frame).await;
        }
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.stream
            .send(Message::Binary(bytes.into()))
            .await
            .unwrap();
    }

    /// The worker's next message and its tensor; its number of lanes is only taken note of.
    pub(crate) async fn receive(&mut self) -> (ClientMessage, Vec<u8>) {
        loop {
            match self.receive_any().await {
                (ClientMessage::Lanes { lanes }, _) => self.lanes = Some(lanes),
                message => return message,
            }
        }
    }

    async fn receive_any(&mut self) -> (ClientMessage, Vec<u8>) {
        let mut messages = Vec::new();
        while messages.is_empty() {
            match self.stream.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => self.decoder.push(&bytes, &mut messages).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(messages.len(), 1);
        let raw = messages.remove(0);
        (raw.control().unwrap(), raw.tensor)
    }

    /// The worker closes the connection and says nothing before.
    pub(crate) async fn closes(mut self) {
        while let Some(Ok(message)) = self.stream.next().await {
            assert!(matches!(message, Message::Close(_)), "{message:?}");
        }
    }

    pub(crate) async fn welcome(&mut self, resumed: bool) {
        let welcome = Welcome {
            worker_id: WorkerId(1),
            resume_token: TOKEN,
            resumed,
            software: "fake".to_owned(),
            heartbeat_ms: 60_000,
            credited_samples: 0,
        };
        self.send(&ServerMessage::Welcome(welcome), &[]).await;
    }

    async fn assign(&mut self, fixture: &Fixture) {
        let assignment = RunAssignment {
            run_id: RUN_ID,
            run_json: fixture.run.to_json(),
            dataset: fixture.manifest_digest().0,
        };
        self.send(&ServerMessage::Run(assignment), &[]).await;
        self.send_params(fixture, 0).await;
        let ready = ClientMessage::Ready { run_id: RUN_ID };
        assert_eq!(self.receive().await.0, ready);
    }

    pub(crate) async fn send_params(&mut self, fixture: &Fixture, version: u64) {
        let digest = Digest::of_params(&fixture.params);
        self.send_params_as(fixture, version, digest).await;
    }

    /// With a digest that may be another's.
    pub(crate) async fn send_params_as(&mut self, fixture: &Fixture, version: u64, digest: Digest) {
        let header = ParamsHeader {
            run_id: RUN_ID,
            version: ParamVersion(version),
            digest: digest.0,
        };
        let tensor = tabswarm_protocol::codec::f32::encode(&fixture.params);
        self.send(&ServerMessage::Params(header), &tensor).await;
    }

    pub(crate) async fn lease(&mut self, lease_id: u64, range: MicroBatchRange, exponents: &[i8]) {
        self.lease_of(0, lease_id, range, exponents).await;
    }

    /// One of a later version.
    pub(crate) async fn lease_of(
        &mut self,
        version: u64,
        lease_id: u64,
        range: MicroBatchRange,
        exponents: &[i8],
    ) {
        let lease = Lease {
            lease_id: LeaseId(lease_id),
            run_id: RUN_ID,
            version: ParamVersion(version),
            range,
            exponents: exponents.to_vec(),
            deadline_ms: 10_000,
            batch: 0,
            kind: LeaseKind::Step,
        };
        self.send(&ServerMessage::Lease(lease), &[]).await;
    }
}

//! A client that answers leases with an update that was made before, at once or after a fixed while: the server is
//! what is measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tabswarm_model::Run;
use tabswarm_model::batches::BatchPlan;
use tabswarm_model::digest::Digest;
use tabswarm_protocol::client::{Class, Hello, Update, WorkerKind};
use tabswarm_protocol::codec::exact;
use tabswarm_protocol::server::{Lease, Verdict};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, RawMessage, ServerMessage, encode_frames,
};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Training images of MNIST.
const SAMPLES: u32 = 60_000;
/// Sums of a real update of this model have about so many bits.
const SUM_BITS: u32 = 22;
/// Answers of the last updates are awaited for so long.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) struct Sender {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    decoder: Decoder,
    run: Option<(BatchPlan, Vec<u8>, Digest)>,
    seed: u64,
    pace: Duration,
    sent: BTreeMap<LeaseId, Instant>,
}

impl Sender {
    pub(crate) async fn join(
        address: SocketAddr,
        run: &str,
        (seed, pace): (u64, Duration),
    ) -> Result<Self> {
        let (socket, _) = connect_async(format!("ws://{address}/ws")).await?;
        if let MaybeTlsStream::Plain(tcp) = socket.get_ref() {
            tcp.set_nodelay(true)?;
        }
        let mut sender = Self {
            socket,
            decoder: Decoder::new(16 << 20),
            run: None,
            seed,
            pace,
            sent: BTreeMap::new(),
        };
        let hello = Hello {
            kind: WorkerKind::Native,
            software: "bench".to_owned(),
            run: Some(run.to_owned()),
            resume: None,
            join_token: None,
            lanes: 1,
            classes: vec![Class::Portable],
            memory_mib: 0,
            gpu: false,
        };
        sender.say(&ClientMessage::Hello(hello), &[]).await?;
        Ok(sender)
    }

    /// Works until `end`; how long the answers took to updates that were sent from `begin` on.
    pub(crate) async fn work(&mut self, begin: Instant, end: Instant) -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while let Ok(next) = timeout_at((end + FAREWELL).into(), self.socket.next()).await {
            let message = next.context("the server closed")??;
            let heard = Instant::now();
            let Message::Binary(bytes) = message else {
                continue;
            };
            let mut raw = Vec::new();
            let pushed = self.decoder.push(&bytes, &mut raw);
            pushed.map_err(|error| anyhow::anyhow!("{error}"))?;
            for message in raw {
                let latency = self.answer(&message, heard, end).await?;
                latencies.extend(
                    latency
                        .filter(|(sent, _)| *sent >= begin)
                        .map(|(_, took)| took),
                );
            }
            if heard >= end && self.sent.is_empty() {
                break;
            }
        }
        Ok(latencies)
    }

    /// Answers a message; of a receipt, when the update was sent and how long its answer took.
    async fn answer(
        &mut self,
        raw: &RawMessage,
        heard: Instant,
        end: Instant,
    ) -> Result<Option<(Instant, Duration)>> {
        let control = raw.control().map_err(|error| anyhow::anyhow!("{error}"))?;
        match control {
            ServerMessage::Run(assignment) => {
                let run = Run::from_json(&assignment.run_json).context("a run")?;
                let tensor = self.tensor(run.graph().layout.len());
                let digest = Digest::of(&tensor);
                self.run = Some((BatchPlan::new(&run, SAMPLES), tensor, digest));
                let run_id = assignment.run_id;
                self.say(&ClientMessage::Ready { run_id }, &[]).await?;
            }
            ServerMessage::Lease(lease) if heard < end => self.update(&lease).await?,
            ServerMessage::Ping { nonce } => {
                self.say(&ClientMessage::Pong { nonce }, &[]).await?;
            }
            ServerMessage::Receipt { lease_id, verdict } => {
                let sent = self.sent.remove(&lease_id).context("an unknown receipt")?;
                return match verdict {
                    Verdict::Accepted { .. } => Ok(Some((sent, heard - sent))),
                    Verdict::Rejected(reason) if heard < end => bail!("rejected: {reason:?}"),
                    Verdict::Rejected(_) => Ok(None),
                };
            }
            ServerMessage::Refused { message, .. } => bail!("refused: {message}"),
            _ => {}
        }
        Ok(None)
    }

    /// Made-up sums, encoded.
    fn tensor(&self, len: usize) -> Vec<u8> {
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed);
        let sums: Vec<i32> = (0..len)
            .map(|_| chance.next_u32().cast_signed() >> (32 - SUM_BITS))
            .collect();
        exact::encode(&sums)
    }

    async fn update(&mut self, lease: &Lease) -> Result<()> {
        let (plan, tensor, digest) = self.run.take().context("a lease before its run")?;
        let step = plan.step(lease.version.0);
        let samples = plan.samples_of(step, lease.range.first, lease.range.count);
        let header = Update {
            lease_id: lease.lease_id,
            done: vec![lease.range],
            samples,
            loss_q20: i64::from(samples) << 20,
            correct: 0,
            compute_us: 10,
            digest: digest.0,
        };
        if !self.pace.is_zero() {
            tokio::time::sleep(self.pace).await;
        }
        self.sent.insert(lease.lease_id, Instant::now());
        let said = self.say(&ClientMessage::Update(header), &tensor).await;
        self.run = Some((plan, tensor, digest));
        said
    }

    async fn say(&mut self, message: &ClientMessage, tensor: &[u8]) -> Result<()> {
        for frame in encode_frames(message, tensor) {
            self.socket.send(Message::binary(frame)).await?;
        }
        Ok(())
    }
}

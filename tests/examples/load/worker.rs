//! One worker: a real socket that speaks the real protocol, and a clock in place of lanes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tabswarm_protocol::client::{Class, Hello, Update, WorkerKind};
use tabswarm_protocol::server::{Lease, LeaseKind, Verdict};
use tabswarm_protocol::{
    ClientMessage, Decoder, LeaseId, RawMessage, ServerMessage, encode_frames,
};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::gradient::{Answer, Gradient};
use crate::tally::Tally;

/// A server that does not accept within so long is overloaded.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// Parameters are the largest message.
const MAX_TENSOR_BYTES: usize = 16 << 20;
/// Bytes read at once.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// What all workers of a swarm share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) run: String,
    /// None while all are idle.
    pub(crate) gradient: Option<Gradient>,
    pub(crate) tally: Tally,
}

/// What a worker is told from outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    /// Compute at this share of the full speed.
    Work { share: f64 },
    /// Be gone without a word.
    Die,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    decoder: Decoder,
    /// Samples a second at full speed.
    rate: f64,
    share: f64,
    queue: VecDeque<Lease>,
    current: Option<Task>,
    sent: BTreeMap<LeaseId, Instant>,
}

/// The lease that is computed.
struct Task {
    lease: Lease,
    samples: u32,
    begun: Instant,
    end: Instant,
    /// How much was left when the speed last changed, in samples.
    left: f64,
    since: Instant,
}

impl Worker {
    /// Connects and introduces itself.
    pub(crate) async fn join(shared: Arc<Shared>, rate: f64) -> Result<Self> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0);
        let url = format!("ws://{}/ws", shared.address);
        let connecting = connect_async_with_config(url, Some(config), true);
        let (socket, _) = timeout(CONNECT_LIMIT, connecting)
            .await
            .context("the server does not accept")??;
        let hello = Hello {
            kind: WorkerKind::Native,
            software: "load".to_owned(),
            run: Some(shared.run.clone()),
            resume: None,
            join_token: None,
            lanes: 1,
            classes: vec![Class::Portable],
            memory_mib: 0,
            gpu: false,
        };
        let mut worker = Self {
            shared,
            socket,
            decoder: Decoder::new(MAX_TENSOR_BYTES),
            rate,
            share: 1.0,
            queue: VecDeque::new(),
            current: None,
            sent: BTreeMap::new(),
        };
        worker.say(&ClientMessage::Hello(hello), &[]).await?;
        Ok(worker)
    }

    /// Works until it is told to die, or something goes wrong.
    pub(crate) async fn work(mut self, orders: &mut watch::Receiver<Order>) -> Result<()> {
        loop {
            let done_at = self.current.as_ref().map(|task| task.end);
            tokio::select! {
                changed = orders.changed() => {
                    let order = if changed.is_ok() { *orders.borrow_and_update() } else { Order::Die };
                    match order {
                        Order::Work { share } => self.change_speed(share),
                        Order::Die => {
                            self.settle();
                            return Ok(());
                        }
                    }
                }
                () = sleep_until(done_at.unwrap_or_else(Instant::now).into()), if done_at.is_some() => {
                    self.finish().await?;
                }
                message = self.socket.next() => {
                    let message = message.context("the server closed")??;
                    if let Message::Binary(bytes) = message {
                        self.shared.tally.received_bytes.add(bytes.len() as u64);
                        let mut raw = Vec::new();
                        let pushed = self.decoder.push(&bytes, &mut raw);
                        pushed.map_err(|error| anyhow::anyhow!("{error}"))?;
                        for message in &raw {
                            self.hear(message).await?;
                        }
                    }
                }
            }
            self.begin();
        }
    }

    async fn hear(&mut self, raw: &RawMessage) -> Result<()> {
        let control = raw.control().map_err(|error| anyhow::anyhow!("{error}"))?;
        match control {
            ServerMessage::Run(assignment) => {
                self.shared.tally.ready.add(1);
                let run_id = assignment.run_id;
                self.say(&ClientMessage::Ready { run_id }, &[]).await?;
            }
            ServerMessage::Lease(lease) => self.queue.push_back(lease),
            ServerMessage::Revoke { lease_id, .. } => {
                self.shared.tally.revoked.add(1);
                self.queue.retain(|lease| lease.lease_id != lease_id);
                let is_current = |task: &Task| task.lease.lease_id == lease_id;
                if self.current.as_ref().is_some_and(is_current) {
                    self.settle();
                }
            }
            ServerMessage::Ping { nonce } => {
                self.say(&ClientMessage::Pong { nonce }, &[]).await?;
            }
            ServerMessage::Receipt { lease_id, verdict } => {
                let sent = self.sent.remove(&lease_id).context("an unknown receipt")?;
                match verdict {
                    Verdict::Accepted { .. } => self.shared.tally.acknowledge(sent.elapsed()),
                    Verdict::Rejected(_) => self.shared.tally.rejected.add(1),
                }
            }
            ServerMessage::Refused { message, .. } => bail!("refused: {message}"),
            ServerMessage::Restarting { .. } => bail!("the server goes down"),
            _ => {}
        }
        Ok(())
    }

    /// Takes the next lease, if it has nothing to do.
    fn begin(&mut self) {
        let (None, Some(gradient)) = (&self.current, &self.shared.gradient) else {
            return;
        };
        let Some(lease) = self.queue.pop_front() else {
            return;
        };
        let batches = gradient.plan.batches();
        let of_batch = |batch, first, count| batches.samples_of(batches.step(batch), first, count);
        let samples = match lease.kind {
            LeaseKind::Step => of_batch(lease.version.0, lease.range.first, lease.range.count),
            LeaseKind::Batch => of_batch(lease.batch, lease.range.first, lease.range.count),
            LeaseKind::Shard { .. } => {
                let shard = gradient.plan.shard(lease.version.0, lease.range.first);
                shard.map(|batch| batches.step(batch).samples).sum()
            }
        };
        let now = Instant::now();
        self.current = Some(Task {
            lease,
            samples,
            begun: now,
            end: now,
            left: f64::from(samples),
            since: now,
        });
        self.change_speed(self.share);
    }

    fn change_speed(&mut self, share: f64) {
        let now = Instant::now();
        let before = self.rate * self.share;
        self.share = share;
        if let Some(task) = &mut self.current {
            let computed = before * (now - task.since).as_secs_f64();
            task.left = (task.left - computed).max(0.0);
            task.since = now;
            task.end = now + Duration::from_secs(1).mul_f64(task.left / (self.rate * share));
        }
    }

    /// Drops the current lease; what was computed of it is counted.
    fn settle(&mut self) -> Option<Task> {
        self.change_speed(self.share);
        let task = self.current.take()?;
        let computed = (f64::from(task.samples) - task.left).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and small"
        )]
        let millisamples = (computed * 1e3) as u64;
        self.shared.tally.computed_millisamples.add(millisamples);
        Some(task)
    }

    /// Sends the current lease's update.
    async fn finish(&mut self) -> Result<()> {
        let (Some(task), shared) = (self.settle(), Arc::clone(&self.shared)) else {
            return Ok(());
        };
        let gradient = shared.gradient.as_ref().context("nothing to send")?;
        let lease = task.lease;
        let tensor = match gradient.answer(&lease.exponents, lease.range.count)? {
            Answer::Update(tensor) => tensor,
            Answer::Overflow(fits) => {
                shared.tally.overflows.add(1);
                let lease_id = lease.lease_id;
                let overflow = ClientMessage::Overflow { lease_id, fits };
                return self.say(&overflow, &[]).await;
            }
        };
        let computed = task.begun.elapsed().as_micros();
        let header = Update {
            lease_id: lease.lease_id,
            done: vec![lease.range],
            samples: task.samples,
            loss_q20: i64::from(task.samples) << 20,
            correct: 0,
            compute_us: u64::try_from(computed).unwrap_or(u64::MAX),
            digest: tensor.digest.0,
        };
        self.sent.insert(lease.lease_id, Instant::now());
        self.say(&ClientMessage::Update(header), &tensor.bytes)
            .await
    }

    async fn say(&mut self, message: &ClientMessage, tensor: &[u8]) -> Result<()> {
        for frame in encode_frames(message, tensor) {
            self.shared.tally.sent_bytes.add(frame.len() as u64);
            self.socket.send(Message::binary(frame)).await?;
        }
        Ok(())
    }
}

//! A swarm: workers that come, go and hide, and a window in which all is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tabswarm_model::Run;
use tabswarm_model::dataset::Manifest;
use tabswarm_model::digest::Digest;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Options;
use crate::gradient::Gradient;
use crate::server::Server;
use crate::tally::{Reading, Tally};
use crate::work::{self, RUN_NAME};
use crate::worker::{Order, Shared, Worker};

/// The state is looked at, and chance strikes, so often.
const POLL: Duration = Duration::from_millis(100);
/// Every worker has its run within so long, or the server is overloaded.
const JOIN_LIMIT: Duration = Duration::from_mins(2);
/// Connections in progress at a time.
const JOINING: usize = 32;
/// A hidden tab is as fast as browsers let it be.
const HIDDEN_SPEED: f64 = 0.25;
/// A tab changes between hidden and visible every so many seconds on average.
const HIDDEN_CHANGE_S: f64 = 20.0;
/// Memory of idle sockets is looked at after so long.
const SETTLE: Duration = Duration::from_secs(6);

/// Everything at a moment.
#[derive(Debug, Clone, Copy)]
struct Sight {
    at: Instant,
    version: u64,
    samples: u64,
    cpu_seconds: f64,
    tally: Reading,
}

/// The workers of a measurement.
struct Swarm {
    shared: Arc<Shared>,
    speeds: Vec<f64>,
    orders: Vec<(watch::Sender<Order>, bool)>,
    tasks: JoinSet<()>,
    chance: ChaCha8Rng,
}

impl Swarm {
    fn new(shared: Arc<Shared>, speeds: Vec<f64>) -> Self {
        Self {
            shared,
            speeds,
            orders: Vec::new(),
            tasks: JoinSet::new(),
            chance: ChaCha8Rng::seed_from_u64(2),
        }
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// A task that is one worker after the other connects.
    fn spawn(&mut self, speed: f64) -> watch::Sender<Order> {
        let (sender, mut orders) = watch::channel(Order::Work { share: 1.0 });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let joined = Worker::join(Arc::clone(&shared), speed).await;
            let outcome = match joined {
                Ok(worker) => worker.work(&mut orders).await,
                Err(error) => Err(error.context("joining")),
            };
            if let Err(error) = outcome {
                shared.tally.error(&error);
            }
        });
        sender
    }

    /// Lets all join.
    async fn gather(&mut self) -> Result<()> {
        let started = Instant::now();
        let all = self.speeds.len() as u64;
        while self.tally().ready.get() < all {
            let joining = self.orders.len() - usize::try_from(self.tally().ready.get())?;
            let fresh = JOINING.saturating_sub(joining);
            for idx in self.orders.len()..(self.orders.len() + fresh).min(self.speeds.len()) {
                let orders = self.spawn(self.speeds[idx]);
                self.orders.push((orders, false));
            }
            sleep(Duration::from_millis(5)).await;
            ensure!(
                started.elapsed() < JOIN_LIMIT && self.tally().errors.get() == 0,
                "{} of {all} workers joined: {}",
                self.tally().ready.get(),
                self.tally().report()
            );
        }
        Ok(())
    }

    fn happens(&mut self, probability: f64) -> bool {
        f64::from(self.chance.next_u32()) < probability * f64::from(u32::MAX)
    }

    /// What may happen to workers in a while.
    fn disturb(&mut self, options: &Options, seconds: f64) {
        let killed = options.churn / 60.0 * seconds;
        let change = seconds / HIDDEN_CHANGE_S;
        for idx in 0..self.orders.len() {
            if self.happens(killed) {
                self.orders[idx].0.send_replace(Order::Die);
                self.tally().killed.add(1);
                let orders = self.spawn(self.speeds[idx]);
                self.orders[idx] = (orders, false);
            }
            let is_hidden = self.orders[idx].1;
            let share = if is_hidden {
                1.0 - options.hidden
            } else {
                options.hidden
            };
            // Both ways are as frequent where half are hidden.
            if options.hidden > 0.0 && self.happens(2.0 * change * share) {
                let share = if is_hidden { 1.0 } else { HIDDEN_SPEED };
                self.orders[idx].0.send_replace(Order::Work { share });
                self.orders[idx].1 = !is_hidden;
            }
        }
    }

    /// The sum of speeds at the moment.
    fn speed(&self) -> f64 {
        let all = self.speeds.iter().zip(&self.orders);
        all.map(|(speed, (_, is_hidden))| {
            if *is_hidden {
                speed * HIDDEN_SPEED
            } else {
                *speed
            }
        })
        .sum()
    }
}

async fn look(server: &Server, tally: &Tally) -> Result<Sight> {
    let status = server.status(RUN_NAME).await?;
    let number = |key: &str| {
        let value = status[key].as_u64();
        value.with_context(|| format!("a status without {key}: {status}"))
    };
    Ok(Sight {
        at: Instant::now(),
        version: number("version")?,
        samples: number("samples_committed")?,
        cpu_seconds: server.cpu_seconds()?,
        tally: tally.read(),
    })
}

/// A server with a run, and what its workers share.
async fn host(
    options: &Options,
    workers: usize,
    speeds: &[f64],
    start: bool,
) -> Result<(Server, Gradient)> {
    let folder = options.scratch.join("site");
    let server = Server::start(
        &options.server,
        &options.datasets,
        &folder,
        2 * workers + 64,
    )?;
    let (step_s, lease_s) = (options.step.as_secs_f64(), options.lease.as_secs_f64());
    let text = work::run_file(options.mode, speeds, step_s, lease_s);
    let run = Run::from_toml(&text).context("the run file is wrong")?;
    server.create(text, start).await?;
    let status = server.status(RUN_NAME).await?;
    let dataset = status["dataset"].as_str().and_then(Digest::from_hex);
    let dataset = dataset.with_context(|| format!("a status without data set: {status}"))?;
    let bytes = server.get(&format!("/api/datasets/{dataset}")).await?;
    let manifest = Manifest::from_bytes(&bytes, dataset)?;
    let first = manifest.chunks.first().context("an empty data set")?;
    let chunk = server.get(&format!("/api/chunks/{first}")).await?;
    let gradient = Gradient::compute(run, &manifest, &chunk)?;
    Ok((server, gradient))
}

/// Measures so many workers, from one version to another one some seconds later.
pub(crate) async fn measure(options: &Options, workers: usize) -> Result<Value> {
    let step_s = options.step.as_secs_f64();
    let speeds = work::speeds(options.mode, workers, options.spread, step_s);
    let (server, gradient) = host(options, workers, &speeds, true).await?;
    let shared = Shared {
        address: server.public,
        run: RUN_NAME.to_owned(),
        gradient: Some(gradient),
        tally: Tally::default(),
    };
    let mut swarm = Swarm::new(Arc::new(shared), speeds);
    swarm.gather().await?;
    let joined = Instant::now();
    // The first versions measure the workers.
    let mut first: Option<Sight> = None;
    let (mut speed_sum, mut polls, mut previous) = (0.0, 0.0, Instant::now());
    let mut resident = 0;
    let mut version = u64::MAX;
    let (begin, end) = loop {
        sleep(POLL).await;
        swarm.disturb(options, previous.elapsed().as_secs_f64());
        previous = Instant::now();
        let sight = look(&server, swarm.tally()).await?;
        resident = server.resident_bytes()?.max(resident);
        let is_new = sight.version != version && version != u64::MAX;
        version = sight.version;
        match first {
            None if joined.elapsed() >= options.step * 2 && version >= 2 && is_new => {
                swarm.tally().begin();
                first = Some(sight);
            }
            None => {}
            Some(begin) => {
                speed_sum += swarm.speed();
                polls += 1.0;
                if is_new && sight.at - begin.at >= options.window {
                    break (begin, sight);
                }
            }
        }
        let patience = options.window + options.step * 60 + JOIN_LIMIT;
        ensure!(
            joined.elapsed() < patience,
            "the run does not get on: {}",
            swarm.tally().report()
        );
    };
    let mut row = figures(begin, end, speed_sum / polls);
    row["workers"] = json!(workers);
    row["rss_bytes"] = json!(resident);
    let told = swarm.tally().report();
    if let (Some(row), Some(told)) = (row.as_object_mut(), told.as_object()) {
        row.extend(told.clone());
    }
    Ok(row)
}

fn figures(begin: Sight, end: Sight, speed: f64) -> Value {
    let seconds = (end.at - begin.at).as_secs_f64();
    let samples = (end.samples - begin.samples) as f64;
    let computed = end.tally.computed_samples - begin.tally.computed_samples;
    let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
    json!({
        "seconds": seconds,
        "steps_per_s": rate(begin.version, end.version),
        "samples_per_s": samples / seconds,
        "speeds_sum": speed,
        "goodput_of_computed": samples / computed.max(1.0),
        "goodput_of_speeds": samples / seconds / speed,
        "updates_per_s": rate(begin.tally.acknowledged, end.tally.acknowledged),
        "up_bytes_per_s": rate(begin.tally.sent_bytes, end.tally.sent_bytes),
        "down_bytes_per_s": rate(begin.tally.received_bytes, end.tally.received_bytes),
        "server_cores": (end.cpu_seconds - begin.cpu_seconds) / seconds,
    })
}

/// Memory of sockets whose workers wait for a run to start.
pub(crate) async fn idle(options: &Options, sockets: usize) -> Result<Value> {
    let speeds = vec![1.0; sockets];
    let (server, _) = host(options, sockets, &speeds[..1], false).await?;
    let shared = Arc::new(Shared {
        address: server.public,
        run: RUN_NAME.to_owned(),
        gradient: None,
        tally: Tally::default(),
    });
    sleep(SETTLE).await;
    let before = server.resident_bytes()?;
    let mut swarm = Swarm::new(shared, speeds);
    swarm.gather().await?;
    // A ping and a pong more.
    sleep(SETTLE).await;
    let (after, cpu) = (server.resident_bytes()?, server.cpu_seconds()?);
    sleep(SETTLE).await;
    let cores = (server.cpu_seconds()? - cpu) / SETTLE.as_secs_f64();
    ensure!(
        swarm.tally().errors.get() == 0,
        "sockets broke: {}",
        swarm.tally().report()
    );
    Ok(json!({
        "sockets": sockets,
        "rss_before_bytes": before,
        "rss_after_bytes": after,
        "bytes_per_socket": after.saturating_sub(before) as f64 / sockets as f64,
        "server_cores": cores,
    }))
}

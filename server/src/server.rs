//! Starting and ending a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::{fmt, io};

use serde_json::json;
use tabswarm_store::LogOptions;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::actor::{self, ActorHandle, Message, PreparedRun};
use crate::admin::bans;
use crate::admin::idempotency::Keys;
use crate::admin::stream::MAX_STREAMS;
use crate::app::{self, App};
use crate::assets::Assets;
use crate::auth::{AdminToken, Guard, TokenError, random_bytes};
use crate::blob_cache::BlobCache;
use crate::clock::Clock;
use crate::config::Config;
use crate::hosting::Hosts;
use crate::ledger::LedgerLink;
use crate::limits::{BANS_PATIENCE, BLOB_CACHE_BYTES, DRAIN_DEADLINE, SNAPSHOT_DEADLINE};
use crate::listener::{self, Listener};
use crate::metrics::Metrics;
use crate::snapshot_place::{FirstUse, SnapshotPlace, SnapshotPlaceError};
use crate::store::{Store, StoreError};
use crate::tls::{Tls, TlsError};
use crate::view::ViewCell;

/// Why a server could not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A port is taken or may not be used.
    #[error("{address} can't be listened on (choose another address with {flag})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that chooses it.
        flag: &'static str,
        /// The system's message.
        source: io::Error,
    },
    /// The data directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The admin token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The stored runs.
    #[error("the stored runs can't be read: {problem}")]
    Runs {
        /// What happened.
        problem: String,
    },
    /// The place of snapshots.
    #[error("{problem}")]
    Snapshots {
        /// What happened, and what to do.
        problem: String,
    },
    /// The ledger, where waiting does not help.
    #[error("{problem}")]
    Ledger {
        /// What happened, and what to do.
        problem: String,
    },
    /// Certificate and key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A thread.
    #[error("a thread can't be started: {0}")]
    Thread(io::Error),
    /// It ended by itself.
    #[error("the coordinator's thread broke down; its message is above, please report it")]
    Broken,
}

/// A running server. Dropping it ends nothing: call [`Handle::shutdown`].
pub struct Handle {
    /// Where volunteers connect.
    pub public_addr: SocketAddr,
    /// Where operators connect.
    pub admin_addr: SocketAddr,
    /// Opens the admin listener.
    pub admin_token: AdminToken,
    actor: ActorHandle,
    ended: actor::Ended,
    stop_listening: watch::Sender<bool>,
    all_gone: mpsc::Receiver<()>,
    store: Arc<Store>,
    ledger: Arc<LedgerLink>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("public_addr", &self.public_addr)
            .field("admin_addr", &self.admin_addr)
            .finish_non_exhaustive()
    }
}

/// Starts a server and returns when both listeners accept connections.
///
/// # Errors
/// See [`ServeError`]; nothing is left running.
pub async fn serve(config: Config) -> Result<Handle, ServeError> {
    let listener = bind(config.listen, "--listen").await?;
    let admin_listener = bind(config.admin_listen, "--admin-listen").await?;
    let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
    let (store, hosts, admin_token) = open(&config).await?;
    let restored = restore(&hosts).await?;
    let ledger = Arc::new(LedgerLink::new(store.ledger_path()));
    let (view, metrics) = (Arc::new(ViewCell::default()), Arc::new(Metrics::default()));
    let assets = Assets::load().map_err(ServeError::Thread)?;
    let spawned = actor::spawn(
        random_epoch()?,
        Clock::start(),
        Arc::clone(&view),
        Arc::clone(&metrics),
        Arc::clone(&ledger),
        store.event_files_path(),
    );
    let (actor, ended) = spawned.map_err(ServeError::Thread)?;
    // Before there are runs, which tell it their credits.
    open_ledger(&ledger, &actor).await?;
    host_all(&actor, restored).await?;
    let (alive, all_gone) = mpsc::channel(1);
    let (stop_listening, shutdown) = watch::channel(false);
    let addresses = (
        local(&listener, config.listen),
        local(&admin_listener, config.admin_listen),
    );
    let app = Arc::new(App {
        actor: actor.clone(),
        view,
        store: Arc::clone(&store),
        hosts,
        creating: Mutex::new(()),
        exporting: Mutex::new(()),
        metrics: Arc::clone(&metrics),
        assets,
        blobs: BlobCache::new(BLOB_CACHE_BYTES),
        guard: Guard::new(&admin_token),
        ledger: Arc::clone(&ledger),
        sockets: Arc::new(Semaphore::new(config.max_workers)),
        next_connection: AtomicU64::new(1),
        orders: Keys::default(),
        event_streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        goes_down: shutdown.clone(),
        alive: alive.clone(),
        config,
    });
    restore_bans(&app).await;
    let sockets = (listener, admin_listener);
    listen(&app, sockets, tls, &metrics, &shutdown, &alive);
    let (public_addr, admin_addr) = addresses;
    info!(%public_addr, %admin_addr, "listening");
    Ok(Handle {
        public_addr,
        admin_addr,
        admin_token,
        actor,
        ended,
        stop_listening,
        all_gone,
        store,
        ledger,
    })
}

/// Accepts connections of both listeners from now on.
fn listen(
    app: &Arc<App>,
    (public, admin): (TcpListener, TcpListener),
    tls: Option<Arc<Tls>>,
    metrics: &Arc<Metrics>,
    shutdown: &watch::Receiver<bool>,
    alive: &mpsc::Sender<()>,
) {
    let listening = |socket, max_per_address| Listener {
        socket,
        tls: None,
        trusted_proxies: app.config.trusted_proxies.clone().into(),
        max_connections: app.config.max_connections,
        max_per_address,
        metrics: Arc::clone(metrics),
        shutdown: shutdown.clone(),
        alive: alive.clone(),
    };
    let mut public = listening(public, app.config.max_connections_per_address);
    if let Some(tls) = tls {
        tokio::spawn(Arc::clone(&tls).watch(shutdown.clone()));
        public.tls = Some(tls);
    }
    let admin = listening(admin, app.config.max_connections);
    tokio::spawn(listener::accept(
        public,
        app::public_router(Arc::clone(app)),
    ));
    tokio::spawn(listener::accept(admin, app::admin_router(Arc::clone(app))));
}

fn random_epoch() -> Result<u32, ServeError> {
    let [e0, e1, e2, e3, ..] = random_bytes()?;
    Ok(u32::from_le_bytes([e0, e1, e2, e3]))
}

async fn host_all(actor: &ActorHandle, runs: Vec<PreparedRun>) -> Result<(), ServeError> {
    for run in runs {
        let prepared = Box::new(run);
        let created = actor.ask(|done| Message::Create { prepared, done }).await;
        created.map_err(|_gone| ServeError::Broken)?;
    }
    Ok(())
}

/// Nobody who is banned comes in while the bans are read; without a ledger they hold from when it opens.
async fn restore_bans(app: &Arc<App>) {
    let restored = tokio::spawn(bans::restore(Arc::downgrade(app)));
    if app.ledger.read().is_ok() {
        // A ledger that can't be read goes on being tried.
        drop(timeout(BANS_PATIENCE, restored).await);
    }
}

async fn open_ledger(ledger: &Arc<LedgerLink>, actor: &ActorHandle) -> Result<(), ServeError> {
    let asked = actor.clone();
    let opened = ledger
        .open(move |run_id| asked.try_send(Message::Reconcile { run_id }))
        .await;
    if let Err(error) = opened {
        actor.send(Message::Shutdown).await.ok();
        let problem = error.to_string();
        return Err(ServeError::Ledger { problem });
    }
    let detail = json!({ "version": env!("CARGO_PKG_VERSION") });
    ledger.event("server-started", None, &detail);
    Ok(())
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            address,
            flag,
            source,
        })
}

fn local(listener: &TcpListener, configured: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(configured)
}

async fn open(config: &Config) -> Result<(Arc<Store>, Arc<Hosts>, AdminToken), ServeError> {
    let (config, runtime) = (config.clone(), runtime::Handle::current());
    let opened = blocking(move || open_blocking(config, &runtime)).await;
    opened.map_err(|problem| ServeError::Runs { problem })?
}

fn open_blocking(
    config: Config,
    runtime: &runtime::Handle,
) -> Result<(Arc<Store>, Arc<Hosts>, AdminToken), ServeError> {
    let unfit = |error: SnapshotPlaceError| ServeError::Snapshots {
        problem: error.to_string(),
    };
    // Before a data directory is made.
    if let Some(url) = &config.snapshots {
        SnapshotPlace::check(url, runtime.clone()).map_err(unfit)?;
    }
    let store = Arc::new(Store::open(&config.data_dir)?);
    let token = match config.admin_token {
        Some(token) => token,
        None => AdminToken::read_or_create(&store.admin_token_path())?,
    };
    let [s0, s1, s2, s3, s4, s5, s6, s7, ..] = random_bytes()?;
    let log_options = LogOptions::new(u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]));
    let (url, claim) = (config.snapshots.as_deref(), FirstUse::Claim);
    let snapshots = SnapshotPlace::open(&config.data_dir, url, runtime.clone(), claim);
    let snapshots = snapshots.map_err(unfit)?;
    let hosts = Arc::new(Hosts::new(
        Arc::clone(&store),
        config.disk,
        config.datasets_dir,
        log_options,
        snapshots,
    ));
    Ok((store, hosts, token))
}

async fn restore(hosts: &Arc<Hosts>) -> Result<Vec<PreparedRun>, ServeError> {
    let of_thread = Arc::clone(hosts);
    let restored = blocking(move || of_thread.restore_all()).await;
    let restored = restored.and_then(|restored| restored.map_err(|error| format!("{error:#}")));
    restored.map_err(|problem| ServeError::Runs { problem })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

impl Handle {
    /// Waits until the server can't go on. It normally never returns.
    ///
    /// # Errors
    /// Always [`ServeError::Broken`].
    pub async fn broken(&mut self) -> ServeError {
        // Both the thread's end without being told and its panic.
        drop((&mut self.ended).await);
        ServeError::Broken
    }

    /// Ends the server: snapshots become durable, workers are told when to come back, connections end.
    ///
    /// # Errors
    /// [`ServeError::Broken`] where the coordinator's thread did not end in order.
    pub async fn shutdown(mut self) -> Result<(), ServeError> {
        info!("shutting down");
        // It fails where the thread is gone, which shows below.
        self.actor.send(Message::Shutdown).await.ok();
        // Receivers live as long as connections do.
        self.stop_listening.send_replace(true);
        let in_order = actor::joined(self.ended, SNAPSHOT_DEADLINE + DRAIN_DEADLINE).await;
        if timeout(DRAIN_DEADLINE, self.all_gone.recv()).await.is_err() {
            warn!("some connections did not end in time");
        }
        self.ledger
            .event("server-stopped", None, &json!({ "in_order": in_order }));
        self.ledger.close().await;
        drop(self.store);
        if in_order {
            Ok(())
        } else {
            Err(ServeError::Broken)
        }
    }
}

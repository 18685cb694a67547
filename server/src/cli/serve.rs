//! `tabswarm serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use tabswarm_store::RealDisk;
use tokio::signal;
use tracing::{error, warn};

use crate::auth::AdminToken;
use crate::config::{
    Config, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_CONNECTIONS_PER_ADDRESS, DEFAULT_MAX_UPLOAD_BYTES,
    DEFAULT_MAX_WORKERS, DEFAULT_WRITE_TIMEOUT,
};
use crate::proxies::Network;
use crate::server::{Handle, serve};
use crate::telemetry::{self, LogFormat};
use crate::tls::TlsFiles;
use crate::traces::{Collector, CollectorUrl, parse_ratio};

/// Exit code after a second signal, as shells report an interrupt.
const INTERRUPTED: i32 = 130;

/// The variable behind `--snapshots`.
pub(super) const SNAPSHOTS_VARIABLE: &str = "TABSWARM_SNAPSHOTS";
const SNAPSHOTS_HELP: &str = "Keep snapshots in a bucket, such as s3://bucket/prefix, instead of the runs' folders; \
    the usual AWS_* variables say how it is reached. Chosen once for a data directory";

const TRACES_HELP: &str = "Send traces to an OpenTelemetry collector that takes OTLP over HTTP, such as \
    http://127.0.0.1:4318; for programs that were built with the cargo feature traces";

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tabswarm serve\n  \
    tabswarm serve --listen 0.0.0.0:8080 --allow-origin https://blog.example\n  \
    tabswarm serve --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem\n  \
    tabswarm serve --snapshots s3://bucket/prefix   # with AWS_REGION, AWS_ACCESS_KEY_ID, ... set\n\n\
    The first Ctrl-C ends the server in order: snapshots become durable and workers are told when to come \
    back. The second one ends it at once; then the steps since the last snapshot are computed again.")]
pub(super) struct ServeArgs {
    /// Address for volunteers.
    #[arg(
        long,
        env = "TABSWARM_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Address for operators; keep it on the loopback or behind a proxy with TLS.
    #[arg(
        long,
        env = "TABSWARM_ADMIN_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS"
    )]
    admin_listen: SocketAddr,
    /// Folder for everything that the server keeps.
    #[arg(
        long,
        env = "TABSWARM_DATA_DIR",
        default_value = "data",
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
    #[arg(long, env = SNAPSHOTS_VARIABLE, help = SNAPSHOTS_HELP, value_name = "URL")]
    snapshots: Option<String>,
    /// Folder with one folder for each data set.
    #[arg(
        long,
        env = "TABSWARM_DATASETS_DIR",
        default_value = "datasets",
        value_name = "FOLDER"
    )]
    datasets_dir: PathBuf,
    #[arg(
        long,
        help = "Another origin whose pages may connect, such as https://blog.example; may be given several times",
        value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// Most connected workers.
    #[arg(long, default_value_t = DEFAULT_MAX_WORKERS, value_name = "N")]
    max_workers: usize,
    /// Most open connections of each listener.
    #[arg(long, default_value_t = DEFAULT_MAX_CONNECTIONS, value_name = "N")]
    max_connections: usize,
    /// Most open connections of one remote address; the loopback is exempt.
    #[arg(long, default_value_t = DEFAULT_MAX_CONNECTIONS_PER_ADDRESS, value_name = "N")]
    max_connections_per_address: usize,
    /// Certificate for volunteers, with those that it rests on, in PEM; a new one is taken up while the server runs.
    #[arg(
        long,
        env = "TABSWARM_TLS_CERT",
        requires = "tls_key",
        value_name = "FILE"
    )]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    #[arg(
        long,
        env = "TABSWARM_TLS_KEY",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    tls_key: Option<PathBuf>,
    /// A proxy whose X-Forwarded-For is believed, as an address or a network such as 10.0.0.0/8; may be given several
    /// times. Then limits for each address are those of the clients behind it.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<Network>,
    /// Largest file of a data set that can be uploaded, in bytes.
    #[arg(long, default_value_t = DEFAULT_MAX_UPLOAD_BYTES, value_name = "BYTES")]
    max_upload_bytes: u64,
    /// Form of the log lines on standard error.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Log level (error, warn, info, debug, trace), or a filter per module.
    #[arg(
        long,
        env = "TABSWARM_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,
    #[arg(long, env = "TABSWARM_TRACES", help = TRACES_HELP, value_name = "URL")]
    traces: Option<CollectorUrl>,
    /// Share of traces that are sent, from 0 to 1.
    #[arg(long, default_value = "1", value_parser = parse_ratio, value_name = "SHARE")]
    traces_ratio: f64,
    /// Token for the admin listener; without it one is kept in the data directory's file admin-token.
    #[arg(
        long,
        env = "TABSWARM_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        hide = true
    )]
    admin_token: Option<String>,
}

fn parse_origin(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let authority = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match authority {
        Some(authority)
            if !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ']) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("an origin is a scheme and a host, such as https://blog.example".to_owned()),
    }
}

impl ServeArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let ratio = self.traces_ratio;
        let collector = self.traces.map(|url| Collector { url, ratio });
        // Dropped last: what happens at the end is sent, too.
        let _sending = match telemetry::init(self.log_format, &self.log, collector.as_ref()) {
            Ok(sending) => sending,
            Err(problem) => bail!(problem),
        };
        let admin_token = self
            .admin_token
            .as_deref()
            .map(AdminToken::new)
            .transpose()?;
        let config = Config {
            listen: self.listen,
            admin_listen: self.admin_listen,
            data_dir: self.data_dir,
            disk: Arc::new(RealDisk),
            snapshots: self.snapshots,
            datasets_dir: self.datasets_dir,
            allowed_origins: self.allow_origin,
            admin_token,
            max_connections: self.max_connections.max(1),
            max_connections_per_address: self.max_connections_per_address.max(1),
            max_workers: self.max_workers,
            max_upload_bytes: self.max_upload_bytes,
            write_timeout: DEFAULT_WRITE_TIMEOUT,
            tls: self
                .tls_cert
                .zip(self.tls_key)
                .map(|(certificate, key)| TlsFiles { certificate, key }),
            trusted_proxies: self.trusted_proxy,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("network")
            .build()
            .context("the network threads can't be started")?;
        runtime.block_on(run_until_signal(config))
    }
}

async fn run_until_signal(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals can't be listened to")?;
    let mut handle: Handle = serve(config).await?;
    tokio::select! {
        () = signals.next() => {}
        broken = handle.broken() => return Err(broken.into()),
    }
    tokio::select! {
        ended = handle.shutdown() => Ok(ended?),
        () = signals.next() => {
            warn!("second signal: ending at once");
            abort()
        }
    }
}

#[expect(clippy::exit, reason = "a second signal asks for exactly that")]
fn abort() -> ! {
    error!("ended before snapshots were durable");
    std::process::exit(INTERRUPTED)
}

/// Ctrl-C, and SIGTERM where there is one.
struct Signals {
    #[cfg(unix)]
    terminate: signal::unix::Signal,
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> std::io::Result<Self> {
        use signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked() {
        assert_eq!(
            parse_origin("https://blog.example/").as_deref(),
            Ok("https://blog.example")
        );
        assert_eq!(
            parse_origin("http://localhost:5173").as_deref(),
            Ok("http://localhost:5173")
        );
        for bad in [
            "blog.example",
            "https://",
            "https://blog.example/page",
            "ftp://blog.example",
            "*",
        ] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }
}
